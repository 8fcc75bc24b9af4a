// All rollouts of a group, merged into one directed multigraph.
#pragma once

#include <cstdint>

#include "graphgpo/columns.hpp"
#include "graphgpo/csr.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/rollouts.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

// Nodes are the group's distinct states, one GOAL if a trajectory succeeded, and a leaf for every
// last step whose next state nobody knows. Every step is an edge; repeated ones stay. GOAL and
// leaves have no key, so no state a user could send is equal to them.
struct TransitionGraph {
    Array<StateId> source;  // by step
    Array<StateId> target;  // by step
    std::size_t num_nodes = 0;
    StateId goal = none;            // `none`: no trajectory succeeded
    std::int64_t broken_links = 0;  // steps whose next state is not the following step's state

    [[nodiscard]] bool has_goal() const noexcept { return goal != none; }
};

// Node ids go by first appearance in step order, a step's source before its target. Without next
// states a step leads to the state of the step that follows it. O(steps) expected.
[[nodiscard]] TransitionGraph merge_states(const Batch& batch, const Rollouts& rollouts);

// The cost of every step. Empty: none were given, and every step costs 1. Throws `RowError` for one
// that is not finite and > 0: a search among others might never end.
[[nodiscard]] Array<double> step_costs(const Batch& batch, const Rollouts& rollouts);

}  // namespace graphgpo
