#include "graphgpo/episode_advantages.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <span>
#include <stdexcept>

#include "graphgpo/group_normalise.hpp"

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

FoldedValues counted_once(std::span<const double> returns) {
    FoldedValues counted;
    for (const double episode_return : returns) counted.add(episode_return);
    return counted;
}

// A trajectory's steps share one score, but for those whose action was invalid.
FoldedValues counted_by_step(std::span<const double> returns, const Rollouts& rollouts,
                             const InvalidActionPenalty& penalty) {
    FoldedValues counted;
    for (std::size_t t = 0; t < returns.size(); ++t) {
        const auto steps = rollouts.steps.row(id_of(t));
        const auto penalised =
            std::ranges::count_if(steps, [&](StepId step) { return penalty[index(step)] > 0; });
        const auto others = std::ssize(steps) - penalised;
        if (others > 0) counted.add(returns[t], others);
        if (penalised > 0) counted.add(returns[t] - penalty.amount(), penalised);
    }
    return counted;
}

}  // namespace

EpisodeAdvantages::EpisodeAdvantages(const Batch& batch, const Rollouts& rollouts,
                                     const Options& options)
    : rollouts_(&rollouts), penalty_(batch, rollouts, options) {
    const Array<double> returns = trajectory_returns(batch, rollouts);
    const bool by_step = options.episode_weighting == EpisodeWeighting::step;
    FoldedValues compared =
        by_step ? counted_by_step(returns, rollouts, penalty_) : counted_once(returns);
    const Standing standing(compared, options);

    standings_.reserve(returns.size());
    for (const double episode_return : returns) standings_.push_back(standing(episode_return));
    if (!by_step || !penalty_.is_in_force()) return;
    penalised_.reserve(returns.size());
    for (const double episode_return : returns) {
        penalised_.push_back(standing(episode_return - penalty_.amount()));
    }
}

void EpisodeAdvantages::write(std::size_t first, std::span<double> advantages) const {
    for (std::size_t i = 0; i < advantages.size(); ++i) {
        const std::size_t step = first + i;
        advantages[i] =
            penalised_.empty() ? standings_[index(rollouts_->trajectory[step])] : (*this)[step];
    }
}

}  // namespace graphgpo
