// Arrays that the core takes as they are, of all columns in one call: to tell them apart in Python,
// by the rules of `ingest`, takes longer than to credit a small batch.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "arrays.hpp"
#include "key_column.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

// NumPy's own array, no subclass of it; of this dtype, with one axis, contiguous and aligned.
template <typename T>
bool is_plain(py::handle values) {
    if (Py_TYPE(values.ptr()) != py::detail::npy_api::get().PyArray_Type_) return false;
    const auto array = py::reinterpret_borrow<py::array>(values);
    const bool is_aligned = (array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
    return array.ndim() == 1 && is_aligned && py::isinstance<Column<T>>(values);
}

template <typename T>
Column<T> copy_of(const Column<T>& values) {
    Column<T> copy(values.size());
    std::copy_n(values.data(), values.size(), copy.mutable_data());
    return copy;
}

// The column of a kind as `graphgpo.columns` names them, if it is such an array; else None. What
// is read more than once and indexes memory is a copy: the caller may change its own meanwhile.
py::object plain_array(std::string_view name, std::string_view kind, py::handle values) {
    const auto is_any_of = [kind](auto... kinds) { return ((kind == kinds) || ...); };
    if (is_any_of("state", "key", "id", "integer") && is_plain<std::int64_t>(values)) {
        auto integers = py::reinterpret_borrow<Column<std::int64_t>>(values);
        if (kind == "integer") return integers;
        if (kind == "id") integers = copy_of(integers);
        return py::cast(OwnedKeyColumn(std::move(integers)));
    }
    if (is_any_of("flag", "verdict") && is_plain<bool>(values)) {
        const auto flags = py::reinterpret_borrow<Column<bool>>(values);
        if (kind == "flag") return name == "mask" ? copy_of(flags) : flags;
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(flags.data());
        return py::array_t<std::uint8_t>(flags.size(), bytes, flags);
    }
    if (kind == "real" && is_plain<double>(values)) {
        return py::reinterpret_borrow<py::object>(values);
    }
    return py::none();
}

// By the names of `kinds`; None too for what is not given.
py::dict plain_arrays(const py::dict& given, const py::dict& kinds) {
    py::dict columns;
    for (const auto& [name, kind] : kinds) {
        PyObject* const values = PyDict_GetItemWithError(given.ptr(), name.ptr());
        if (values == nullptr && PyErr_Occurred() != nullptr) throw py::error_already_set();
        columns[name] = values == nullptr ? py::none()
                                          : plain_array(name.cast<std::string_view>(),
                                                        kind.cast<std::string_view>(), values);
    }
    return columns;
}

}  // namespace

void bind_plain_arrays(py::module_& module) {
    module.def("plain_arrays", &plain_arrays, py::kw_only(), "given"_a, "kinds"_a);
}

}  // namespace graphgpo::bindings
