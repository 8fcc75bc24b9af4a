// NumPy arrays to keys.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "errors.hpp"
#include "gil.hpp"
#include "graphgpo/text.hpp"
#include "key_column.hpp"
#include "numeric_arrays.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

[[noreturn]] void refuse_nan(const std::string& name, std::size_t row) {
    raise(PyExc_ValueError,
          name + "[" + std::to_string(row) +
              "] holds a NaN; expected numbers: NaN equals nothing, not even itself");
}

// An (N, ...) array with at least two axes: every row is a state.
OwnedKeyColumn keys_from_rows(const py::array& values, const std::optional<Column<bool>>& mask,
                              const std::string& name) {
    const std::optional<CanonicalArray> canonical = canonical_array(values);
    if (!canonical) {
        raise(PyExc_TypeError,
              name + " is an array of dtype " + std::string(py::str(values.dtype())) +
                  "; expected rows of bool, int, uint or float of at most 64 bits");
    }
    if (const auto row = first_row_with_nan(*canonical, Mask(mask))) refuse_nan(name, *row);
    return {canonical->array, canonical->header(1)};
}

OwnedKeyColumn keys_from_reals(const Column<double>& values,
                               const std::optional<Column<bool>>& mask, const std::string& name,
                               bool nullable) {
    const Mask masked(mask);
    const auto reals = view(values);
    Array<Key> keys(reals.size());
    for (std::size_t row = 0; row < keys.size(); ++row) {
        if (masked.hides(row)) continue;
        const double real = reals[row];  // read once: the array is the caller's
        if (std::isnan(real)) {
            if (!nullable) refuse_nan(name, row);
            continue;
        }
        keys[row] = Key::word(KeyKind::real, std::bit_cast<std::uint64_t>(real + 0.0));
    }
    return {std::move(keys), Arena(), py::none()};
}

OwnedKeyColumn keys_from_flags(const Column<bool>& values) {
    Array<Key> keys;
    keys.reserve(view(values).size());
    for (const std::uint8_t flag : view(values)) {
        keys.push_back(Key::word(KeyKind::boolean, flag != 0 ? 1 : 0));
    }
    return {std::move(keys), Arena(), py::none()};
}

// dtype U, native byte order, contiguous: UCS-4 padded with NULs, which NumPy does not count.
OwnedKeyColumn keys_from_fixed_text(const py::array& values, bool in_place) {
    const auto num_rows = static_cast<std::size_t>(values.size());
    const std::size_t width = static_cast<std::size_t>(values.itemsize()) / sizeof(std::uint32_t);
    const auto* code_points = static_cast<const std::uint32_t*>(values.data());
    Arena arena;
    Array<Key> keys;
    keys.reserve(num_rows);
    TextEncoder text;
    for (std::size_t row = 0; row < num_rows; ++row, code_points += width) {
        hear_signals(row);
        std::size_t length = width;
        while (length > 0 && code_points[length - 1] == 0) --length;
        if (in_place) {
            keys.push_back(Key::view(KeyKind::ucs4_text,
                                     {reinterpret_cast<const char*>(code_points), 4 * length}));
        } else {
            const std::string_view utf8 = text.encode(std::span(code_points, length));
            keys.push_back(Key::view(KeyKind::text, arena.copy(utf8)));
        }
    }
    return {std::move(keys), std::move(arena), values};
}

// dtype S, contiguous: bytes padded with NULs, which NumPy does not count. Viewed.
OwnedKeyColumn keys_from_fixed_bytes(const py::array& values) {
    const auto num_rows = static_cast<std::size_t>(values.size());
    const auto width = static_cast<std::size_t>(values.itemsize());
    const auto* data = static_cast<const char*>(values.data());
    Array<Key> keys;
    keys.reserve(num_rows);
    for (std::size_t row = 0; row < num_rows; ++row, data += width) {
        std::size_t length = width;
        while (length > 0 && data[length - 1] == 0) --length;
        keys.push_back(Key::view(KeyKind::bytes, {data, length}));
    }
    return {std::move(keys), Arena(), values};
}

}  // namespace

void bind_numpy(py::module_& module) {
    module.def("keys_from_rows", &keys_from_rows, py::kw_only(), "values"_a, "mask"_a, "name"_a);
    module.def("keys_from_reals", &keys_from_reals, py::kw_only(), "values"_a, "mask"_a, "name"_a,
               "nullable"_a);
    module.def("keys_from_flags", &keys_from_flags, py::kw_only(), "values"_a);
    module.def("keys_from_fixed_text", &keys_from_fixed_text, py::kw_only(), "values"_a,
               "in_place"_a);
    module.def("keys_from_fixed_bytes", &keys_from_fixed_bytes, py::kw_only(), "values"_a);
    module.def(
        "keys_from_integers",
        [](const Column<std::int64_t>& values) { return OwnedKeyColumn(values); }, py::kw_only(),
        "values"_a);
}

}  // namespace graphgpo::bindings
