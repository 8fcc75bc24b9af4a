#pragma once

#include <pybind11/pybind11.h>

namespace graphgpo::bindings {

void bind_states(pybind11::module_& module);

}  // namespace graphgpo::bindings
