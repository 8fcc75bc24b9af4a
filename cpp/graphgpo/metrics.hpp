// Numbers for a logger. Copies are counted once; a share of nothing is 0.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "graphgpo/advantage_columns.hpp"
#include "graphgpo/csr.hpp"
#include "graphgpo/distances.hpp"
#include "graphgpo/rollouts.hpp"
#include "graphgpo/transition_graph.hpp"

namespace graphgpo {

// Mean and spread of a sequence of values, exact to rounding however it is cut into parts.
struct Moments {
    std::int64_t count = 0;
    double mean = 0;
    double squares = 0;  // sum of squared deviations from the mean
    double smallest = 0;
    double largest = 0;

    [[nodiscard]] static Moments of(std::span<const float> values);
    // Chan, Golub and LeVeque's update of the parts' moments to those of the whole.
    void append(const Moments& other);
};

// What a group, or several, add to the metrics.
struct Tally {
    std::int64_t groups = 0;
    std::int64_t groups_without_success = 0;
    std::int64_t trajectories = 0;
    std::int64_t steps = 0;
    std::int64_t copies = 0;
    std::int64_t nodes = 0;
    std::int64_t source_states = 0;
    std::int64_t edges = 0;            // distinct (source, target) pairs
    std::int64_t singleton_steps = 0;  // steps whose state has one out-edge
    std::int64_t reaching_steps = 0;   // steps whose target reaches the goal
    std::int64_t zero_steps = 0;       // steps with step advantage exactly 0
    std::int64_t broken_links = 0;
    std::int64_t failed_steps = 0;      // of failed trajectories, in groups with a success
    std::int64_t failed_progress = 0;   // of those, steps that lower the distance
    std::int64_t succeeded_steps = 0;   // of successful trajectories
    std::int64_t succeeded_stalls = 0;  // of those, steps that do not lower the distance
    std::int64_t finite_sources = 0;    // steps whose source reaches the goal
    double distance_sum = 0;            // of those
    double largest_distance = 0;        // of those
    Moments advantages;

    void append(const Tally& other);
};

[[nodiscard]] Tally tally_group(const Rollouts& rollouts, const TransitionGraph& graph,
                                const Csr& peers, const Distances& distances,
                                const AdvantageColumns& steps);

using Metrics = std::array<std::pair<std::string_view, double>, 22>;

[[nodiscard]] Metrics metrics_of(const Tally& batch, std::int64_t masked_rows);

}  // namespace graphgpo
