// Arrow columns to arrays of numbers: rewards, costs, flags, step ids.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "arrow_column.hpp"
#include "errors.hpp"
#include "key_column.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

// What a column is for, and what its messages expect.
template <typename T>
struct Wanted;
template <>
struct Wanted<double> {
    static constexpr const char* value = "a number";
};
template <>
struct Wanted<std::int64_t> {
    static constexpr const char* value = "an int";
};
template <>
struct Wanted<std::uint8_t> {
    static constexpr const char* value = "a bool, or exactly 0 or 1";
};

[[noreturn]] void refuse(const std::string& name, std::size_t row, const std::string& value,
                         const char* expected) {
    raise(PyExc_ValueError,
          name + "[" + std::to_string(row) + "] is " + value + "; expected " + expected);
}

// One number as a `T`, where a `T` can hold it.
template <typename T, typename Source>
T checked(Source value, const std::string& name, std::size_t row) {
    const auto written = [&] { return std::string(py::str(py::cast(value))); };
    if constexpr (std::is_same_v<T, std::uint8_t>) {
        if (value != 0 && value != 1) refuse(name, row, written(), Wanted<T>::value);
    } else if constexpr (std::is_same_v<T, std::int64_t> && std::is_same_v<Source, std::uint64_t>) {
        if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            refuse(name, row, written(), "an int an int64 can hold");
        }
    }
    return static_cast<T>(value);
}

// `when_null` stands for a null, if one may be there.
template <typename T>
std::vector<T> read_numbers(const ArrowColumn& column, const Mask& mask, const std::string& name,
                            std::optional<T> when_null) {
    const std::string_view format = column.schema->format;
    constexpr bool takes_floats = !std::is_same_v<T, std::int64_t>;
    std::vector<T> numbers;
    numbers.reserve(column.num_rows());
    for (const auto& chunk : column.chunks) {
        const ArrowArray& array = *chunk;
        const auto append = [&](auto&& value_of) {
            for (std::int64_t i = 0; i < array.length; ++i) {
                const std::size_t row = numbers.size();
                if (mask.hides(row)) {
                    numbers.push_back(T{});
                    continue;
                }
                if (format == "n" || !is_valid(array, i)) {
                    if (!when_null) refuse(name, row, "null", Wanted<T>::value);
                    numbers.push_back(*when_null);
                    continue;
                }
                numbers.push_back(checked<T>(value_of(i), name, row));
            }
        };
        const auto append_integers = [&]<typename Source>(Source) {
            append([&](std::int64_t i) { return value_at<Source>(array, i); });
        };
        const auto append_floats = [&]<typename Source>(Source) {
            append([&](std::int64_t i) { return static_cast<double>(value_at<Source>(array, i)); });
        };
        const bool is_read =
            column.schema->dictionary == nullptr &&
            (with_integer_type(format, append_integers) ||
             (takes_floats && with_float_type(format, append_floats)) ||
             (takes_floats && format == "b" &&
              (append([&](std::int64_t i) { return flag_at(array, i) ? 1 : 0; }), true)) ||
             (format == "n" && (append([](std::int64_t) { return 0; }), true)));
        if (!is_read) refuse_format(name, *column.schema, Wanted<T>::value);
    }
    return numbers;
}

template <typename T>
py::array_t<T> numbers_from_arrow(const py::object& values, const std::optional<Column<bool>>& mask,
                                  const std::string& name, std::optional<T> when_null = {}) {
    const ArrowColumn column = read_arrow(values, name);
    if (column.num_rows() == 0) return py::array_t<T>(0);  // of any type: nothing to misread
    return to_numpy(read_numbers<T>(column, Mask(mask), name, when_null));
}

}  // namespace

void bind_arrow_numbers(py::module_& module) {
    using Flags = const std::optional<Column<bool>>&;
    module.def(
        "reals_from_arrow",
        [](const py::object& values, Flags mask, const std::string& name, bool nullable) {
            constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
            return numbers_from_arrow<double>(values, mask, name,
                                              nullable ? std::optional(unknown) : std::nullopt);
        },
        py::kw_only(), "values"_a, "mask"_a, "name"_a, "nullable"_a);
    module.def(
        "integers_from_arrow",
        [](const py::object& values, Flags mask, const std::string& name) {
            return numbers_from_arrow<std::int64_t>(values, mask, name);
        },
        py::kw_only(), "values"_a, "mask"_a, "name"_a);
    module.def(
        "verdicts_from_arrow",
        [](const py::object& values, Flags mask, const std::string& name) {
            return numbers_from_arrow<std::uint8_t>(values, mask, name, no_verdict);
        },
        py::kw_only(), "values"_a, "mask"_a, "name"_a);
    module.def(
        "flags_from_arrow",
        [](const py::object& values, Flags mask, const std::string& name) {
            return as_bools(numbers_from_arrow<std::uint8_t>(values, mask, name));
        },
        py::kw_only(), "values"_a, "mask"_a, "name"_a);
}

}  // namespace graphgpo::bindings
