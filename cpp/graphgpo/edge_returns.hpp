// The score of an edge from the potential of its ends: GraphGPO's edge return (paper, Eq. 4).
#pragma once

#include <span>

#include "graphgpo/csr.hpp"
#include "graphgpo/distances.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/options.hpp"
#include "graphgpo/transition_graph.hpp"

namespace graphgpo {

// By step: success_reward * omega ** e, with e = d(target) + c ("paper"), d(target) + c - 1
// ("recipe") or d(target) - d(source) + c ("progress"). Throws `std::invalid_argument` when a
// negative exponent (costs below 1 under "recipe") makes one larger than a double holds.
[[nodiscard]] Array<double> edge_returns(const TransitionGraph& graph,
                                         std::span<const double> costs, const Distances& distances,
                                         const Options& options);

// By step: the edge return divided by the largest of its peers, omega ** (e - min e). The three
// exponents differ by a constant per source and agree here. Neither a far goal nor a large reward
// can under- or overflow it: the best peer has 1.
[[nodiscard]] Array<double> relative_edge_returns(const TransitionGraph& graph,
                                                  std::span<const double> costs,
                                                  const Distances& distances, const Csr& peers,
                                                  const Options& options);

}  // namespace graphgpo
