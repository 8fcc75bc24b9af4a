// Every rule of dtype, shape and ownership between NumPy and the core.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

namespace graphgpo::bindings {

namespace py = pybind11;

// What the Python layer hands over: C-contiguous, of exactly this dtype, one value per row.
template <typename T>
using Column = py::array_t<T, py::array::c_style>;

template <typename T>
struct ViewedAs {
    using type = T;
};
template <>
struct ViewedAs<bool> {  // NumPy's bools are bytes, 0 or 1
    using type = std::uint8_t;
};

// A view of the array's own memory: the array must outlive it.
template <typename T>
std::span<const typename ViewedAs<T>::type> view(const Column<T>& column) {
    if (column.ndim() != 1) throw std::invalid_argument("expected an array with one axis");
    if (reinterpret_cast<std::uintptr_t>(column.data()) % alignof(T) != 0) {
        throw std::logic_error("an array of numbers is not aligned");  // ingest makes it so
    }
    return {reinterpret_cast<const typename ViewedAs<T>::type*>(column.data()),
            static_cast<std::size_t>(column.size())};
}

template <typename T>
std::optional<std::span<const typename ViewedAs<T>::type>> view(
    const std::optional<Column<T>>& column) {
    if (!column) return std::nullopt;
    return view(*column);
}

// An array over the vector's own memory: nothing is copied, the array frees it.
template <typename T>
py::array_t<T> to_numpy(std::vector<T>&& values) {
    auto owned = std::make_unique<std::vector<T>>(std::move(values));
    const auto* data = owned->data();
    const auto size = static_cast<py::ssize_t>(owned->size());
    const py::capsule owner(
        owned.get(), [](void* vector) noexcept { delete static_cast<std::vector<T>*>(vector); });
    (void)owned.release();  // the capsule's now
    return py::array_t<T>(size, data, owner);
}

// Bytes of 0 and 1 as NumPy's bools, over the same memory.
inline py::array as_bools(const py::array_t<std::uint8_t>& flags) {
    return py::array(flags.attr("view")("?"));
}

// The elements of an object array with one axis, contiguous and aligned. NumPy takes null for None.
[[nodiscard]] inline std::span<PyObject* const> object_elements(const py::object& values) {
    const auto array = py::reinterpret_borrow<py::array>(values);
    constexpr int wanted = int{py::array::c_style} | int{py::detail::npy_api::NPY_ARRAY_ALIGNED_};
    if (array.dtype().kind() != 'O' || array.ndim() != 1 || (array.flags() & wanted) != wanted) {
        throw py::type_error("expected a contiguous array of objects with one axis");
    }
    return {static_cast<PyObject* const*>(array.data()), static_cast<std::size_t>(array.size())};
}

// Borrowed; the tuple is never changed, so it lives as long as the tuple does.
inline py::handle element(const py::tuple& values, std::size_t row) {
    return PyTuple_GET_ITEM(values.ptr(), static_cast<Py_ssize_t>(row));
}

}  // namespace graphgpo::bindings
