// Where results go: memory of the caller's, written once. By row of a batch, or by step of a group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>

#include "graphgpo/types.hpp"

namespace graphgpo {

// `count` entries of every column of `Columns`, from entry `first` on.
template <typename Columns>
[[nodiscard]] Columns part_of(const Columns& columns, std::size_t first, std::size_t count) {
    return std::apply(
        [&](const auto&... column) { return Columns{column.subspan(first, count)...}; },
        Columns::all(columns));
}

// What the graph says of a step, whatever the estimator. A masked row has NaN and -1.
struct GraphColumns {
    std::span<Distance> distances;
    std::span<Distance> next_distances;
    std::span<std::int64_t> state_ids;  // dense over the batch, group after group
    std::span<std::int64_t> next_state_ids;

    [[nodiscard]] static auto all(auto& columns) noexcept {
        return std::tie(columns.distances, columns.next_distances, columns.state_ids,
                        columns.next_state_ids);
    }
};

// What one estimator says of it. A masked row has 0, and an unknown score.
struct CreditColumns {
    std::span<float> advantages;  // joint: step and episode, weighted
    std::span<float> step_advantages;
    std::span<float> episode_advantages;
    std::span<double> scores;           // of the first term, before any penalty; NaN: unknown
    std::span<std::int32_t> num_peers;  // how many scores that one was compared with, its own too

    [[nodiscard]] static auto all(auto& columns) noexcept {
        return std::tie(columns.advantages, columns.step_advantages, columns.episode_advantages,
                        columns.scores, columns.num_peers);
    }
};

}  // namespace graphgpo
