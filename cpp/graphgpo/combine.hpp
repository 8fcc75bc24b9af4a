// The joint advantage of every step.
#pragma once

#include <span>

#include "graphgpo/advantage_columns.hpp"
#include "graphgpo/episode_advantages.hpp"
#include "graphgpo/options.hpp"

namespace graphgpo {

// A = step_weight * A_S + episode_weight * A_E. Writes all three by step, rounded once to what a
// trainer computes in. Throws `std::invalid_argument` when weights or returns are so large that a
// float32 cannot hold one.
void combine(std::span<const double> step_advantages, const EpisodeAdvantages& episode_advantages,
             const Options& options, const AdvantageColumns& steps);

}  // namespace graphgpo
