// What the merged graph says of its states: too fine, too coarse, or merged by mistake.
#pragma once

#include <cstdint>

#include "graphgpo/group.hpp"

namespace graphgpo {

struct StateTally {
    std::int64_t revisited = 0;        // states left at more than one position of a rollout
    std::int64_t recurring_pairs = 0;  // (state, action) pairs taken more than once
    std::int64_t ambiguous_pairs = 0;  // of those, with several successors
    std::int64_t merge_conflicts = 0;  // of those, made of several given states

    void append(const StateTally& other);
};

// Pairs need actions, conflicts `given_states` too. Steps without an action, or that nobody knows
// the end of, are in no pair.
[[nodiscard]] StateTally tally_states(Group& group);

}  // namespace graphgpo
