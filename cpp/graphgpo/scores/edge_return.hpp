// GraphGPO's edge return (arXiv 2605.26684, Eq. 4), as it is and as its peers see it.
#pragma once

#include <cstdint>
#include <span>

#include "graphgpo/group.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/powers.hpp"
#include "graphgpo/scores/score.hpp"

namespace graphgpo {

// Large enough for every exponent of the group.
[[nodiscard]] Powers powers_of(const EdgeReturn& block, Group& group);

// By step, to `returns`. Throws `std::invalid_argument` when a negative exponent (costs below 1
// under "recipe") makes one larger than a double holds.
void write_edge_returns(const EdgeReturn& block, Group& group, const Powers& powers,
                        std::span<double> returns);

// By step: the edge return divided by the largest of its peers, omega ** (e - min e). The three
// exponents differ by a constant per source and agree here. Neither a far goal nor a large reward
// can under- or overflow it: the best peer has 1.
[[nodiscard]] Array<double> relative_edge_returns(Group& group, const Powers& powers);

// Their standings among the steps from the same state, where every step costs 1: a return follows
// from a distance, and peers are counted by it.
[[nodiscard]] Array<double> compare_by_distance(Group& group, const Powers& powers,
                                                const Normaliser& normaliser,
                                                std::span<std::int32_t> num_peers);

}  // namespace graphgpo
