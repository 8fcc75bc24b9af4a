// Where the estimators differ: which score a step has, and which peers it is compared with.
//
//               potential of a node     score of a step                peers
//   graphgpo    distance to the goal    edge return (Eq. 4)            steps from the same state
//   gigpo       -                       discounted return-to-go        steps from the same state
//   grpo        -                       none: the episode says all     -
//
// A new estimator is a new potential beside `distances`, a new score beside `edge_returns`, or
// another Csr of peers, and a branch here.
#pragma once

#include <span>

#include "graphgpo/columns.hpp"
#include "graphgpo/csr.hpp"
#include "graphgpo/distances.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/options.hpp"
#include "graphgpo/rollouts.hpp"
#include "graphgpo/transition_graph.hpp"

namespace graphgpo {

// By step: the score among its peers. Writes what a step scored before any penalty to `returns`.
//
// `costs` by step, empty for unit costs. A group without success teaches GraphGPO nothing: its
// step advantages are exactly 0, unless invalid actions are penalised under absolute epsilon scale,
// where the official recipe gives credit for valid ones.
[[nodiscard]] Array<double> score_steps(const Batch& batch, const Rollouts& rollouts,
                                        const TransitionGraph& graph, std::span<const double> costs,
                                        const Distances& distances, const Csr& peers,
                                        const Options& options, std::span<double> returns);

}  // namespace graphgpo
