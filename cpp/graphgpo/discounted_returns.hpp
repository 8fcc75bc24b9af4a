// The score of a step from its own trajectory alone: GiGPO's return-to-go (arXiv 2505.10978).
#pragma once

#include <span>

#include "graphgpo/columns.hpp"
#include "graphgpo/options.hpp"
#include "graphgpo/rollouts.hpp"

namespace graphgpo {

// By step, to `returns`: R_t = r_t + gamma * R_(t+1) along the trajectory. r comes from `rewards`
// or, absent, is success_reward on the winning last step and 0 elsewhere.
void write_discounted_returns(const Batch& batch, const Rollouts& rollouts, const Options& options,
                              std::span<double> returns);

}  // namespace graphgpo
