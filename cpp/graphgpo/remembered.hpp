// A group beside what is remembered of its task.
#pragma once

#include "graphgpo/comparison.hpp"
#include "graphgpo/scores/edge_return.hpp"

namespace graphgpo {

// Adds the group's edges to the memory. Distances are those along all edges it then has; a node
// from which none leads to GOAL has one more than the largest.
[[nodiscard]] Distances remembered_distances(Group& group);

// Edge returns compared with those of the steps from the same state and of one step more, along
// the best edge from there that is remembered.
[[nodiscard]] Array<double> compare_with_remembered(const EdgeReturn& block,
                                                    const Comparison& comparison, Group& group,
                                                    const Powers& powers, double when_void,
                                                    const ScoreReport& report);

// The tasks of the groups, by group. Throws `RowError` where a group has two tasks, or a task two
// groups.
[[nodiscard]] std::vector<std::int64_t> tasks_of_groups(const Batch& batch, const Groups& groups);

}  // namespace graphgpo
