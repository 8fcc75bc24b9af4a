// Where credit goes: memory of the caller's, written once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "graphgpo/types.hpp"

namespace graphgpo {

// By row of a batch, or by step of a group. A masked row gets advantages 0, returns and distances
// NaN and ids -1.
struct AdvantageColumns {
    std::span<float> advantages;  // joint: step and episode, weighted
    std::span<float> step_advantages;
    std::span<float> episode_advantages;
    std::span<double> edge_returns;
    std::span<Distance> distances;
    std::span<Distance> next_distances;
    std::span<std::int64_t> state_ids;  // dense over the batch, group after group
    std::span<std::int64_t> next_state_ids;

    // `count` rows from row `first` on.
    [[nodiscard]] AdvantageColumns part(std::size_t first, std::size_t count) const noexcept {
        return {.advantages = advantages.subspan(first, count),
                .step_advantages = step_advantages.subspan(first, count),
                .episode_advantages = episode_advantages.subspan(first, count),
                .edge_returns = edge_returns.subspan(first, count),
                .distances = distances.subspan(first, count),
                .next_distances = next_distances.subspan(first, count),
                .state_ids = state_ids.subspan(first, count),
                .next_state_ids = next_state_ids.subspan(first, count)};
    }
};

}  // namespace graphgpo
