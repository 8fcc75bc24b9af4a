#include "graphgpo/combine.hpp"

#include <cmath>
#include <stdexcept>

namespace graphgpo {

namespace {

float rounded(double advantage) {
    const auto result = static_cast<float>(advantage);
    if (!std::isfinite(result)) {
        throw std::invalid_argument(
            "an advantage is more than a float32 holds; expected smaller weights or returns");
    }
    return result;
}

}  // namespace

StepCredit combine(std::span<const double> step_advantages,
                   std::span<const double> episode_advantages, const Options& options) {
    StepCredit credit;
    credit.joint.reserve(step_advantages.size());
    credit.step.reserve(step_advantages.size());
    credit.episode.reserve(step_advantages.size());
    for (std::size_t step = 0; step < step_advantages.size(); ++step) {
        credit.joint.push_back(rounded(options.step_weight * step_advantages[step] +
                                       options.episode_weight * episode_advantages[step]));
        credit.step.push_back(rounded(step_advantages[step]));
        credit.episode.push_back(rounded(episode_advantages[step]));
    }
    return credit;
}

}  // namespace graphgpo
