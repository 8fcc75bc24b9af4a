// Python objects to keys: what makes two states equal, value by value.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <bit>
#include <cmath>
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

constexpr int deepest_nesting = 100;

constexpr const char* expected_state =
    "str, bytes, int, float, bool, a numeric array, or a list, tuple or dict of these";
constexpr const char* expected_id = "int, str, bytes or UUID";

// What is wrong with a value, found at any depth inside the state of a row.
struct Misfit {
    PyObject* type;  // PyExc_TypeError or PyExc_ValueError
    std::string problem;
};

// The dtype kind of a NumPy scalar ('i', 'f', ...); 0: it is none.
char numpy_scalar_kind(py::handle object) {
    if (!py::isinstance(object, py::module_::import("numpy").attr("generic"))) return 0;
    return object.attr("dtype").attr("kind").cast<char>();
}

bool is_integer_kind(char kind) { return kind == 'i' || kind == 'u'; }

bool is_uuid(py::handle object) {
    const auto* type = Py_TYPE(object.ptr());
    if (std::string_view(type->tp_name) != "UUID") return false;
    return py::isinstance(object, py::module_::import("uuid").attr("UUID"));
}

bool is_tensor(py::handle object) {
    return py::hasattr(object, "detach") && py::hasattr(object, "numpy");
}

void append_word(std::string& out, std::uint64_t word) {
    for (int byte = 0; byte < 8; ++byte) out.push_back(static_cast<char>(word >> (8 * byte)));
}

// An element inside a sequence or mapping: kind, then word, or size and bytes.
void append_element(std::string& out, const Key& key) {
    out.push_back(static_cast<char>(key.kind()));
    if (key.is_word()) {
        append_word(out, key.value());
    } else {
        append_word(out, key.bytes().size());
        out += key.bytes();
    }
}

class Encoder {
  public:
    Encoder(Arena& arena, Role role) : arena_(&arena), role_(role) {}

    // The key of one value. Text and bytes are viewed where they lie, so `object` must live as long
    // as the key; everything else is written into the arena.
    Key encode(py::handle object, int depth) const {
        PyObject* value = object.ptr();
        if (PyUnicode_Check(value)) return text(value);
        if (PyLong_CheckExact(value)) return integer(value);
        if (PyBytes_Check(value)) {
            return Key::view(KeyKind::bytes, {PyBytes_AS_STRING(value),
                                              static_cast<std::size_t>(PyBytes_GET_SIZE(value))});
        }
        if (value == Py_None) return {};
        if (role_ == Role::id) return id(object);
        if (PyBool_Check(value)) return Key::word(KeyKind::boolean, value == Py_True ? 1 : 0);
        if (PyLong_Check(value)) return integer(value);
        if (PyFloat_Check(value)) return real(object, depth);
        if (PyList_Check(value) || PyTuple_Check(value) || PyDict_Check(value)) {
            if (depth == deepest_nesting) {
                throw Misfit{PyExc_ValueError, "is nested deeper than " +
                                                   std::to_string(deepest_nesting) +
                                                   " levels (or contains itself)"};
            }
            return PyDict_Check(value) ? mapping(object, depth) : sequence(object, depth);
        }
        if (PyByteArray_Check(value) || PyMemoryView_Check(value)) return buffer(object);
        if (py::isinstance<py::array>(object)) {
            return array(py::reinterpret_borrow<py::array>(object), object, depth);
        }
        if (const char kind = numpy_scalar_kind(object)) return numpy_scalar(object, kind, depth);
        if (is_tensor(object)) return tensor(object, depth);
        throw misfit(PyExc_TypeError, object, depth, expected_state);
    }

  private:
    [[nodiscard]] static Misfit misfit(PyObject* type, py::handle object, int depth,
                                       const char* expected) {
        return {type, std::string(depth == 0 ? "is " : "contains ") + shortened(object) +
                          "; expected " + expected};
    }

    [[nodiscard]] Key text(PyObject* value) const {
        const auto length = static_cast<std::size_t>(PyUnicode_GET_LENGTH(value));
        if (PyUnicode_IS_ASCII(value)) {
            return Key::view(KeyKind::text,
                             {reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(value)), length});
        }
        // Not PyUnicode_AsUTF8: it keeps a second copy in the caller's object for ever, and refuses
        // lone surrogates.
        const int kind = PyUnicode_KIND(value);
        const void* data = PyUnicode_DATA(value);
        std::size_t size = 0;
        for (std::size_t i = 0; i < length; ++i) {
            const Py_UCS4 c = PyUnicode_READ(kind, data, static_cast<Py_ssize_t>(i));
            size += c < 0x80 ? 1u : c < 0x800 ? 2u : c < 0x10000 ? 3u : 4u;
        }
        char* const bytes = arena_->allocate(size);
        char* end = bytes;
        for (std::size_t i = 0; i < length; ++i) {
            end = append_code_point(end, PyUnicode_READ(kind, data, static_cast<Py_ssize_t>(i)));
        }
        return Key::view(KeyKind::text, {bytes, size});
    }

    [[nodiscard]] Key integer(PyObject* value) const {
        int overflow = 0;
        const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (overflow == 0) return Key::integer(number);
        // int's own methods: a subclass may have replaced them.
        const py::handle type(reinterpret_cast<PyObject*>(&PyLong_Type));
        const py::object bits = type.attr("bit_length")(py::handle(value));
        const py::bytes bytes = type.attr("to_bytes")(
            py::handle(value), bits.cast<std::size_t>() / 8 + 1, "little", "signed"_a = true);
        return Key::view(KeyKind::big_integer, arena_->copy(std::string_view(bytes)));
    }

    [[nodiscard]] static Key real(py::handle object, int depth) {
        const double value = PyFloat_AS_DOUBLE(object.ptr());
        if (std::isnan(value)) {
            throw misfit(PyExc_ValueError, object, depth,
                         "a number: NaN equals nothing, not even itself");
        }
        // + 0.0 turns -0.0 into 0.0, which it equals.
        return Key::word(KeyKind::real, std::bit_cast<std::uint64_t>(value + 0.0));
    }

    [[nodiscard]] Key id(py::handle object) const {
        PyObject* value = object.ptr();
        if (PyLong_Check(value) && !PyBool_Check(value)) return integer(value);
        if (is_uuid(object)) {
            const py::bytes bytes = object.attr("bytes");
            return Key::view(KeyKind::uuid, arena_->copy(std::string_view(bytes)));
        }
        if (is_integer_kind(numpy_scalar_kind(object))) {
            return integer(py::object(object.attr("item")()).ptr());
        }
        throw misfit(PyExc_TypeError, object, 0, expected_id);
    }

    [[nodiscard]] Key sequence(py::handle object, int depth) const {
        // A tuple of its own: encoding an element may run Python code, which may change the list.
        const auto elements = py::reinterpret_steal<py::tuple>(PySequence_Tuple(object.ptr()));
        if (!elements) throw py::error_already_set();
        std::string encoded;
        append_word(encoded, elements.size());
        for (const py::handle element : elements) {
            append_element(encoded, encode(element, depth + 1));
        }
        return Key::view(KeyKind::sequence, arena_->copy(encoded));
    }

    [[nodiscard]] Key mapping(py::handle object, int depth) const {
        const auto items = py::reinterpret_steal<py::list>(PyDict_Items(object.ptr()));
        if (!items) throw py::error_already_set();
        std::vector<std::pair<std::string, std::string>> entries;
        for (const py::handle item : items) {
            auto& [key, value] = entries.emplace_back();
            append_element(key, encode(PyTuple_GET_ITEM(item.ptr(), 0), depth + 1));
            append_element(value, encode(PyTuple_GET_ITEM(item.ptr(), 1), depth + 1));
        }
        std::ranges::sort(entries);
        std::string encoded;
        append_word(encoded, entries.size());
        for (const auto& [key, value] : entries) encoded += key + value;
        return Key::view(KeyKind::mapping, arena_->copy(encoded));
    }

    [[nodiscard]] Key buffer(py::handle object) const {
        const py::bytes bytes =
            PyMemoryView_Check(object.ptr())
                ? py::bytes(object.attr("tobytes")())
                : py::bytes(PyByteArray_AS_STRING(object.ptr()),
                            static_cast<std::size_t>(PyByteArray_GET_SIZE(object.ptr())));
        return Key::view(KeyKind::bytes, arena_->copy(std::string_view(bytes)));
    }

    [[nodiscard]] Key array(const py::array& values, py::handle object, int depth) const {
        const std::optional<CanonicalArray> canonical = canonical_array(values);
        if (!canonical) {
            throw misfit(PyExc_TypeError, object, depth,
                         "a numeric array (bool, int, uint or float of at most 64 bits)");
        }
        if (first_row_with_nan(*canonical, 1, Mask(std::nullopt))) {
            throw misfit(PyExc_ValueError, object, depth,
                         "numbers: NaN equals nothing, not even itself");
        }
        const std::string header = canonical->header(0);
        std::string encoded(1, static_cast<char>(header.size()));
        encoded += header;
        encoded += canonical->bytes();
        return Key::view(KeyKind::array, arena_->copy(encoded));
    }

    [[nodiscard]] Key numpy_scalar(py::handle object, char kind, int depth) const {
        const py::object item = object.attr("item")();
        if (kind == 'b') return Key::word(KeyKind::boolean, item.ptr() == Py_True ? 1 : 0);
        if (is_integer_kind(kind)) return integer(item.ptr());
        if (PyFloat_CheckExact(item.ptr())) return real(item, depth);
        throw misfit(PyExc_TypeError, object, depth, expected_state);
    }

    [[nodiscard]] Key tensor(py::handle object, int depth) const {
        const py::object values =
            py::module_::import("graphgpo.ingest").attr("tensor_to_numpy")(object);
        return array(py::reinterpret_borrow<py::array>(values), object, depth);
    }

    Arena* arena_;
    Role role_;
};

OwnedKeyColumn keys_from_objects(const py::tuple& values, const std::optional<Column<bool>>& mask,
                                 const std::string& name, bool is_id) {
    const Mask masked(mask);
    Arena arena;
    const Encoder encoder(arena, is_id ? Role::id : Role::state);
    std::vector<Key> keys(values.size());
    for (std::size_t row = 0; row < keys.size(); ++row) {
        if (masked.hides(row)) continue;
        try {
            keys[row] =
                encoder.encode(PyTuple_GET_ITEM(values.ptr(), static_cast<py::ssize_t>(row)), 0);
        } catch (const Misfit& misfit) {
            raise(misfit.type, name + "[" + std::to_string(row) + "] " + misfit.problem);
        }
    }
    return {std::move(keys), std::move(arena), values};
}

// One value of a numeric column, as `T`.
template <typename T>
T number(py::handle object, const std::string& name, std::size_t row);

[[noreturn]] void refuse(PyObject* type, py::handle object, const std::string& name,
                         std::size_t row, const char* expected) {
    raise(type, name + "[" + std::to_string(row) + "] is " + shortened(object) + "; expected " +
                    expected);
}

template <>
double number<double>(py::handle object, const std::string& name, std::size_t row) {
    PyObject* value = object.ptr();
    if (PyFloat_CheckExact(value)) return PyFloat_AS_DOUBLE(value);
    const PyNumberMethods* methods = Py_TYPE(value)->tp_as_number;
    const bool has_float = methods != nullptr && methods->nb_float != nullptr;
    const bool has_index = methods != nullptr && methods->nb_index != nullptr;
    const bool is_complex =
        py::isinstance(object, py::module_::import("numbers").attr("Complex")) &&
        !py::isinstance(object, py::module_::import("numbers").attr("Real"));
    if ((!has_float && !has_index) || is_complex) {
        refuse(PyExc_TypeError, object, name, row, "a number");
    }
    const double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred() != nullptr) {
        PyErr_Clear();
        refuse(PyExc_ValueError, object, name, row, "a number a float64 can hold");
    }
    return number;
}

template <>
std::int64_t number<std::int64_t>(py::handle object, const std::string& name, std::size_t row) {
    if (PyBool_Check(object.ptr()) || PyIndex_Check(object.ptr()) == 0) {
        refuse(PyExc_TypeError, object, name, row, "an int");
    }
    const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
    if (!index) {  // an array, say, that is no integer after all
        PyErr_Clear();
        refuse(PyExc_TypeError, object, name, row, "an int");
    }
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
    if (overflow != 0) refuse(PyExc_ValueError, object, name, row, "an int an int64 can hold");
    return number;
}

template <>
std::uint8_t number<std::uint8_t>(py::handle object, const std::string& name, std::size_t row) {
    if (object.ptr() == Py_True) return 1;
    if (object.ptr() == Py_False) return 0;
    const char* const expected = "a bool, or exactly 0 or 1";
    const PyNumberMethods* methods = Py_TYPE(object.ptr())->tp_as_number;
    if (methods == nullptr || (methods->nb_float == nullptr && methods->nb_index == nullptr)) {
        refuse(PyExc_TypeError, object, name, row, expected);
    }
    const double value = PyFloat_AsDouble(object.ptr());
    if (value == 0) return 0;
    if (value == 1) return 1;
    PyErr_Clear();
    refuse(PyExc_ValueError, object, name, row, expected);
}

template <typename T>
py::array_t<T> numbers(const py::tuple& values, const std::optional<Column<bool>>& mask,
                       const std::string& name) {
    const Mask masked(mask);
    std::vector<T> result(values.size());
    for (std::size_t row = 0; row < result.size(); ++row) {
        if (masked.hides(row)) continue;
        result[row] =
            number<T>(PyTuple_GET_ITEM(values.ptr(), static_cast<py::ssize_t>(row)), name, row);
    }
    return to_numpy(std::move(result));
}

}  // namespace

void bind_objects(py::module_& module) {
    module.def("keys_from_objects", &keys_from_objects, py::kw_only(), "values"_a, "mask"_a,
               "name"_a, "is_id"_a);
    module.def("reals_from_objects", &numbers<double>, py::kw_only(), "values"_a, "mask"_a,
               "name"_a);
    module.def("integers_from_objects", &numbers<std::int64_t>, py::kw_only(), "values"_a, "mask"_a,
               "name"_a);
    module.def(
        "flags_from_objects",
        [](const py::tuple& values, const std::optional<Column<bool>>& mask,
           const std::string& name) {
            return numbers<std::uint8_t>(values, mask, name).attr("view")("?");
        },
        py::kw_only(), "values"_a, "mask"_a, "name"_a);
}

}  // namespace graphgpo::bindings
