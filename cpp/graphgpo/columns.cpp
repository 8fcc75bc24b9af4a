#include "graphgpo/columns.hpp"

#include <string>

namespace graphgpo {

std::size_t num_rows(const KeyColumn& column) noexcept {
    if (const auto* rows = std::get_if<NumericRows>(&column)) return rows->num_rows;
    if (const auto* keys = std::get_if<std::span<const Key>>(&column)) return keys->size();
    if (const auto* keys = std::get_if<NumberedKeys>(&column)) return keys->numbers.size();
    return std::get<std::span<const std::int64_t>>(column).size();
}

std::string array_header(char kind, std::size_t item_size, std::span<const std::int64_t> shape) {
    std::string header{kind, static_cast<char>(item_size), static_cast<char>(shape.size())};
    for (const std::int64_t axis : shape) {
        for (int byte = 0; byte < 8; ++byte) {
            header.push_back(static_cast<char>(static_cast<std::uint64_t>(axis) >> (8 * byte)));
        }
    }
    return header;
}

namespace {

// Header and elements are hashed one after the other, so a row of a column and the same array on
// its own agree without the column ever writing its header before every row.
std::uint64_t hash_array(std::string_view header, std::string_view elements) noexcept {
    const auto kind = static_cast<std::uint64_t>(KeyKind::array);
    const std::uint64_t seed = hash_bytes(header.data(), header.size(), kind, kStableSecret);
    return hash_bytes(elements.data(), elements.size(), seed, kStableSecret);
}

}  // namespace

std::int64_t stable_key(const Key& key) noexcept {
    if (key.kind() != KeyKind::array)
        return static_cast<std::int64_t>(hash_key(key, kStableSecret));
    const std::string_view encoded = key.bytes();
    const auto header_size = static_cast<std::size_t>(static_cast<unsigned char>(encoded[0]));
    return static_cast<std::int64_t>(
        hash_array(encoded.substr(1, header_size), encoded.substr(1 + header_size)));
}

std::int64_t stable_key(const NumericRows& column, RowId row) noexcept {
    return static_cast<std::int64_t>(hash_array(column.header, key_at(column, row).bytes()));
}

}  // namespace graphgpo
