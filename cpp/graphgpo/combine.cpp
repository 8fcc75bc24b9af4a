#include "graphgpo/combine.hpp"

#include <cmath>
#include <limits>
#include <stdexcept>

namespace graphgpo {

namespace {

Array<float> rounded(std::size_t size, auto&& value_of) {
    Array<float> values(size);
    bool all_finite = true;
    for (std::size_t i = 0; i < size; ++i) {
        values[i] = static_cast<float>(value_of(i));
        all_finite &= std::abs(values[i]) <= std::numeric_limits<float>::max();
    }
    if (!all_finite) {
        throw std::invalid_argument(
            "an advantage is more than a float32 holds; expected smaller weights or returns");
    }
    return values;
}

}  // namespace

StepCredit combine(std::span<const double> step_advantages,
                   std::span<const double> episode_advantages, const Options& options) {
    const std::size_t steps = step_advantages.size();
    return {.joint = rounded(steps,
                             [&](std::size_t step) {
                                 return options.step_weight * step_advantages[step] +
                                        options.episode_weight * episode_advantages[step];
                             }),
            .step = rounded(steps, [&](std::size_t step) { return step_advantages[step]; }),
            .episode = rounded(steps, [&](std::size_t step) { return episode_advantages[step]; })};
}

}  // namespace graphgpo
