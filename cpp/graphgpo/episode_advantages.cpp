#include "graphgpo/episode_advantages.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <span>
#include <stdexcept>

#include "graphgpo/group_normalise.hpp"
#include "graphgpo/penalty.hpp"

namespace graphgpo {

namespace {

// By trajectory.
Array<double> trajectory_returns(const Batch& batch, const Rollouts& rollouts) {
    Array<double> returns(rollouts.num_trajectories(), 0);
    for (std::size_t t = 0; t < returns.size(); ++t) {
        const auto steps = rollouts.steps.row(id_of(t));
        const auto row_of = [&](StepId step) { return index(rollouts.row[index(step)]); };
        if (batch.episode_returns) {
            returns[t] = (*batch.episode_returns)[row_of(steps.front())];
        } else if (batch.rewards) {
            for (const StepId step : steps) returns[t] += (*batch.rewards)[row_of(step)];
        } else {
            returns[t] = rollouts.succeeded[t];
        }
        if (!std::isfinite(returns[t])) {
            throw std::invalid_argument(
                "rewards of one trajectory add up to more than a float64 holds");
        }
    }
    return returns;
}

Array<WeightedValue> counted_once(std::span<const double> returns) {
    Array<WeightedValue> counted;
    counted.reserve(returns.size());
    for (const double episode_return : returns) counted.push_back({episode_return, 1});
    return counted;
}

// A trajectory's steps share one score, but for those whose action was invalid.
Array<WeightedValue> counted_by_step(std::span<const double> returns, const Rollouts& rollouts,
                                     const InvalidActionPenalty& penalty) {
    Array<WeightedValue> counted;
    for (std::size_t t = 0; t < returns.size(); ++t) {
        const auto steps = rollouts.steps.row(id_of(t));
        const auto penalised =
            std::ranges::count_if(steps, [&](StepId step) { return penalty[index(step)] > 0; });
        const auto others = std::ssize(steps) - penalised;
        if (others > 0) counted.push_back({returns[t], others});
        if (penalised > 0) counted.push_back({returns[t] - penalty.amount(), penalised});
    }
    return counted;
}

}  // namespace

Array<double> episode_advantages(const Batch& batch, const Rollouts& rollouts,
                                 const Options& options) {
    const Array<double> returns = trajectory_returns(batch, rollouts);
    const bool by_step = options.episode_weighting == EpisodeWeighting::step;
    const InvalidActionPenalty penalty(batch, rollouts, options);
    Array<WeightedValue> compared =
        by_step ? counted_by_step(returns, rollouts, penalty) : counted_once(returns);
    const Standing standing(compared, options);

    Array<double> standings;  // by trajectory
    standings.reserve(returns.size());
    for (const double episode_return : returns) standings.push_back(standing(episode_return));
    Array<double> advantages(rollouts.num_steps());
    for (std::size_t step = 0; step < advantages.size(); ++step) {
        const std::size_t trajectory = index(rollouts.trajectory[step]);
        const bool is_penalised = by_step && penalty[step] > 0;
        advantages[step] =
            is_penalised ? standing(returns[trajectory] - penalty.amount()) : standings[trajectory];
    }
    return advantages;
}

}  // namespace graphgpo
