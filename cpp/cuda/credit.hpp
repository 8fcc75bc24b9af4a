// Scores of steps, of trajectories, and the advantage both add up to.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/arrange.hpp"
#include "cuda/columns.hpp"
#include "cuda/device.hpp"
#include "cuda/merge.hpp"
#include "cuda/standings.hpp"
#include "graphgpo/options.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo::cuda {

// What an invalid action costs its step.
struct Penalty {
    const std::uint8_t* action_valid;  // by row; null: no action is known to be invalid
    double amount;

    Penalty(const Columns& columns, const Options& options)
        : action_valid(options.invalid_action_penalty > 0 ? columns.action_valid : nullptr),
          amount(options.invalid_action_penalty) {}

    [[nodiscard]] GRAPHGPO_HD bool is_in_force() const { return action_valid != nullptr; }
    [[nodiscard]] GRAPHGPO_HD bool applies_to(RowId row) const {
        return is_in_force() && action_valid[row] == 0;
    }
    [[nodiscard]] GRAPHGPO_HD double of(RowId row) const { return applies_to(row) ? amount : 0; }
};

// success_reward * omega ** e (paper, Eq. 4), before any penalty; by step.
[[nodiscard]] inline double* edge_returns(Device& device, const Columns& columns,
                                          const Rollouts& rollouts, const Graph& graph,
                                          const Distances& distances, const Options& options,
                                          std::uint32_t* findings) {
    auto* const returns = device.array<double>(rollouts.totals.steps);
    const Exponent kind = options.exponent;
    const double omega = options.omega;
    const double success_reward = options.success_reward;
    device.each(rollouts.totals.steps, [=] GRAPHGPO_GPU(std::int64_t step) {
        const GroupId group = rollouts.group[step];
        double exponent = distances.of(graph.target[step], group);
        if (kind == Exponent::progress) exponent -= distances.of(graph.source[step], group);
        exponent += cost_of(columns, rollouts, step);
        if (kind == Exponent::recipe) exponent -= 1;
        returns[step] = success_reward * pow(omega, exponent);
        if (!is_finite(returns[step])) atomic_or(findings, invalid_batch);
    });
    return returns;
}

// The edge return divided by the largest of its peers: omega ** (e - min e); by step.
[[nodiscard]] inline double* relative_edge_returns(Device& device, const Columns& columns,
                                                   const Rollouts& rollouts, const Graph& graph,
                                                   const Distances& distances,
                                                   const Options& options) {
    auto* const returns = device.array<double>(rollouts.totals.steps);
    const Device::Scope scope(device);
    auto* const smallest = device.filled<double>(graph.most_nodes, infinity);
    const double omega = options.omega;
    device.each(rollouts.totals.steps, [=] GRAPHGPO_GPU(std::int64_t step) {
        returns[step] = distances.of(graph.target[step], rollouts.group[step]) +
                        cost_of(columns, rollouts, step);
        atomic_min(&smallest[graph.source[step]], returns[step]);
    });
    device.each(rollouts.totals.steps, [=] GRAPHGPO_GPU(std::int64_t step) {
        returns[step] = pow(omega, returns[step] - smallest[graph.source[step]]);
    });
    return returns;
}

// R_t = r_t + gamma * R_(t+1); by step. A thread walks a trajectory from its end.
[[nodiscard]] inline double* discounted_returns(Device& device, const Columns& columns,
                                                const Rollouts& rollouts, const Options& options) {
    auto* const returns = device.array<double>(rollouts.totals.steps);
    const double gamma = options.gamma;
    const double success_reward = options.success_reward;
    device.each(rollouts.totals.trajectories, [=] GRAPHGPO_GPU(std::int64_t t) {
        double to_go = 0;
        for (std::int32_t i = rollouts.trajectory_offsets[t + 1];
             i-- > rollouts.trajectory_offsets[t];) {
            const StepId step = rollouts.step_of_sequence[i];
            double reward = 0;
            if (columns.rewards != nullptr) {
                reward = columns.rewards[rollouts.row[step]];
            } else if (rollouts.following[step] == none && rollouts.succeeded[t] != 0) {
                reward = success_reward;
            }
            to_go = reward + gamma * to_go;
            returns[step] = to_go;
        }
    });
    return returns;
}

struct StepScores {
    double* returns;     // by step, before any penalty
    double* advantages;  // by step
};

[[nodiscard]] inline StepScores score_steps(Device& device, const Columns& columns,
                                            const Rollouts& rollouts, const Graph& graph,
                                            const Distances& distances, const Options& options,
                                            std::uint32_t* findings) {
    const std::int64_t num_steps = rollouts.totals.steps;
    const bool is_gigpo = options.estimator == Estimator::gigpo;
    auto* const returns =
        is_gigpo ? discounted_returns(device, columns, rollouts, options)
                 : edge_returns(device, columns, rollouts, graph, distances, options, findings);
    auto* const advantages = device.filled<double>(num_steps, 0);
    if (options.estimator == Estimator::grpo) return {returns, advantages};

    const Device::Scope scope(device);
    const bool is_relative = !is_gigpo && options.epsilon_scale == EpsilonScale::relative;
    const Penalty penalty(columns, options);
    // Unless it is penalised, a group without success teaches GraphGPO nothing.
    const bool needs_goal = !is_gigpo && (is_relative || !penalty.is_in_force());
    auto* const scores =
        is_relative ? relative_edge_returns(device, columns, rollouts, graph, distances, options)
                    : device.array<double>(num_steps);
    auto* const peers = device.array<std::int32_t>(num_steps);
    const auto nobody = static_cast<std::int32_t>(graph.most_nodes);
    device.each(num_steps, [=] GRAPHGPO_GPU(std::int64_t step) {
        if (!is_relative) scores[step] = returns[step];
        if (penalty.is_in_force()) scores[step] -= penalty.of(rollouts.row[step]);
        const bool is_compared = !needs_goal || graph.goal[rollouts.group[step]] != none;
        peers[step] = is_compared ? graph.source[step] : nobody;
    });
    const Standing* const standings =
        compare(device, {num_steps, peers, scores, nullptr}, graph.most_nodes, options, findings);
    device.each(num_steps, [=] GRAPHGPO_GPU(std::int64_t step) {
        if (peers[step] != nobody) advantages[step] = standings[peers[step]].of(scores[step]);
    });
    return {returns, advantages};
}

// By trajectory: its outcome. A thread adds up the rewards of a trajectory in their order.
[[nodiscard]] inline double* trajectory_returns(Device& device, const Columns& columns,
                                                const Rollouts& rollouts, std::uint32_t* findings) {
    auto* const returns = device.array<double>(rollouts.totals.trajectories);
    device.each(rollouts.totals.trajectories, [=] GRAPHGPO_GPU(std::int64_t t) {
        const std::int32_t begin = rollouts.trajectory_offsets[t];
        const auto row_at = [=](std::int32_t i) {
            return rollouts.row[rollouts.step_of_sequence[i]];
        };
        double sum = 0;
        if (columns.episode_returns != nullptr) {
            sum = columns.episode_returns[row_at(begin)];
        } else if (columns.rewards != nullptr) {
            for (std::int32_t i = begin; i < rollouts.trajectory_offsets[t + 1]; ++i) {
                sum += columns.rewards[row_at(i)];
            }
        } else {
            sum = rollouts.succeeded[t];
        }
        returns[t] = sum;
        if (!is_finite(sum)) atomic_or(findings, invalid_batch);
    });
    return returns;
}

// By step: the episode's return against those of its group.
[[nodiscard]] inline double* episode_advantages(Device& device, const Columns& columns,
                                                const Rollouts& rollouts, const Options& options,
                                                std::uint32_t* findings) {
    const std::int64_t num_trajectories = rollouts.totals.trajectories;
    auto* const advantages = device.array<double>(rollouts.totals.steps);
    const Device::Scope scope(device);
    const double* const returns = trajectory_returns(device, columns, rollouts, findings);
    const Penalty penalty(columns, options);
    const bool by_step = options.episode_weighting == EpisodeWeighting::step;

    // By step, a trajectory is two values: that of its valid actions, then that of the others.
    const std::int64_t size = by_step ? 2 * num_trajectories : num_trajectories;
    const Compared compared{size, device.array<std::int32_t>(size), device.array<double>(size),
                            by_step ? device.array<std::int32_t>(size) : nullptr};
    const std::int32_t nobody = rollouts.totals.groups;
    device.each(num_trajectories, [=] GRAPHGPO_GPU(std::int64_t t) {
        const GroupId group = rollouts.group_of_trajectory[t];
        compared.value[t] = returns[t];
        compared.peers[t] = group;
        if (!by_step) return;
        std::int32_t penalised = 0;
        const std::int32_t end = rollouts.trajectory_offsets[t + 1];
        for (std::int32_t i = rollouts.trajectory_offsets[t]; penalty.is_in_force() && i < end;
             ++i) {
            if (penalty.applies_to(rollouts.row[rollouts.step_of_sequence[i]])) ++penalised;
        }
        const std::int32_t others = end - rollouts.trajectory_offsets[t] - penalised;
        const std::int64_t second = num_trajectories + t;
        compared.weight[t] = others;
        compared.value[second] = returns[t] - penalty.amount;
        compared.weight[second] = penalised;
        if (others == 0) compared.peers[t] = nobody;
        compared.peers[second] = penalised == 0 ? nobody : group;
    });
    const Standing* const standings =
        compare(device, compared, rollouts.totals.groups, options, findings);
    device.each(rollouts.totals.steps, [=] GRAPHGPO_GPU(std::int64_t step) {
        const double episode_return = returns[rollouts.trajectory[step]];
        const bool is_penalised = by_step && penalty.applies_to(rollouts.row[step]);
        advantages[step] = standings[rollouts.group[step]].of(
            is_penalised ? episode_return - penalty.amount : episode_return);
    });
    return advantages;
}

// By step, rounded once.
struct StepCredit {
    float* joint;
    float* step;
    float* episode;
};

[[nodiscard]] inline StepCredit combine(Device& device, std::int64_t num_steps,
                                        const double* step_advantages, const double* of_episodes,
                                        const Options& options, std::uint32_t* findings) {
    const StepCredit credit{device.array<float>(num_steps), device.array<float>(num_steps),
                            device.array<float>(num_steps)};
    const double step_weight = options.step_weight;
    const double episode_weight = options.episode_weight;
    device.each(num_steps, [=] GRAPHGPO_GPU(std::int64_t step) {
        const auto joint = static_cast<float>(step_weight * step_advantages[step] +
                                              episode_weight * of_episodes[step]);
        const auto own = static_cast<float>(step_advantages[step]);
        const auto episode = static_cast<float>(of_episodes[step]);
        credit.joint[step] = joint;
        credit.step[step] = own;
        credit.episode[step] = episode;
        if (!is_finite(joint) || !is_finite(own) || !is_finite(episode)) {
            atomic_or(findings, invalid_batch);
        }
    });
    return credit;
}

}  // namespace graphgpo::cuda
