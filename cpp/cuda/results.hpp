// Credit to the rows it belongs to, and the numbers for a logger.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/arrange.hpp"
#include "cuda/columns.hpp"
#include "cuda/credit.hpp"
#include "cuda/device.hpp"
#include "cuda/merge.hpp"
#include "cuda/pipeline.hpp"
#include "graphgpo/metrics.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo::cuda {

// Every row, copies and masked ones included.
inline void write_results(Device& device, std::int64_t num_rows, const Rollouts& rollouts,
                          const Graph& graph, const Distances& distances, const double* returns,
                          const StepCredit& credit, const DeviceAdvantages& to) {
    device.each(num_rows, [=] GRAPHGPO_GPU(std::int64_t row) {
        const StepId step = rollouts.step_of_row[row];
        if (step == none) {
            to.advantages[row] = to.step_advantages[row] = to.episode_advantages[row] = 0;
            to.edge_returns[row] = to.distances[row] = to.next_distances[row] = nan;
            to.state_ids[row] = to.next_state_ids[row] = none;
            return;
        }
        const GroupId group = rollouts.group[step];
        to.advantages[row] = credit.joint[step];
        to.step_advantages[row] = credit.step[step];
        to.episode_advantages[row] = credit.episode[step];
        to.edge_returns[row] = returns[step];
        to.distances[row] = distances.of(graph.source[step], group);
        to.next_distances[row] = distances.of(graph.target[step], group);
        to.state_ids[row] = graph.source[step];
        to.next_state_ids[row] = graph.target[step];
    });
}

// What a part of the batch adds to the metrics; the fields of `graphgpo::Tally` that are counted.
struct PartTally {
    std::int64_t groups_without_success = 0;
    std::int64_t source_states = 0;
    std::int64_t edges = 0;
    std::int64_t singleton_steps = 0;
    std::int64_t reaching_steps = 0;
    std::int64_t zero_steps = 0;
    std::int64_t broken_links = 0;
    std::int64_t failed_steps = 0;
    std::int64_t failed_progress = 0;
    std::int64_t succeeded_steps = 0;
    std::int64_t succeeded_stalls = 0;
    std::int64_t finite_sources = 0;
    double distance_sum = 0;
    double largest_distance = 0;
    double advantage_sum = 0;
    double squares = 0;  // around the mean, once that is known
    float smallest = largest_float;
    float largest = -largest_float;

    GRAPHGPO_HD void add(const PartTally& other) {
        groups_without_success += other.groups_without_success;
        source_states += other.source_states;
        edges += other.edges;
        singleton_steps += other.singleton_steps;
        reaching_steps += other.reaching_steps;
        zero_steps += other.zero_steps;
        broken_links += other.broken_links;
        failed_steps += other.failed_steps;
        failed_progress += other.failed_progress;
        succeeded_steps += other.succeeded_steps;
        succeeded_stalls += other.succeeded_stalls;
        finite_sources += other.finite_sources;
        distance_sum += other.distance_sum;
        if (other.largest_distance > largest_distance) largest_distance = other.largest_distance;
        advantage_sum += other.advantage_sum;
        squares += other.squares;
        if (other.smallest < smallest) smallest = other.smallest;
        if (other.largest > largest) largest = other.largest;
    }
};

// Floating-point sums that do not depend on the device: index i always goes to lane i % lanes, and
// lanes are added in one order, eight to one until one is left. Reads of neighbouring lanes are
// neighbours in memory.
inline constexpr std::int64_t tally_lanes = 1 << 15;

inline void fold_lanes(Device& device, PartTally* lanes) {
    for (std::int64_t left = tally_lanes / 8; left > 0; left /= 8) {
        device.each(left, [=] GRAPHGPO_GPU(std::int64_t lane) {
            for (std::int64_t i = 1; i < 8; ++i) lanes[lane].add(lanes[lane + i * left]);
        });
    }
}

// What the host reads at the end.
struct Outcome {
    PartTally tally;
    std::int32_t num_nodes;
    std::uint32_t findings;
};

// Waits for the device.
[[nodiscard]] inline Outcome read_outcome(Device& device, const Columns& columns,
                                          const Rollouts& rollouts, const Targets& targets,
                                          const Graph& graph, const Edges& edges,
                                          const Distances& distances, const StepCredit& credit,
                                          const std::uint32_t* findings) {
    const Device::Scope scope(device);
    const std::int64_t num_steps = rollouts.totals.steps;
    const std::int64_t num_groups = rollouts.totals.groups;
    auto* const lanes = device.array<PartTally>(tally_lanes);
    device.each(tally_lanes, [=] GRAPHGPO_GPU(std::int64_t lane) {
        PartTally tally;
        for (std::int64_t g = lane; g < num_groups; g += tally_lanes) {
            if (graph.goal[g] == none) ++tally.groups_without_success;
        }
        for (std::int64_t i = lane; i < num_steps; i += tally_lanes) {
            // As a place among the edges by source ...
            const StepId edge = edges.by_source[i];
            const StateId node = graph.source[edge];
            const StepId before = i == 0 ? none : edges.by_source[i - 1];
            const bool is_new_source = before == none || graph.source[before] != node;
            if (is_new_source) ++tally.source_states;
            if (is_new_source || graph.target[before] != graph.target[edge]) ++tally.edges;
            if (edges.source_offsets[node + 1] - edges.source_offsets[node] == 1) {
                ++tally.singleton_steps;
            }
            // ... and as a step.
            const GroupId group = rollouts.group[i];
            const StateId source = graph.source[i];
            const StateId target = graph.target[i];
            const double distance = distances.of(source, group);
            const bool is_progress = distances.of(target, group) < distance;
            if (distances.reached(target)) ++tally.reaching_steps;
            if (distances.reached(source)) {
                ++tally.finite_sources;
                tally.distance_sum += distance;
                if (distance > tally.largest_distance) tally.largest_distance = distance;
            }
            if (credit.step[i] == 0) ++tally.zero_steps;
            if (rollouts.following[i] != none && columns.next_state_keys != nullptr &&
                targets.kind[i] != TargetKind::following_state) {
                ++tally.broken_links;
            }
            if (rollouts.succeeded[rollouts.trajectory[i]] != 0) {
                ++tally.succeeded_steps;
                if (!is_progress) ++tally.succeeded_stalls;
            } else if (graph.goal[group] != none) {
                ++tally.failed_steps;
                if (is_progress) ++tally.failed_progress;
            }
            const float advantage = credit.joint[i];
            tally.advantage_sum += advantage;
            if (advantage < tally.smallest) tally.smallest = advantage;
            if (advantage > tally.largest) tally.largest = advantage;
        }
        lanes[lane] = tally;
    });
    fold_lanes(device, lanes);
    auto* const outcome = device.array<Outcome>(1);
    device.each(1, [=] GRAPHGPO_GPU(std::int64_t) { outcome->tally = lanes[0]; });

    device.each(tally_lanes, [=] GRAPHGPO_GPU(std::int64_t lane) {
        const double mean = outcome->tally.advantage_sum / static_cast<double>(num_steps);
        PartTally tally;
        for (std::int64_t i = lane; i < num_steps; i += tally_lanes) {
            const double deviation = credit.joint[i] - mean;
            tally.squares += deviation * deviation;
        }
        lanes[lane] = tally;
    });
    fold_lanes(device, lanes);
    device.each(1, [=] GRAPHGPO_GPU(std::int64_t) {
        outcome->tally.squares = lanes[0].squares;
        outcome->num_nodes = graph.node_offsets[num_groups];
        outcome->findings = *findings;
    });
    return device.read(outcome);
}

[[nodiscard]] inline Metrics metrics_of(const Outcome& outcome, const Counts& totals,
                                        std::int64_t num_rows) {
    const PartTally& part = outcome.tally;
    const std::int64_t steps = totals.steps;
    const Tally tally{
        .groups = totals.groups,
        .groups_without_success = part.groups_without_success,
        .trajectories = totals.trajectories,
        .steps = steps,
        .copies = totals.rows - totals.steps,
        .nodes = outcome.num_nodes,
        .source_states = part.source_states,
        .edges = part.edges,
        .singleton_steps = part.singleton_steps,
        .reaching_steps = part.reaching_steps,
        .zero_steps = part.zero_steps,
        .broken_links = part.broken_links,
        .failed_steps = part.failed_steps,
        .failed_progress = part.failed_progress,
        .succeeded_steps = part.succeeded_steps,
        .succeeded_stalls = part.succeeded_stalls,
        .finite_sources = part.finite_sources,
        .distance_sum = part.distance_sum,
        .largest_distance = part.largest_distance,
        .advantages = {.count = steps,
                       .mean = part.advantage_sum / static_cast<double>(steps),
                       .squares = part.squares,
                       .smallest = part.smallest,
                       .largest = part.largest},
    };
    return graphgpo::metrics_of(tally, num_rows - totals.rows);
}

}  // namespace graphgpo::cuda
