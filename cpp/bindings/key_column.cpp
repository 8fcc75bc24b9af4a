#include "key_column.hpp"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "gil.hpp"
#include "graphgpo/errors.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

std::string_view Arena::copy(std::string_view bytes) {
    char* memory = allocate(bytes.size());
    if (!bytes.empty()) std::memcpy(memory, bytes.data(), bytes.size());
    return {memory, bytes.size()};
}

Key array_key(Arena& arena, std::string_view header, std::string_view elements) {
    const std::size_t size = 1 + header.size() + elements.size();
    char* const bytes = arena.allocate(size);
    bytes[0] = static_cast<char>(header.size());
    std::memcpy(bytes + 1, header.data(), header.size());
    if (!elements.empty()) {
        std::memcpy(bytes + 1 + header.size(), elements.data(), elements.size());
    }
    return Key::view(KeyKind::array, {bytes, size});
}

OwnedKeyColumn::OwnedKeyColumn(Array<Key> keys, Arena arena, py::object owner)
    : data_(std::move(keys)), arena_(std::move(arena)), owner_(std::move(owner)) {}

OwnedKeyColumn::OwnedKeyColumn(Array<Key> keys, Arena arena, py::tuple objects, py::object owner)
    : data_(std::move(keys)),
      arena_(std::move(arena)),
      objects_(std::move(objects)),
      owner_(std::move(owner)) {}

OwnedKeyColumn::OwnedKeyColumn(Array<std::int32_t> numbers,
                               std::optional<Column<std::int64_t>> stable_keys)
    : data_(std::move(numbers)), stable_keys_(std::move(stable_keys)) {}

OwnedKeyColumn::OwnedKeyColumn(Column<std::int64_t> integers) : data_(std::move(integers)) {}

OwnedKeyColumn::OwnedKeyColumn(py::array rows, std::string header)
    : data_(Rows{std::move(rows), std::move(header)}) {}

KeyColumn OwnedKeyColumn::view() const {
    if (const auto* keys = std::get_if<Array<Key>>(&data_)) {
        return std::span<const Key>(*keys);
    }
    if (const auto* integers = std::get_if<Column<std::int64_t>>(&data_)) {
        return bindings::view(*integers);
    }
    if (const auto* numbers = std::get_if<Array<std::int32_t>>(&data_)) {
        return NumberedKeys{*numbers};
    }
    const auto& [array, header] = std::get<Rows>(data_);
    const auto num_rows = static_cast<std::size_t>(array.shape(0));
    return NumericRows{
        .data = static_cast<const char*>(array.data()),
        .num_rows = num_rows,
        .row_bytes = static_cast<std::size_t>(array.nbytes()) / std::max<std::size_t>(num_rows, 1),
        .header = header};
}

namespace {

// Calls visit(kind) for every value that is not null, until it answers false.
template <typename Visitor>
void visit_kinds(const KeyColumn& column, Visitor&& visit) {
    if (const auto* keys = std::get_if<std::span<const Key>>(&column)) {
        for (const Key& key : *keys) {
            if (!key.is_null() && !visit(key.kind())) return;
        }
    } else if (graphgpo::num_rows(column) != 0) {
        visit(key_at(column, 0).kind());  // one kind throughout
    }
}

// By row, as bools.
py::array nulls(const KeyColumn& column) {
    std::vector<std::uint8_t> is_null(num_rows(column));
    const auto write = [&](const auto& keys) {
        for (std::size_t row = 0; row < is_null.size(); ++row) {
            is_null[row] = is_null_at(keys, id_of(row)) ? 1 : 0;
        }
    };
    std::visit(write, column);
    return as_bools(to_numpy(std::move(is_null)));
}

}  // namespace

bool OwnedKeyColumn::holds_only(std::initializer_list<KeyKind> kinds) const {
    bool has_values = false;
    bool has_others = false;
    visit_kinds(view(), [&](KeyKind kind) {
        has_values = true;
        has_others = std::ranges::find(kinds, kind) == kinds.end();
        return !has_others;
    });
    return has_values && !has_others;
}

bool OwnedKeyColumn::lacks(KeyKind kind) const {
    bool has_values = false;
    bool has_kind = false;
    visit_kinds(view(), [&](KeyKind found) {
        has_values = true;
        has_kind = found == kind;
        return !has_kind;
    });
    return has_values && !has_kind;
}

py::array_t<std::int64_t> OwnedKeyColumn::stable_keys() const {
    if (stable_keys_) return *stable_keys_;
    if (is_numbered()) throw std::logic_error("a column was numbered without its stable keys");
    const KeyColumn column = view();
    std::vector<std::int64_t> stable(num_rows(column));
    const auto write = [&](const auto& keys) {  // ids come in runs
        for_each_stoppable(stable.size(), [&](std::size_t row) {
            if (is_null_at(keys, id_of(row))) return;
            const bool is_as_before = row > 0 && is_same_key(keys, id_of(row), id_of(row - 1));
            stable[row] = is_as_before ? stable[row - 1] : stable_key(keys, id_of(row));
        });
    };
    without_gil([&] { std::visit(write, column); });
    return to_numpy(std::move(stable));
}

OwnedKeyColumn OwnedKeyColumn::with_arrays_apart() const {
    const NumericRows rows = std::get<NumericRows>(view());
    Arena arena;
    Array<Key> keys;
    keys.reserve(rows.num_rows);
    for (std::size_t row = 0; row < rows.num_rows; ++row) {
        keys.push_back(array_key(arena, rows.header, key_at(rows, id_of(row)).bytes()));
    }
    return {std::move(keys), std::move(arena), py::none()};
}

void bind_key_column(py::module_& module) {
    py::class_<OwnedKeyColumn>(module, "KeyColumn", py::is_final(),
                               py::metaclass(reinterpret_cast<PyObject*>(&PyType_Type)),
                               "A column of states or ids in canonical form. Opaque.")
        .def("__len__", [](const OwnedKeyColumn& column) { return num_rows(column.view()); })
        .def_property_readonly("is_rows", &OwnedKeyColumn::is_rows)
        .def_property_readonly("is_numbered", &OwnedKeyColumn::is_numbered)
        .def("is_comparable_at_once", &OwnedKeyColumn::is_comparable_at_once, py::kw_only(),
             "other"_a)
        .def_property_readonly(
            "has_integers_only",
            [](const OwnedKeyColumn& column) {
                return column.holds_only({KeyKind::integer, KeyKind::big_integer});
            })
        .def_property_readonly(
            "has_text_only",
            [](const OwnedKeyColumn& column) {
                return column.holds_only(
                    {KeyKind::text, KeyKind::ucs1_text, KeyKind::ucs2_text, KeyKind::ucs4_text});
            })
        .def_property_readonly(
            "lacks_arrays",
            [](const OwnedKeyColumn& column) { return column.lacks(KeyKind::array); })
        .def("with_arrays_apart", &OwnedKeyColumn::with_arrays_apart);

    module.def(
        "stable_keys",
        [](const OwnedKeyColumn& column, const std::string& name) {
            const KeyColumn keys = column.view();
            std::vector<std::int64_t> stable(num_rows(keys));
            without_gil([&] {
                for_each_stoppable(stable.size(), [&](std::size_t row) {
                    if (key_at(keys, id_of(row)).is_null()) {
                        throw RowError(id_of(row),
                                       cell(name, id_of(row)) + " is null; expected a state");
                    }
                    stable[row] = stable_key(keys, id_of(row));
                });
            });
            return to_numpy(std::move(stable));
        },
        py::kw_only(), "column"_a, "name"_a);

    module.def(
        "nullable_stable_keys",
        [](const OwnedKeyColumn& column) {
            return std::pair(column.stable_keys(), nulls(column.view()));
        },
        py::kw_only(), "column"_a);
}

}  // namespace graphgpo::bindings
