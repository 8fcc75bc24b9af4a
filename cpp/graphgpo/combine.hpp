// The joint advantage of every step.
#pragma once

#include <span>

#include "graphgpo/memory.hpp"
#include "graphgpo/options.hpp"

namespace graphgpo {

// By step, rounded once to what a trainer computes in.
struct StepCredit {
    Array<float> joint;
    Array<float> step;
    Array<float> episode;
};

// A = step_weight * A_S + episode_weight * A_E. Throws `std::invalid_argument` when weights are so
// large that a float32 cannot hold it.
[[nodiscard]] StepCredit combine(std::span<const double> step_advantages,
                                 std::span<const double> episode_advantages,
                                 const Options& options);

}  // namespace graphgpo
