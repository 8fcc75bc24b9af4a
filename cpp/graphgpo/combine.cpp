#include "graphgpo/combine.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
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
    // Block by block, in cache: of all steps at once, they would be 8 bytes more for each.
    std::array<double, 1024> block;
    for (std::size_t first = 0; first < step_advantages.size(); first += block.size()) {
        const std::size_t size = std::min(block.size(), step_advantages.size() - first);
        episode_advantages.write(first, std::span(block).first(size));
        for (std::size_t i = 0; i < size; ++i) {
            const std::size_t step = first + i;
            const double of_step = step_advantages[step];
            const double of_episode = block[i];
            steps.advantages[step] = static_cast<float>(options.step_weight * of_step +
                                                        options.episode_weight * of_episode);
            steps.step_advantages[step] = static_cast<float>(of_step);
            steps.episode_advantages[step] = static_cast<float>(of_episode);
        }
    }
    for (const auto& values : {steps.advantages, steps.step_advantages, steps.episode_advantages}) {
        if (are_finite(values)) continue;
        throw std::invalid_argument(
            "an advantage is more than a float32 holds; expected smaller weights or returns");
    }
}

}  // namespace graphgpo
