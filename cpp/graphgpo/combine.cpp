#include "graphgpo/combine.hpp"

#include <bit>
#include <cstdint>
#include <stdexcept>

namespace graphgpo {

namespace {

bool are_finite(std::span<const float> values) {
    // On the bits, as wide as the values: the compiler then makes vectors of it.
    constexpr std::uint32_t exponent_bits = 0x7f800000;
    std::uint32_t overflows = 0;
    for (const float value : values) {
        const auto bits = std::bit_cast<std::uint32_t>(value);
        overflows |= (bits & exponent_bits) == exponent_bits ? 1U : 0U;
    }
    return overflows == 0;
}

}  // namespace

void combine(std::span<const double> step_advantages, const EpisodeAdvantages& episode_advantages,
             const Options& options, const AdvantageColumns& steps) {
    const Array<double> by_step = episode_advantages.by_step();
    for (std::size_t step = 0; step < step_advantages.size(); ++step) {
        const double of_step = step_advantages[step];
        const double of_episode = by_step[step];
        steps.advantages[step] =
            static_cast<float>(options.step_weight * of_step + options.episode_weight * of_episode);
        steps.step_advantages[step] = static_cast<float>(of_step);
        steps.episode_advantages[step] = static_cast<float>(of_episode);
    }
    for (const auto& values : {steps.advantages, steps.step_advantages, steps.episode_advantages}) {
        if (are_finite(values)) continue;
        throw std::invalid_argument(
            "an advantage is more than a float32 holds; expected smaller weights or returns");
    }
}

}  // namespace graphgpo
