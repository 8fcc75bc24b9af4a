// Numeric arrays in the one form in which equal arrays have equal bytes.
#pragma once

#include <pybind11/numpy.h>

#include <optional>
#include <string>
#include <string_view>

#include "key_column.hpp"

namespace graphgpo::bindings {

// C-contiguous, native byte order, floats without -0.0.
struct CanonicalArray {
    py::array array;
    char kind;  // b, i, u or f

    [[nodiscard]] std::string_view bytes() const {
        return {static_cast<const char*>(array.data()), static_cast<std::size_t>(array.nbytes())};
    }
    // `array_header` of the shape from axis `first_axis` on: 0 for the array, 1 for its rows.
    [[nodiscard]] std::string header(py::ssize_t first_axis) const;
};

// `array` itself where it is canonical, else a copy. Nothing for a dtype that has no such form
// (text, objects, complex, dates, floats of more than 64 bits) or more than 30 axes.
[[nodiscard]] std::optional<CanonicalArray> canonical_array(const py::array& array);

// The first of `num_rows` equal parts that is not masked and holds a NaN.
[[nodiscard]] std::optional<std::size_t> first_row_with_nan(const CanonicalArray& array,
                                                            std::size_t num_rows, const Mask& mask);

}  // namespace graphgpo::bindings
