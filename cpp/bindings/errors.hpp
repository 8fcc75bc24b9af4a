// Messages about a caller's Python values.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

namespace graphgpo::bindings {

namespace py = pybind11;

[[noreturn]] inline void raise(PyObject* type, const std::string& message) {
    // By its size: it may quote a NUL, and lone surrogates.
    const auto text = py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(
        message.data(), static_cast<Py_ssize_t>(message.size()), "surrogatepass"));
    if (text) PyErr_SetObject(type, text.ptr());
    throw py::error_already_set();
}

// "{1, 2} (set)": the value as Python writes it, shortened, and its type.
[[nodiscard]] inline std::string shortened(py::handle object) {
    constexpr Py_ssize_t longest = 60;
    const std::string type = py::str(py::type::handle_of(object).attr("__name__"));
    const auto text = py::reinterpret_steal<py::object>(PyObject_Repr(object.ptr()));
    if (!text) {  // the value's own __repr__ failed
        if (PyErr_ExceptionMatches(PyExc_Exception) == 0) throw py::error_already_set();
        PyErr_Clear();
        return "a " + type;
    }
    const auto start = py::reinterpret_steal<py::str>(PyUnicode_Substring(text.ptr(), 0, longest));
    const auto* dots = PyUnicode_GET_LENGTH(text.ptr()) > longest ? "..." : "";
    const auto bytes = py::reinterpret_steal<py::bytes>(
        PyUnicode_AsEncodedString(start.ptr(), "utf-8", "surrogatepass"));
    if (!bytes) throw py::error_already_set();
    const std::string value = std::string(bytes) + dots;
    return value + " (" + type + ")";
}

}  // namespace graphgpo::bindings
