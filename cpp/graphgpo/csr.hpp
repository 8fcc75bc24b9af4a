// Compressed sparse rows: lists of items, one list per row, in one array.
#pragma once

#include <cstdint>
#include <span>

#include "graphgpo/memory.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

struct Csr {
    Array<std::int32_t> offsets;  // num_rows + 1; row r is items[offsets[r] .. offsets[r + 1])
    Array<std::int32_t> items;

    [[nodiscard]] std::size_t num_rows() const noexcept { return offsets.size() - 1; }
    [[nodiscard]] std::span<const std::int32_t> row(std::int32_t r) const noexcept {
        const auto begin = index(offsets[index(r)]);
        return std::span(items).subspan(begin, index(offsets[index(r) + 1]) - begin);
    }
};

// The positions 0, 1, 2, ... of `row_of_item`, listed under their rows in ascending order; items of
// row `none` are left out. Counting sort: O(items + rows) time and space.
[[nodiscard]] Csr group_by_row(std::span<const std::int32_t> row_of_item, std::size_t num_rows);

}  // namespace graphgpo
