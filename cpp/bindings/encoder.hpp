// One Python value to its key: what makes two states, or two ids, equal.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "graphgpo/text.hpp"
#include "key_column.hpp"

namespace graphgpo::bindings {

// States may be any value with an equality; ids only int, str, bytes or UUID.
enum class Role { state, id };

// Whether a NaN in the place of a whole value stands for none: pandas writes unknown so when it
// shifts a column.
enum class NaNMeans { nothing_equal, unknown };

// How a str becomes a key. In place, in Python's own units, nothing is copied, and it is equal only
// to others in place; UTF-8 is what every other column of text has, and what stable keys are made
// of.
enum class TextForm { utf8, in_place };

// What is wrong with a value: "is {1, 2} (set); expected ...". Who catches it knows the row.
struct Misfit {
    PyObject* type;  // PyExc_TypeError or PyExc_ValueError
    std::string problem;
};

// The array over the memory of a torch CPU tensor, found out without importing torch. Throws
// Misfit.
[[nodiscard]] py::array array_of_tensor(py::handle tensor);

// A str where it lies: ASCII is its own UTF-8, other text is in Python's units, the narrowest that
// fit, so that equal texts have equal units.
[[nodiscard]] inline Key text_in_place(PyObject* text) {
    const auto length = static_cast<std::size_t>(PyUnicode_GET_LENGTH(text));
    const auto* const units = static_cast<const char*>(PyUnicode_DATA(text));
    if (PyUnicode_IS_ASCII(text)) return Key::view(KeyKind::text, {units, length});
    const auto bytes_per_unit = static_cast<std::size_t>(PyUnicode_KIND(text));
    const KeyKind kind = bytes_per_unit == 1   ? KeyKind::ucs1_text
                         : bytes_per_unit == 2 ? KeyKind::ucs2_text
                                               : KeyKind::ucs4_text;
    return Key::view(kind, {units, length * bytes_per_unit});
}

// As key.hpp lays them out inside sequences and mappings.
void append_word(std::string& out, std::uint64_t word);
void append_key(std::string& out, const Key& key);

class Encoder {
  public:
    // Keys view `arena` and the values themselves: both must outlive them.
    Encoder(Arena& arena, Role role, TextForm text_form, NaNMeans nan = NaNMeans::nothing_equal)
        : arena_(&arena), role_(role), text_form_(text_form), nan_(nan) {}

    // The null key for None and for pandas' NA and NaT. Throws Misfit.
    [[nodiscard]] Key encode(py::handle value) { return encode(value, 0); }

  private:
    // What a type of no built-in kind is, looked up once for a run of values of that type.
    struct OtherType {
        py::object type;
        char scalar_kind = 0;  // dtype kind of a NumPy scalar that has a Python value
        bool is_tensor = false;
        bool is_uuid = false;
        bool is_null = false;
    };

    [[nodiscard]] Key encode(py::handle value, int depth);
    [[nodiscard]] Key encode_other(py::handle value, int depth);
    [[nodiscard]] Key id(py::handle value);
    [[nodiscard]] Key tuple_of_ids(py::handle value);
    [[nodiscard]] Key text(PyObject* value, int depth);
    [[nodiscard]] Key integer(PyObject* value);
    [[nodiscard]] Key real(py::handle value, double number, int depth);
    [[nodiscard]] Key buffer(py::handle value);
    [[nodiscard]] Key sequence(py::handle value, int depth);
    [[nodiscard]] Key mapping(py::handle value, int depth);
    [[nodiscard]] Key array(const py::array& values, py::handle value, int depth);
    [[nodiscard]] Key tensor(py::handle value, int depth);

    // An element inside a sequence or mapping, as key.hpp lays it out.
    void append(std::string& out, py::handle value, int depth);
    void append_elements(std::string& out, py::handle sequence, int depth);

    [[nodiscard]] const OtherType& other_type(py::handle value);

    Arena* arena_;
    Role role_;
    TextForm text_form_;
    NaNMeans nan_;
    TextEncoder text_;
    OtherType other_;
};

}  // namespace graphgpo::bindings
