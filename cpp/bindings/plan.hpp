// Estimators from Python, as the core's plans.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

#include "graphgpo/plan.hpp"

namespace graphgpo::bindings {

// A plan and the arrays it views.
struct OwnedPlan {
    Plan plan;
    std::vector<pybind11::object> arrays;
};

void bind_plan(pybind11::module_& module);

}  // namespace graphgpo::bindings
