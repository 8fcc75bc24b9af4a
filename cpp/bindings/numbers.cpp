// Columns of Python objects to arrays of numbers: rewards, costs, flags, step ids.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "errors.hpp"
#include "gil.hpp"
#include "key_column.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

// What Python can make a number of is decided once for a run of values of one type.
class NumberType {
  public:
    // Whether `value` is one real number: neither text nor complex nor an array of any length.
    [[nodiscard]] bool is_real(py::handle value) {
        const py::handle type = py::type::handle_of(value);
        if (!type_.is(type)) inspect(type);
        return is_real_ && (!has_axes_ || py::int_(0).equal(value.attr("ndim")));
    }

  private:
    void inspect(py::handle type) {
        const auto is_subclass = [&](const char* module, const char* base) {
            const py::object object = py::module_::import(module).attr(base);
            return PyObject_IsSubclass(type.ptr(), object.ptr()) == 1;
        };
        const PyNumberMethods* slots = reinterpret_cast<PyTypeObject*>(type.ptr())->tp_as_number;
        const bool converts =
            slots != nullptr && (slots->nb_float != nullptr || slots->nb_index != nullptr);
        const bool is_complex =
            is_subclass("numbers", "Complex") && !is_subclass("numbers", "Real");
        is_real_ = converts && !is_complex;
        has_axes_ = py::hasattr(type, "ndim") && !is_subclass("numpy", "generic");
        type_ = py::reinterpret_borrow<py::object>(type);
    }

    py::object type_;  // held, so that no other type can take its place in memory
    bool is_real_ = false;
    bool has_axes_ = false;
};

// A column's name and what it expects, for messages.
struct NumberReader {
    std::string name;
    const char* expected;
    NumberType type = {};

    [[noreturn]] void refuse(PyObject* error, py::handle value, std::size_t row,
                             const char* what) const {
        PyErr_Clear();
        raise(error,
              name + "[" + std::to_string(row) + "] is " + shortened(value) + "; expected " + what);
    }

    // Whether the error that is set says that a value is none of these numbers. Others (an
    // interrupt, no memory, a mistake in the caller's own code) are not ours to answer.
    [[nodiscard]] static bool is_of_value() {
        return PyErr_ExceptionMatches(PyExc_TypeError) != 0 ||
               PyErr_ExceptionMatches(PyExc_ValueError) != 0 ||
               PyErr_ExceptionMatches(PyExc_OverflowError) != 0;
    }

    // Nothing where the number is more than a double holds.
    std::optional<double> real(py::handle value, std::size_t row) {
        if (PyFloat_Check(value.ptr())) return PyFloat_AS_DOUBLE(value.ptr());
        if (!PyLong_Check(value.ptr()) && !type.is_real(value)) {
            refuse(PyExc_TypeError, value, row, expected);
        }
        const double number = PyFloat_AsDouble(value.ptr());
        if (number != -1.0 || PyErr_Occurred() == nullptr) return number;
        if (PyErr_ExceptionMatches(PyExc_OverflowError) == 0) {
            if (!is_of_value()) throw py::error_already_set();
            refuse(PyExc_TypeError, value, row, expected);
        }
        PyErr_Clear();
        return std::nullopt;
    }
};

struct Reals : NumberReader {
    using Value = double;
    explicit Reals(std::string column) : NumberReader{std::move(column), "a number"} {}

    Value read(py::handle value, std::size_t row) {
        if (const auto number = real(value, row)) return *number;
        refuse(PyExc_ValueError, value, row, "a number a float64 can hold");
    }
};

// Reals that may be unknown: NaN.
struct NullableReals : Reals {
    using Reals::Reals;

    Value read(py::handle value, std::size_t row) {
        if (value.is_none()) return std::numeric_limits<double>::quiet_NaN();
        return Reals::read(value, row);
    }
};

struct Flags : NumberReader {
    using Value = std::uint8_t;
    explicit Flags(std::string column)
        : NumberReader{std::move(column), "a bool, or exactly 0 or 1"} {}

    Value read(py::handle value, std::size_t row) {
        if (value.ptr() == Py_True) return 1;
        if (value.ptr() == Py_False) return 0;
        const auto number = real(value, row);
        if (number == 0.0) return 0;
        if (number == 1.0) return 1;
        refuse(PyExc_ValueError, value, row, expected);
    }
};

// Flags that may be unknown: `no_verdict`.
struct Verdicts : Flags {
    explicit Verdicts(std::string column) : Flags(std::move(column)) {
        expected = "a bool, exactly 0 or 1, or None for no verdict";
    }

    Value read(py::handle value, std::size_t row) {
        return value.is_none() ? no_verdict : Flags::read(value, row);
    }
};

struct Integers : NumberReader {
    using Value = std::int64_t;
    explicit Integers(std::string column) : NumberReader{std::move(column), "an int"} {}

    Value read(py::handle value, std::size_t row) {
        if (PyLong_CheckExact(value.ptr())) return int64(value, value, row);
        const bool is_index = PyIndex_Check(value.ptr()) != 0 && !PyBool_Check(value.ptr());
        if (!is_index || !type.is_real(value)) refuse(PyExc_TypeError, value, row, expected);
        const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
        if (!index && !is_of_value()) throw py::error_already_set();
        if (!index) refuse(PyExc_TypeError, value, row, expected);  // a 0-d float array, say
        return int64(index, value, row);
    }

  private:
    Value int64(py::handle index, py::handle value, std::size_t row) const {
        int overflow = 0;
        const long long number = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
        if (overflow != 0) refuse(PyExc_ValueError, value, row, "an int an int64 can hold");
        return number;
    }
};

template <typename Kind>
py::array_t<typename Kind::Value> numbers(const py::object& column,
                                          const std::optional<Column<bool>>& mask,
                                          const std::string& name) {
    // A tuple of its own: reading a number may run Python code, which may change a list.
    const auto values = py::reinterpret_steal<py::tuple>(PySequence_Tuple(column.ptr()));
    if (!values) throw py::error_already_set();
    const Mask masked(mask);
    Kind reader(name);
    std::vector<typename Kind::Value> result(values.size());
    for (std::size_t row = 0; row < result.size(); ++row) {
        hear_signals(row);
        if (!masked.hides(row)) result[row] = reader.read(element(values, row), row);
    }
    return to_numpy(std::move(result));
}

}  // namespace

void bind_numbers(py::module_& module) {
    module.def(
        "reals_from_objects",
        [](const py::object& values, const std::optional<Column<bool>>& mask,
           const std::string& name, bool nullable) {
            return nullable ? numbers<NullableReals>(values, mask, name)
                            : numbers<Reals>(values, mask, name);
        },
        py::kw_only(), "values"_a, "mask"_a, "name"_a, "nullable"_a);
    module.def("integers_from_objects", &numbers<Integers>, py::kw_only(), "values"_a, "mask"_a,
               "name"_a);
    module.def(
        "flags_from_objects",
        [](const py::object& values, const std::optional<Column<bool>>& mask,
           const std::string& name) { return as_bools(numbers<Flags>(values, mask, name)); },
        py::kw_only(), "values"_a, "mask"_a, "name"_a);
    module.def("verdicts_from_objects", &numbers<Verdicts>, py::kw_only(), "values"_a, "mask"_a,
               "name"_a);
}

}  // namespace graphgpo::bindings
