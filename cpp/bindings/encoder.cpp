#include "encoder.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "errors.hpp"
#include "numeric_arrays.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

constexpr int deepest_nesting = 100;

constexpr const char* expected_state =
    "str, bytes, int, float, bool, a numeric array, or a list, tuple or dict of these";
constexpr const char* expected_id = "int, str, bytes, UUID or a tuple of these";
// Of one state, encoded. Parts that several others share are written out for each.
constexpr std::size_t largest_state = std::size_t{1} << 26;
constexpr const char* expected_array =
    "a numeric array (bool, int, uint or float of at most 64 bits)";

Misfit misfit(PyObject* type, py::handle value, int depth, const char* expected) {
    const char* verb = depth == 0 ? "is " : "contains ";
    return {type, verb + shortened(value) + "; expected " + expected};
}

std::string_view contents(PyObject* bytes) {
    return {PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
}

Key boolean(bool value) { return Key::word(KeyKind::boolean, value ? 1 : 0); }

void check_depth(int depth) {
    if (depth < deepest_nesting) return;
    throw Misfit{PyExc_ValueError, "is nested deeper than " + std::to_string(deepest_nesting) +
                                       " levels (or contains itself)"};
}

void write_word(char* out, std::uint64_t word) {
    for (int byte = 0; byte < 8; ++byte) out[byte] = static_cast<char>(word >> (8 * byte));
}

// The ints a tuple begins with, as `append_key` would, and how many they are: token ids come by the
// hundred, and a string that grows with each takes three times as long.
std::size_t append_integers(std::string& out, const py::tuple& elements) {
    constexpr std::size_t encoded_size = 9;
    const std::size_t begin = out.size();
    out.resize(begin + encoded_size * elements.size());
    char* at = out.data() + begin;
    std::size_t count = 0;
    for (; count < elements.size(); ++count, at += encoded_size) {
        PyObject* const value = element(elements, count).ptr();
        if (!PyLong_CheckExact(value)) break;
        int overflow = 0;
        const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (overflow != 0) break;
        at[0] = static_cast<char>(KeyKind::integer);
        write_word(at + 1, static_cast<std::uint64_t>(number));
    }
    out.resize(begin + encoded_size * count);
    return count;
}

bool is_integer_kind(char kind) { return kind == 'i' || kind == 'u'; }

// The Python int of a NumPy integer.
py::object as_int(py::handle value) {
    auto number = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    if (!number) throw py::error_already_set();
    return number;
}

// pandas.NA and pandas.NaT, each the one value of its type, found out without importing pandas.
bool is_null_of_pandas(py::handle type) {
    const auto* name = reinterpret_cast<PyTypeObject*>(type.ptr())->tp_name;
    const std::string_view of =
        std::string_view(name).substr(std::string_view(name).rfind('.') + 1);
    if (of != "NAType" && of != "NaTType") return false;
    const py::object module = type.attr("__module__");
    return py::isinstance<py::str>(module) && std::string(py::str(module)).starts_with("pandas.");
}

bool is_instance(py::handle value, const char* module, const char* type) {
    return py::isinstance(value, py::module_::import(module).attr(type));
}

void check_size(std::size_t size) {
    if (size <= largest_state) return;
    throw Misfit{PyExc_ValueError,
                 "is larger than 64 MiB when it is written out (nested parts that repeat?); "
                 "expected a smaller state, or its graphgpo.state_key"};
}

}  // namespace

void append_word(std::string& out, std::uint64_t word) {
    char bytes[8];
    write_word(bytes, word);
    out.append(bytes, sizeof bytes);
}

void append_key(std::string& out, const Key& key) {
    char bytes[9];
    bytes[0] = static_cast<char>(key.kind());
    write_word(bytes + 1, key.is_word() ? key.value() : key.bytes().size());
    out.append(bytes, sizeof bytes);
    if (!key.is_word()) out += key.bytes();
}

py::array array_of_tensor(py::handle tensor) {
    const std::string device = py::str(tensor.attr("device").attr("type"));
    if (device != "cpu") {
        throw Misfit{PyExc_TypeError, "is a tensor on " +
                                          std::string(py::str(tensor.attr("device"))) +
                                          "; expected a CPU tensor: call .cpu()"};
    }
    try {
        const py::object values = tensor.attr("detach")().attr("numpy")();
        if (py::isinstance<py::array>(values)) return py::reinterpret_borrow<py::array>(values);
        throw Misfit{PyExc_TypeError,
                     "is a " + std::string(py::str(py::type::handle_of(tensor).attr("__name__"))) +
                         " whose numpy() is no NumPy array; expected a CPU tensor"};
    } catch (py::error_already_set& error) {  // bfloat16, sparse, conjugated, ...
        if (!error.matches(PyExc_TypeError) && !error.matches(PyExc_RuntimeError)) throw;
        throw Misfit{PyExc_TypeError,
                     "is a tensor of " + std::string(py::str(tensor.attr("dtype"))) +
                         " that NumPy cannot hold (" + std::string(py::str(error.value())) +
                         "); expected a dense one of a NumPy dtype"};
    }
}

Key Encoder::encode(py::handle object, int depth) {
    PyObject* value = object.ptr();
    if (PyUnicode_Check(value)) return text(value, depth);
    if (PyLong_CheckExact(value)) return integer(value);
    if (PyBytes_Check(value)) return Key::view(KeyKind::bytes, contents(value));
    if (value == Py_None) return {};
    if (role_ == Role::id) return id(object);
    if (PyBool_Check(value)) return boolean(value == Py_True);
    if (PyLong_Check(value)) return integer(value);
    if (PyFloat_Check(value)) return real(object, PyFloat_AS_DOUBLE(value), depth);
    if (PyList_Check(value) || PyTuple_Check(value)) return sequence(object, depth);
    if (PyDict_Check(value)) return mapping(object, depth);
    if (PyByteArray_Check(value) || PyMemoryView_Check(value)) return buffer(object);
    if (py::isinstance<py::array>(object)) {
        return array(py::reinterpret_borrow<py::array>(object), object, depth);
    }
    return encode_other(object, depth);
}

Key Encoder::encode_other(py::handle value, int depth) {
    const OtherType& type = other_type(value);
    if (type.is_tensor) return tensor(value, depth);
    if (type.is_null && depth == 0) return {};
    switch (type.scalar_kind) {
        case 'b':
            return boolean(PyObject_IsTrue(value.ptr()) == 1);
        case 'i':
        case 'u':
            return integer(as_int(value).ptr());
        case 'f':
            return real(value, PyFloat_AsDouble(value.ptr()), depth);
        default:
            throw misfit(PyExc_TypeError, value, depth, expected_state);
    }
}

const Encoder::OtherType& Encoder::other_type(py::handle value) {
    const py::handle type = py::type::handle_of(value);
    if (other_.type.is(type)) return other_;
    OtherType found{.type = py::reinterpret_borrow<py::object>(type)};
    if (is_instance(value, "numpy", "generic")) {
        const py::object dtype = value.attr("dtype");
        const char kind = dtype.attr("kind").cast<char>();
        // A long double has no Python value.
        if (kind != 'f' || dtype.attr("itemsize").cast<int>() <= 8) found.scalar_kind = kind;
    } else {
        found.is_uuid = is_instance(value, "uuid", "UUID");
        found.is_null = is_null_of_pandas(type);
        found.is_tensor = py::hasattr(value, "detach") && py::hasattr(value, "numpy") &&
                          py::hasattr(value, "device");
    }
    return other_ = std::move(found);
}

Key Encoder::id(py::handle object) {
    PyObject* value = object.ptr();
    if (PyLong_Check(value) && !PyBool_Check(value)) return integer(value);
    const OtherType& type = other_type(object);
    if (type.is_null) return {};
    if (is_integer_kind(type.scalar_kind)) return integer(as_int(object).ptr());
    if (type.is_tensor) return tensor(object, 0);
    if (type.is_uuid) {
        const py::bytes bytes = object.attr("bytes");
        return Key::view(KeyKind::uuid, arena_->copy(contents(bytes.ptr())));
    }
    if (PyTuple_Check(value)) return tuple_of_ids(object);
    throw misfit(PyExc_TypeError, object, 0, expected_id);
}

// As a sequence of ids.
Key Encoder::tuple_of_ids(py::handle value) {
    const auto elements = py::reinterpret_borrow<py::tuple>(value);
    std::string encoded;
    append_word(encoded, elements.size());
    for (std::size_t i = 0; i < elements.size(); ++i) {
        const py::handle part = bindings::element(elements, i);
        if (part.is_none() || PyTuple_Check(part.ptr()) != 0) {
            throw misfit(PyExc_TypeError, value, 0, expected_id);
        }
        append_key(encoded, encode(part, 1));
    }
    return Key::view(KeyKind::sequence, arena_->copy(encoded));
}

Key Encoder::text(PyObject* value, int depth) {
    // Inside a sequence or mapping the bytes are copied in any case.
    const bool is_in_place = text_form_ == TextForm::in_place && depth == 0;
    if (is_in_place || PyUnicode_IS_ASCII(value)) return text_in_place(value);
    // Not PyUnicode_AsUTF8: it keeps a second copy in the caller's object for ever, and refuses
    // lone surrogates.
    const auto utf8 = [&](const auto* units) {
        const auto length = static_cast<std::size_t>(PyUnicode_GET_LENGTH(value));
        return Key::view(KeyKind::text, arena_->copy(text_.encode(std::span(units, length))));
    };
    switch (PyUnicode_KIND(value)) {
        case PyUnicode_1BYTE_KIND:
            return utf8(PyUnicode_1BYTE_DATA(value));
        case PyUnicode_2BYTE_KIND:
            return utf8(PyUnicode_2BYTE_DATA(value));
        default:
            return utf8(PyUnicode_4BYTE_DATA(value));
    }
}

Key Encoder::integer(PyObject* value) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow == 0) return Key::integer(number);
    // int's own methods: a subclass may have replaced them.
    const py::handle type(reinterpret_cast<PyObject*>(&PyLong_Type));
    const py::object bits = type.attr("bit_length")(py::handle(value));
    const py::bytes bytes = type.attr("to_bytes")(
        py::handle(value), bits.cast<std::size_t>() / 8 + 1, "little", "signed"_a = true);
    return Key::view(KeyKind::big_integer, arena_->copy(contents(bytes.ptr())));
}

Key Encoder::real(py::handle value, double number, int depth) {
    if (std::isnan(number)) {
        if (nan_ == NaNMeans::unknown && depth == 0) return {};
        throw misfit(PyExc_ValueError, value, depth,
                     "a number: NaN equals nothing, not even itself");
    }
    // + 0.0 turns -0.0 into 0.0, which it equals.
    return Key::word(KeyKind::real, std::bit_cast<std::uint64_t>(number + 0.0));
}

Key Encoder::buffer(py::handle value) {
    if (PyByteArray_Check(value.ptr())) {
        const auto size = static_cast<std::size_t>(PyByteArray_GET_SIZE(value.ptr()));
        return Key::view(KeyKind::bytes, arena_->copy({PyByteArray_AS_STRING(value.ptr()), size}));
    }
    const py::bytes bytes = value.attr("tobytes")();
    return Key::view(KeyKind::bytes, arena_->copy(contents(bytes.ptr())));
}

Key Encoder::sequence(py::handle value, int depth) {
    std::string encoded;
    append_elements(encoded, value, depth);
    return Key::view(KeyKind::sequence, arena_->copy(encoded));
}

void Encoder::append_elements(std::string& out, py::handle sequence, int depth) {
    check_depth(depth);
    // A tuple of its own: encoding an element may run Python code, which may change the list.
    const auto elements = py::reinterpret_steal<py::tuple>(PySequence_Tuple(sequence.ptr()));
    if (!elements) throw py::error_already_set();
    append_word(out, elements.size());
    const std::size_t leading = append_integers(out, elements);
    for (std::size_t i = leading; i < elements.size(); ++i) {
        append(out, bindings::element(elements, i), depth + 1);
        check_size(out.size());
    }
}

void Encoder::append(std::string& out, py::handle value, int depth) {
    if (!PyList_Check(value.ptr()) && !PyTuple_Check(value.ptr())) {
        return append_key(out, encode(value, depth));
    }
    // As its key would be, but without a copy per level.
    out.push_back(static_cast<char>(KeyKind::sequence));
    const std::size_t size_at = out.size();
    append_word(out, 0);
    append_elements(out, value, depth);
    write_word(out.data() + size_at, out.size() - size_at - 8);
}

Key Encoder::mapping(py::handle value, int depth) {
    check_depth(depth);
    const auto items = py::reinterpret_steal<py::list>(PyDict_Items(value.ptr()));
    if (!items) throw py::error_already_set();
    std::vector<std::pair<std::string, std::string>> entries;
    std::size_t size = 0;
    for (const py::handle item : items) {
        auto& [key, entry] = entries.emplace_back();
        append(key, PyTuple_GET_ITEM(item.ptr(), 0), depth + 1);
        append(entry, PyTuple_GET_ITEM(item.ptr(), 1), depth + 1);
        size += key.size() + entry.size();
        check_size(size);
    }
    std::ranges::sort(entries);
    std::string encoded;
    append_word(encoded, entries.size());
    for (const auto& [key, entry] : entries) encoded += key + entry;
    return Key::view(KeyKind::mapping, arena_->copy(encoded));
}

Key Encoder::array(const py::array& values, py::handle value, int depth) {
    const std::optional<CanonicalArray> canonical = canonical_array(values);
    if (!canonical) throw misfit(PyExc_TypeError, value, depth, expected_array);
    if (canonical->has_nan) {
        throw misfit(PyExc_ValueError, value, depth,
                     "numbers: NaN equals nothing, not even itself");
    }
    return array_key(*arena_, canonical->header(0), canonical->bytes());
}

// Without an axis it is its number: torch has no other scalars, and indexing a tensor makes these.
Key Encoder::tensor(py::handle value, int depth) {
    const py::array values = array_of_tensor(value);
    if (values.ndim() > 0) {
        if (role_ == Role::id) throw misfit(PyExc_TypeError, value, depth, expected_id);
        return array(values, value, depth);
    }
    const py::object number = values.attr("item")();
    return encode(number, depth);
}

}  // namespace graphgpo::bindings
