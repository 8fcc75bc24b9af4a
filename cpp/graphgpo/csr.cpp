#include "graphgpo/csr.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace graphgpo {

namespace {

// Items that come row after row, as trainers write trajectories and groups: nothing has to move.
Csr group_by_sorted_row(std::span<const std::int32_t> row_of_item, std::size_t num_rows) {
    Csr csr;
    csr.offsets.resize(num_rows + 1);
    std::size_t begun = 0;  // rows
    for (std::size_t item = 0; item < row_of_item.size(); ++item) {
        for (; begun <= index(row_of_item[item]); ++begun) csr.offsets[begun] = id_of(item);
    }
    for (; begun <= num_rows; ++begun) csr.offsets[begun] = id_of(row_of_item.size());
    csr.items.resize(row_of_item.size());
    std::iota(csr.items.begin(), csr.items.end(), 0);
    return csr;
}

}  // namespace

Csr group_by_row(std::span<const std::int32_t> row_of_item, std::size_t num_rows) {
    const bool is_sorted = std::ranges::is_sorted(row_of_item);
    if (is_sorted && (row_of_item.empty() || row_of_item.front() != none)) {
        return group_by_sorted_row(row_of_item, num_rows);
    }
    Csr csr;
    // Counts are kept one place to the right, so that after the prefix sum offsets[r + 1] is where
    // row r begins, and after placing its items where it ends: no second offsets array.
    csr.offsets.assign(num_rows + 2, 0);
    for (const std::int32_t row : row_of_item) ++csr.offsets[index(row) + 2];  // `none` at 1
    const bool leaves_out = std::exchange(csr.offsets[1], 0) != 0;
    for (std::size_t r = 2; r < csr.offsets.size(); ++r) csr.offsets[r] += csr.offsets[r - 1];
    csr.items.resize(index(csr.offsets.back()));
    for (std::size_t item = 0; item < row_of_item.size(); ++item) {
        const std::int32_t row = row_of_item[item];
        if (leaves_out && row == none) continue;
        csr.items[index(csr.offsets[index(row) + 1]++)] = id_of(item);
    }
    csr.offsets.pop_back();
    return csr;
}

}  // namespace graphgpo
