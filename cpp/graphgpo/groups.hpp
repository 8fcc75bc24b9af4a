// The groups of a batch, each worked on apart.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "graphgpo/rollouts.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

// How many threads take the groups if there may be `num_threads`: no more than pay, or than groups.
[[nodiscard]] std::size_t threads_for(const Groups& groups, std::size_t num_threads);

// Calls `work` for every group, on `threads_for` of them, in order on one; of all errors the one of
// the earliest row is thrown.
void for_each_group(const Groups& groups, std::size_t num_threads,
                    const std::function<void(GroupId, std::span<const RowId>)>& work);

// Whether other rows lie between those of a group, which are ascending.
[[nodiscard]] bool has_gaps(std::span<const RowId> rows) noexcept;

}  // namespace graphgpo
