// NumPy arrays to keys.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "errors.hpp"
#include "key_column.hpp"
#include "numeric_arrays.hpp"
#include "text.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

// IEEE floats by their bits: every width in the same way, half precision included.
template <typename Bits>
struct FloatBits {
    static constexpr Bits sign = Bits{1} << (8 * sizeof(Bits) - 1);
    static constexpr int mantissa_bits = sizeof(Bits) == 2 ? 10 : sizeof(Bits) == 4 ? 23 : 52;
    static constexpr Bits infinity =
        static_cast<Bits>((static_cast<Bits>(~sign) >> mantissa_bits) << mantissa_bits);

    static bool is_nan(Bits bits) { return static_cast<Bits>(bits & ~sign) > infinity; }
    static bool is_negative_zero(Bits bits) { return bits == sign; }
};

template <typename Visitor>
auto with_float_bits(const CanonicalArray& array, Visitor&& visit) {
    switch (array.array.itemsize()) {
        case 2:
            return visit(std::uint16_t{});
        case 4:
            return visit(std::uint32_t{});
        default:
            return visit(std::uint64_t{});
    }
}

bool has_negative_zero(const CanonicalArray& array) {
    return with_float_bits(array, [&]<typename Bits>(Bits) {
        const auto* elements = static_cast<const Bits*>(array.array.data());
        return std::any_of(elements, elements + array.array.size(),
                           FloatBits<Bits>::is_negative_zero);
    });
}

void clear_negative_zeros(const CanonicalArray& array) {
    with_float_bits(array, [&]<typename Bits>(Bits) {
        auto* elements = static_cast<Bits*>(const_cast<void*>(array.array.data()));
        std::replace_if(elements, elements + array.array.size(), FloatBits<Bits>::is_negative_zero,
                        Bits{0});
    });
}

}  // namespace

std::string CanonicalArray::header(py::ssize_t first_axis) const {
    std::vector<std::int64_t> shape;
    for (py::ssize_t axis = first_axis; axis < array.ndim(); ++axis) {
        shape.push_back(array.shape(axis));
    }
    return array_header(kind, static_cast<std::size_t>(array.itemsize()), shape);
}

std::optional<CanonicalArray> canonical_array(const py::array& array) {
    const char kind = array.dtype().kind();
    const bool is_exact = kind == 'b' || kind == 'i' || kind == 'u';
    const bool is_float = kind == 'f' && array.itemsize() <= 8;
    if ((!is_exact && !is_float) || array.ndim() > 30) return std::nullopt;

    const py::object native = array.dtype().attr("newbyteorder")("=");
    const auto ascontiguousarray = py::module_::import("numpy").attr("ascontiguousarray");
    // ascontiguousarray makes a single axis of none.
    CanonicalArray canonical{
        py::array(ascontiguousarray(array, native).attr("reshape")(array.attr("shape"))), kind};
    if (is_float && has_negative_zero(canonical)) {
        canonical.array = py::array(canonical.array.attr("copy")());
        clear_negative_zeros(canonical);
    }
    return canonical;
}

std::optional<std::size_t> first_row_with_nan(const CanonicalArray& array, std::size_t num_rows,
                                              const Mask& mask) {
    if (array.kind != 'f' || num_rows == 0) return std::nullopt;
    return with_float_bits(array, [&]<typename Bits>(Bits) -> std::optional<std::size_t> {
        const auto* elements = static_cast<const Bits*>(array.array.data());
        const auto size = static_cast<std::size_t>(array.array.size());
        if (std::none_of(elements, elements + size, FloatBits<Bits>::is_nan)) return std::nullopt;
        const std::size_t row_size = size / num_rows;
        for (std::size_t i = 0; i < size; ++i) {
            if (FloatBits<Bits>::is_nan(elements[i]) && !mask.hides(i / row_size)) {
                return i / row_size;
            }
        }
        return std::nullopt;
    });
}

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
    const auto num_rows = static_cast<std::size_t>(values.shape(0));
    if (const auto row = first_row_with_nan(*canonical, num_rows, Mask(mask))) {
        refuse_nan(name, *row);
    }
    return {canonical->array, canonical->header(1)};
}

OwnedKeyColumn keys_from_reals(const Column<double>& values,
                               const std::optional<Column<bool>>& mask, const std::string& name) {
    const Mask masked(mask);
    const auto reals = view(values);
    std::vector<Key> keys(reals.size());
    for (std::size_t row = 0; row < keys.size(); ++row) {
        if (masked.hides(row)) continue;
        if (std::isnan(reals[row])) refuse_nan(name, row);
        keys[row] = Key::word(KeyKind::real, std::bit_cast<std::uint64_t>(reals[row] + 0.0));
    }
    return {std::move(keys), Arena(), py::none()};
}

OwnedKeyColumn keys_from_flags(const Column<bool>& values) {
    std::vector<Key> keys;
    keys.reserve(view(values).size());
    for (const std::uint8_t flag : view(values)) {
        keys.push_back(Key::word(KeyKind::boolean, flag != 0 ? 1 : 0));
    }
    return {std::move(keys), Arena(), py::none()};
}

// dtype U, native byte order, contiguous: UCS-4 padded with NULs, which NumPy does not count.
OwnedKeyColumn keys_from_fixed_text(const py::array& values) {
    const auto num_rows = static_cast<std::size_t>(values.size());
    const std::size_t width = static_cast<std::size_t>(values.itemsize()) / sizeof(std::uint32_t);
    const auto* code_points = static_cast<const std::uint32_t*>(values.data());
    Arena arena;
    std::vector<Key> keys;
    keys.reserve(num_rows);
    std::vector<char> buffer(width * longest_code_point);
    for (std::size_t row = 0; row < num_rows; ++row, code_points += width) {
        std::size_t length = width;
        while (length > 0 && code_points[length - 1] == 0) --length;
        char* end = buffer.data();
        for (std::size_t i = 0; i < length; ++i) end = append_code_point(end, code_points[i]);
        keys.push_back(
            Key::view(KeyKind::text,
                      arena.copy({buffer.data(), static_cast<std::size_t>(end - buffer.data())})));
    }
    return {std::move(keys), std::move(arena), py::none()};
}

// dtype S, contiguous: bytes padded with NULs, which NumPy does not count. Viewed.
OwnedKeyColumn keys_from_fixed_bytes(const py::array& values) {
    const auto num_rows = static_cast<std::size_t>(values.size());
    const auto width = static_cast<std::size_t>(values.itemsize());
    const auto* data = static_cast<const char*>(values.data());
    std::vector<Key> keys;
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
    module.def("keys_from_reals", &keys_from_reals, py::kw_only(), "values"_a, "mask"_a, "name"_a);
    module.def("keys_from_flags", &keys_from_flags, py::kw_only(), "values"_a);
    module.def("keys_from_fixed_text", &keys_from_fixed_text, py::kw_only(), "values"_a);
    module.def("keys_from_fixed_bytes", &keys_from_fixed_bytes, py::kw_only(), "values"_a);
    module.def(
        "keys_from_integers",
        [](const Column<std::int64_t>& values) { return OwnedKeyColumn(values); }, py::kw_only(),
        "values"_a);
}

}  // namespace graphgpo::bindings
