// Numeric arrays in the one form in which equal arrays have equal bytes.
#pragma once

#include <pybind11/numpy.h>

#include <optional>
#include <string>
#include <string_view>

#include "key_column.hpp"

namespace graphgpo::bindings {

// C-contiguous, aligned, native byte order; floats without -0.0, bools 0 or 1.
struct CanonicalArray {
    py::array array;
    char kind;  // b, i, u or f
    bool has_nan;

    [[nodiscard]] std::string_view bytes() const {
        return {static_cast<const char*>(array.data()), static_cast<std::size_t>(array.nbytes())};
    }
    // `array_header` of the shape from axis `first_axis` on: 0 for the array, 1 for its rows.
    [[nodiscard]] std::string header(py::ssize_t first_axis) const;
};

// `array` itself where it is canonical, else a copy. Nothing for a dtype that has no such form
// (text, objects, complex, dates, floats of more than 64 bits), more than 30 axes, or a mask of its
// own.
[[nodiscard]] std::optional<CanonicalArray> canonical_array(const py::array& array);

// The first row, of an array with at least one, that is not masked and holds a NaN.
[[nodiscard]] std::optional<std::size_t> first_row_with_nan(const CanonicalArray& array,
                                                            const Mask& mask);

}  // namespace graphgpo::bindings
