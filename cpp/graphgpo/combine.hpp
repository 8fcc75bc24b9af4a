// The joint advantage of every step.
#pragma once

#include <span>
#include <vector>

#include "graphgpo/options.hpp"

namespace graphgpo {

// By step, rounded once to what a trainer computes in.
struct StepCredit {
    std::vector<float> joint;
    std::vector<float> step;
    std::vector<float> episode;
};

// A = step_weight * A_S + episode_weight * A_E. Throws `std::invalid_argument` when weights are so
// large that a float32 cannot hold it.
[[nodiscard]] StepCredit combine(std::span<const double> step_advantages,
                                 std::span<const double> episode_advantages,
                                 const Options& options);

}  // namespace graphgpo
