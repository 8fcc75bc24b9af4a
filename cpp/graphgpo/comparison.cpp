#include "graphgpo/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <variant>

#include "graphgpo/remembered.hpp"
#include "graphgpo/scores/edge_return.hpp"

namespace graphgpo {

namespace {

// Divides every known value by the largest of its peers that count: if `trajectories` are given,
// the first of each.
void scale_among(const Csr& peers, std::span<const TrajectoryId> trajectories,
                 std::size_t num_trajectories, std::span<double> values) {
    Array<std::int32_t> counted_in(trajectories.empty() ? 0 : num_trajectories, none);
    for (std::size_t row = 0; row < peers.num_rows(); ++row) {
        double largest = 0;
        for (const StepId step : peers.row(id_of(row))) {
            if (!trajectories.empty()) {
                std::int32_t& last = counted_in[index(trajectories[index(step)])];
                if (last == id_of(row)) continue;
                last = id_of(row);
            }
            const double size = std::abs(values[index(step)]);
            if (size > largest) largest = size;
        }
        if (largest == 0) continue;
        for (const StepId step : peers.row(id_of(row))) values[index(step)] /= largest;
    }
}

void report_sizes(const Csr& peers, std::span<std::int32_t> num_peers) {
    if (num_peers.empty()) return;
    for (std::size_t row = 0; row < peers.num_rows(); ++row) {
        const auto steps = peers.row(id_of(row));
        for (const StepId step : steps) num_peers[index(step)] = id_of(steps.size());
    }
}

// GraphGPO's, of which a group without success learns nothing: all are 0, unless invalid actions
// are penalised at absolute scale, where the official recipe gives credit for valid ones.
Array<double> standings_of_edge_returns(const EdgeReturn& block, const Comparison& comparison,
                                        Group& group, double when_void, const ScoreReport& report) {
    const Powers powers = powers_of(block, group);
    if (!report.scores.empty()) write_edge_returns(block, group, powers, report.scores);
    const Csr& peers = group.steps_by_source();
    const bool relative = is_relative(comparison.normaliser);
    const bool is_penalised = group.penalises(comparison.penalty);
    const TaskMemory* const task = group.task_memory();
    if (task != nullptr && task->knows_goal()) {
        return compare_with_remembered(block, comparison, group, powers, when_void, report);
    }
    if (!group.graph().has_goal() && (relative || !is_penalised)) {
        report_sizes(peers, report.num_peers);
        return Array<double>(group.num_steps(), when_void);
    }
    if (relative && group.costs().empty() && !is_penalised && when_void == 0) {
        return compare_by_distance(group, powers, comparison.normaliser, report.num_peers);
    }
    Array<double> values;
    if (relative) {
        values = relative_edge_returns(group, powers);
    } else if (!report.scores.empty()) {
        values.assign(report.scores.begin(), report.scores.end());
    } else {
        values.resize(group.num_steps());
        write_edge_returns(block, group, powers, values);
    }
    if (is_penalised) penalise(values, comparison.penalty, group);
    compare_among(peers, values,
                  {.normaliser = &comparison.normaliser,
                   .when_void = when_void,
                   .num_peers = report.num_peers});
    return values;
}

Array<double> stand_alone(Array<double> values, double when_void,
                          std::span<std::int32_t> num_peers) {
    for (double& value : values) value = std::isnan(value) ? when_void : value;
    std::ranges::fill(num_peers, 0);
    return values;
}

Array<double> stand_in_batch(Array<double> values, double when_void, const Standing& standing,
                             std::span<std::int32_t> num_peers) {
    for (double& value : values) {
        value = standing.is_void() || std::isnan(value) ? when_void : standing(value);
    }
    std::ranges::fill(num_peers, static_cast<std::int32_t>(standing.count()));
    return values;
}

}  // namespace

void penalise(std::span<double> scores, double penalty, const Group& group) {
    for (std::size_t step = 0; step < scores.size(); ++step) {
        scores[step] -= group.is_invalid(step) ? penalty : 0;
    }
}

double tolerance_of(const Score& score) noexcept { return is_iterated(score) ? 1e-9 : 0; }

Array<double> standings_of(const Comparison& comparison, Group& group, double when_void,
                           const Standing* in_batch, const ScoreReport& report) {
    const bool of_state = std::holds_alternative<SameState>(comparison.peers);
    const auto* edge_return = std::get_if<EdgeReturn>(&comparison.score.block);
    if (edge_return != nullptr && of_state && comparison.unit == Unit::steps &&
        !std::holds_alternative<Raw>(comparison.normaliser)) {
        return standings_of_edge_returns(*edge_return, comparison, group, when_void, report);
    }

    const std::span<const double> scores = group.scores(comparison.score);
    Array<double> values(scores.begin(), scores.end());
    if (!report.scores.empty()) std::ranges::copy(values, report.scores.begin());
    const bool relative = is_relative(comparison.normaliser);
    const bool in_task = !std::holds_alternative<WholeBatch>(comparison.peers);
    const bool by_trajectory = comparison.unit == Unit::trajectories;
    const auto counted_once = by_trajectory
                                  ? std::span<const TrajectoryId>(group.rollouts().trajectory)
                                  : std::span<const TrajectoryId>();
    if (relative && in_task) {
        scale_among(group.peers(comparison.peers), counted_once,
                    group.rollouts().num_trajectories(), values);
    }
    if (group.penalises(comparison.penalty) && (!relative || group.graph().has_goal())) {
        penalise(values, comparison.penalty, group);
    }
    if (std::holds_alternative<Raw>(comparison.normaliser)) {
        return stand_alone(std::move(values), when_void, report.num_peers);
    }
    if (!in_task) {
        return stand_in_batch(std::move(values), when_void, *in_batch, report.num_peers);
    }
    compare_among(group.peers(comparison.peers), values,
                  {.normaliser = &comparison.normaliser,
                   .when_void = when_void,
                   .tolerance = tolerance_of(comparison.score),
                   .trajectories = counted_once,
                   .num_peers = report.num_peers});
    return values;
}

bool is_of_trajectories(const Comparison& comparison, const Group& group) {
    return std::holds_alternative<Outcome>(comparison.score.block) &&
           std::holds_alternative<Task>(comparison.peers) &&
           !std::holds_alternative<Raw>(comparison.normaliser) &&
           !is_relative(comparison.normaliser) && !group.penalises(comparison.penalty);
}

Array<double> standings_of_trajectories(const Comparison& comparison, Group& group,
                                        const ScoreReport& report) {
    const Rollouts& rollouts = group.rollouts();
    const std::span<const double> outcomes = group.outcomes();
    FoldedValues compared;
    for (std::size_t t = 0; t < outcomes.size(); ++t) {
        if (std::isnan(outcomes[t])) continue;
        const bool by_step = comparison.unit == Unit::steps;
        compared.add(outcomes[t], by_step ? std::ssize(rollouts.steps.row(id_of(t))) : 1);
    }
    const Standing standing(compared, comparison.normaliser);
    Array<double> standings;
    standings.reserve(outcomes.size());
    for (const double outcome : outcomes) {
        standings.push_back(std::isnan(outcome) ? 0 : standing(outcome));
    }
    for (std::size_t step = 0; step < report.scores.size(); ++step) {
        report.scores[step] = outcomes[index(rollouts.trajectory[step])];
    }
    std::ranges::fill(report.num_peers, static_cast<std::int32_t>(standing.count()));
    return standings;
}

}  // namespace graphgpo
