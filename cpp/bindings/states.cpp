// What counts as one state: texts normalised, near-duplicates found.
#include "states.hpp"

#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "arrays.hpp"
#include "gil.hpp"
#include "graphgpo/interner.hpp"
#include "graphgpo/states/normaliser.hpp"
#include "graphgpo/states/similar.hpp"
#include "graphgpo/text.hpp"
#include "key_column.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

using KeptStretches = std::vector<std::vector<std::pair<std::size_t, std::size_t>>>;

// A list's texts in UTF-8: where they lie if they are ASCII, else copied.
class Utf8Texts {
  public:
    explicit Utf8Texts(const py::list& texts) : texts_(texts) {
        views_.reserve(texts_.size());
        TextEncoder encoder;
        for (std::size_t row = 0; row < texts_.size(); ++row) {
            hear_signals(row);
            const py::handle text = element(texts_, row);
            if (PyUnicode_Check(text.ptr()) == 0) throw py::type_error("expected a list of str");
            views_.push_back(view(text.ptr(), encoder));
        }
    }
    [[nodiscard]] std::span<const std::string_view> views() const noexcept { return views_; }
    [[nodiscard]] py::handle operator[](std::size_t text) const { return element(texts_, text); }

  private:
    std::string_view view(PyObject* text, TextEncoder& encoder) {
        const auto length = static_cast<std::size_t>(PyUnicode_GET_LENGTH(text));
        const auto units = [&]<typename Unit>(const Unit* data) {
            return arena_.copy(encoder.encode(std::span<const Unit>(data, length)));
        };
        if (PyUnicode_IS_ASCII(text)) {
            return {reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(text)), length};
        }
        switch (PyUnicode_KIND(text)) {
            case PyUnicode_1BYTE_KIND:
                return units(PyUnicode_1BYTE_DATA(text));
            case PyUnicode_2BYTE_KIND:
                return units(PyUnicode_2BYTE_DATA(text));
            default:
                return units(PyUnicode_4BYTE_DATA(text));
        }
    }

    py::tuple texts_;  // nobody changes it while the GIL is released
    Arena arena_;
    std::vector<std::string_view> views_;
};

py::object to_python(std::string_view text) {
    PyObject* const decoded =
        PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogatepass");
    if (decoded == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(decoded);
}

// Stretches of code points as stretches of bytes; both ascending.
std::vector<Stretch> in_bytes(const std::vector<std::pair<std::size_t, std::size_t>>& stretches,
                              std::string_view text) {
    std::size_t at = 0;
    std::size_t code_points = 0;
    const auto byte_of = [&](std::size_t code_point) {
        const auto continues = [&] {
            return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
        };
        while (at != text.size() && code_points < code_point) {
            ++at;
            while (at != text.size() && continues()) ++at;
            ++code_points;
        }
        return at;
    };
    std::vector<Stretch> result;
    for (const auto& [begin, end] : stretches) {
        const std::size_t first = byte_of(begin);
        result.push_back({first, byte_of(end)});
    }
    return result;
}

py::list normalise_texts(const py::list& texts, bool urls, bool timestamps, bool uuids, bool hex,
                         bool numbers, bool whitespace, const std::optional<KeptStretches>& kept) {
    const Utf8Texts given(texts);
    if (kept && kept->size() != given.views().size()) {
        throw py::value_error("expected kept stretches for every text");
    }
    const NoiseClasses classes{urls, timestamps, uuids, hex, numbers, whitespace};
    std::vector<std::string> normalised(given.views().size());
    without_gil([&] {
        StopMeter meter;
        for (std::size_t i = 0; i < normalised.size(); ++i) {
            const std::string_view text = given.views()[i];
            meter(1 + text.size() / 64);
            const auto stretches = kept ? in_bytes((*kept)[i], text) : std::vector<Stretch>();
            normalised[i] = normalise_text(text, classes, stretches);
        }
    });
    py::list result(normalised.size());
    for (std::size_t i = 0; i < normalised.size(); ++i) {
        hear_signals(i);
        const bool is_same = normalised[i] == given.views()[i];
        result[i] =
            is_same ? py::reinterpret_borrow<py::object>(given[i]) : to_python(normalised[i]);
    }
    return result;
}

// The texts of a column, one str for equal ones, None where it is null; None if it holds others.
py::object texts_of_column(const OwnedKeyColumn& column) {
    const KeyColumn view = column.view();
    const auto* const keys = std::get_if<std::span<const Key>>(&view);
    if (keys == nullptr) return py::none();
    for (const Key& key : *keys) {
        if (!key.is_null() && key.kind() != KeyKind::text) return py::none();
    }
    Interner interner(keys->size());
    std::vector<py::object> distinct;
    py::list result(keys->size());
    for (std::size_t row = 0; row < keys->size(); ++row) {
        hear_signals(row);
        const Key& key = (*keys)[row];
        if (key.is_null()) {
            result[row] = py::none();
            continue;
        }
        const auto id = index(interner.intern(key));
        if (id == distinct.size()) distinct.push_back(to_python(key.bytes()));
        result[row] = distinct[id];
    }
    return result;
}

std::tuple<py::array_t<std::int32_t>, std::int32_t, std::int32_t> similar_components_of_list(
    const py::list& texts, const Column<std::int32_t>& groups, double threshold) {
    const Utf8Texts given(texts);
    const auto group_of_text = view(groups);
    if (group_of_text.size() != given.views().size()) {
        throw py::value_error("expected a group for every text");
    }
    for (const GroupId group : group_of_text) {
        if (group < 0 || index(group) >= group_of_text.size()) {
            throw py::value_error("expected groups 0, 1, ...");
        }
    }
    const SimilarTexts similar =
        without_gil([&] { return similar_components(given.views(), group_of_text, threshold); });
    const std::vector<std::int32_t> components(similar.components.begin(),
                                               similar.components.end());
    return {
        py::array_t<std::int32_t>(static_cast<py::ssize_t>(components.size()), components.data()),
        similar.merged, similar.largest};
}

}  // namespace

void bind_states(py::module_& module) {
    module.def("normalise_texts", &normalise_texts, py::kw_only(), "texts"_a, "urls"_a,
               "timestamps"_a, "uuids"_a, "hex"_a, "numbers"_a, "whitespace"_a, "kept"_a);
    module.def("texts_of_column", &texts_of_column, py::kw_only(), "column"_a);
    module.def("similar_components", &similar_components_of_list, py::kw_only(), "texts"_a,
               py::arg("groups").noconvert(), "threshold"_a);
}

}  // namespace graphgpo::bindings
