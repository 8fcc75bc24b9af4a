// What the outcome of a whole trajectory says about each of its steps: GRPO's advantage.
#pragma once

#include "graphgpo/columns.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/options.hpp"
#include "graphgpo/rollouts.hpp"

namespace graphgpo {

// By step: the episode's return against those of its group, absolute epsilon. A group with one
// trajectory, or with equal returns, gets 0. An episode's return is `episode_returns`, else the sum
// of its `rewards`, else 1 for a success and 0 for a failure.
//
// "trajectory" weighting counts each trajectory once; "step" counts each step once, and only there
// the invalid action penalty lowers the score of the step (both as the official recipe does).
// Throws `std::invalid_argument` when sums or variances are not finite.
[[nodiscard]] Array<double> episode_advantages(const Batch& batch, const Rollouts& rollouts,
                                               const Options& options);

}  // namespace graphgpo
