// What the outcome of a whole trajectory says about each of its steps: GRPO's advantage.
#pragma once

#include <cstddef>
#include <span>

#include "graphgpo/columns.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/options.hpp"
#include "graphgpo/penalty.hpp"
#include "graphgpo/rollouts.hpp"

namespace graphgpo {

// Of a step: the episode's return against those of its group, absolute epsilon. A group with one
// trajectory, or with equal returns, gets 0. An episode's return is `episode_returns`, else the sum
// of its `rewards`, else 1 for a success and 0 for a failure.
//
// "trajectory" weighting counts each trajectory once; "step" counts each step once, and only there
// the invalid action penalty lowers the score of the step (both as the official recipe does).
// Throws `std::invalid_argument` when sums or variances are not finite.
class EpisodeAdvantages {
  public:
    // Views `batch` and `rollouts`.
    EpisodeAdvantages(const Batch& batch, const Rollouts& rollouts, const Options& options);

    [[nodiscard]] double operator[](std::size_t step) const noexcept {
        const std::size_t trajectory = index(rollouts_->trajectory[step]);
        const bool is_penalised = !penalised_.empty() && penalty_[step] > 0;
        return is_penalised ? penalised_[trajectory] : standings_[trajectory];
    }
    // Those of the steps from `first` on, without asking each for its penalty where none is told
    // apart.
    void write(std::size_t first, std::span<double> advantages) const;

  private:
    const Rollouts* rollouts_;
    InvalidActionPenalty penalty_;
    Array<double> standings_;  // by trajectory
    Array<double> penalised_;  // by trajectory, of its invalid actions; empty: none is told apart
};

}  // namespace graphgpo
