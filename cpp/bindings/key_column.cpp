#include "key_column.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "graphgpo/errors.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

std::string_view Arena::copy(std::string_view bytes) {
    char* memory = allocate(bytes.size());
    if (!bytes.empty()) std::memcpy(memory, bytes.data(), bytes.size());
    return {memory, bytes.size()};
}

OwnedKeyColumn::OwnedKeyColumn(std::vector<Key> keys, Arena arena, py::object owner)
    : data_(std::move(keys)), arena_(std::move(arena)), owner_(std::move(owner)) {}

OwnedKeyColumn::OwnedKeyColumn(Column<std::int64_t> integers) : data_(std::move(integers)) {}

OwnedKeyColumn::OwnedKeyColumn(py::array rows, std::string header)
    : data_(Rows{std::move(rows), std::move(header)}) {}

KeyColumn OwnedKeyColumn::view() const {
    if (const auto* keys = std::get_if<std::vector<Key>>(&data_)) {
        return std::span<const Key>(*keys);
    }
    if (const auto* integers = std::get_if<Column<std::int64_t>>(&data_)) {
        return bindings::view(*integers);
    }
    const auto& [array, header] = std::get<Rows>(data_);
    const auto num_rows = static_cast<std::size_t>(array.shape(0));
    return NumericRows{
        .data = static_cast<const char*>(array.data()),
        .num_rows = num_rows,
        .row_bytes = static_cast<std::size_t>(array.nbytes()) / std::max<std::size_t>(num_rows, 1),
        .header = header};
}

std::uint32_t OwnedKeyColumn::kinds() const {
    const auto bit = [](KeyKind kind) { return std::uint32_t{1} << static_cast<unsigned>(kind); };
    const KeyColumn column = view();
    if (graphgpo::num_rows(column) == 0) return 0;
    if (std::holds_alternative<NumericRows>(column)) return bit(KeyKind::row);
    const auto* keys = std::get_if<std::span<const Key>>(&column);
    if (keys == nullptr) return bit(KeyKind::integer);
    std::uint32_t kinds = 0;
    for (const Key& key : *keys) kinds |= bit(key.kind());
    return kinds;
}

OwnedKeyColumn OwnedKeyColumn::with_arrays_apart() const {
    const NumericRows rows = std::get<NumericRows>(view());
    Arena arena;
    std::vector<Key> keys;
    keys.reserve(rows.num_rows);
    for (std::size_t row = 0; row < rows.num_rows; ++row) {
        const std::string_view elements = key_at(rows, id_of(row)).bytes();
        const std::size_t size = 1 + header().size() + elements.size();
        char* bytes = arena.allocate(size);
        bytes[0] = static_cast<char>(header().size());
        std::memcpy(bytes + 1, header().data(), header().size());
        if (!elements.empty()) {
            std::memcpy(bytes + 1 + header().size(), elements.data(), elements.size());
        }
        keys.push_back(Key::view(KeyKind::array, {bytes, size}));
    }
    return {std::move(keys), std::move(arena), py::none()};
}

void bind_key_column(py::module_& module) {
    py::class_<OwnedKeyColumn>(module, "KeyColumn", py::is_final(),
                               py::metaclass(reinterpret_cast<PyObject*>(&PyType_Type)),
                               "A column of states or ids in canonical form. Opaque.")
        .def("__len__", [](const OwnedKeyColumn& column) { return num_rows(column.view()); })
        .def_property_readonly("is_rows", &OwnedKeyColumn::is_rows)
        .def_property_readonly(
            "header", [](const OwnedKeyColumn& column) { return py::bytes(column.header()); })
        .def_property_readonly("has_integers_only",
                               [](const OwnedKeyColumn& column) {
                                   constexpr auto integer = 1u << unsigned(KeyKind::integer);
                                   constexpr auto big = 1u << unsigned(KeyKind::big_integer);
                                   constexpr auto null = 1u << unsigned(KeyKind::null);
                                   const std::uint32_t kinds = column.kinds() & ~null;
                                   return kinds != 0 && (kinds & ~(integer | big)) == 0;
                               })
        .def_property_readonly("has_text_only",
                               [](const OwnedKeyColumn& column) {
                                   constexpr auto text = 1u << unsigned(KeyKind::text);
                                   constexpr auto null = 1u << unsigned(KeyKind::null);
                                   return (column.kinds() & ~null) == text;
                               })
        .def("with_arrays_apart", &OwnedKeyColumn::with_arrays_apart);

    module.def(
        "stable_keys",
        [](const OwnedKeyColumn& column, const std::string& name) {
            const KeyColumn keys = column.view();
            std::vector<std::int64_t> stable(num_rows(keys));
            {
                const py::gil_scoped_release release;
                for (std::size_t row = 0; row < stable.size(); ++row) {
                    if (key_at(keys, id_of(row)).is_null()) {
                        throw RowError(id_of(row),
                                       cell(name, id_of(row)) + " is null; expected a state");
                    }
                    stable[row] = stable_key(keys, id_of(row));
                }
            }
            return to_numpy(std::move(stable));
        },
        py::kw_only(), "column"_a, "name"_a);
}

}  // namespace graphgpo::bindings
