// Arrays in device memory, handed over by DLPack in both directions.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "cuda/pipeline.hpp"

namespace graphgpo::bindings {

namespace py = pybind11;

// By the name NumPy gives the type, or would: "bfloat16".
[[nodiscard]] cuda::ElementType element_type(std::string_view dtype);

[[nodiscard]] inline void* pointer_of(std::uintptr_t address) noexcept {
    return reinterpret_cast<void*>(address);  // NOLINT: Python has no pointers
}

// TensorView, to_dlpack.
void bind_tensors(py::module_& module);

}  // namespace graphgpo::bindings
