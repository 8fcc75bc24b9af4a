#include "graphgpo/combine.hpp"

#include <bit>
#include <cstdint>
#include <stdexcept>

namespace graphgpo {

namespace {

Array<float> rounded(std::size_t size, auto&& value_of) {
    Array<float> values(size);
    // On the bits, as wide as the values: the compiler then makes vectors of it.
    constexpr std::uint32_t exponent_bits = 0x7f800000;
    std::uint32_t overflows = 0;
    for (std::size_t i = 0; i < size; ++i) {
        values[i] = static_cast<float>(value_of(i));
        const auto bits = std::bit_cast<std::uint32_t>(values[i]);
        overflows |= (bits & exponent_bits) == exponent_bits ? 1U : 0U;
    }
    if (overflows != 0) {
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
