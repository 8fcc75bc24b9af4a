// One comparison of a term: a score of every step, and how it stands among its peers.
#pragma once

#include <cstdint>
#include <span>

#include "graphgpo/group.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/normalisers/standing.hpp"
#include "graphgpo/plan.hpp"

namespace graphgpo {

// What is reported of a comparison, by step; empty: not asked for.
struct ScoreReport {
    std::span<double> scores;
    std::span<std::int32_t> num_peers;
};

// By step. `when_void`: where the comparison says nothing about a step. `in_batch`: the standing of
// the whole batch's scores, if that is what they are compared with.
[[nodiscard]] Array<double> standings_of(const Comparison& comparison, Group& group,
                                         double when_void, const Standing* in_batch,
                                         const ScoreReport& report);

// The same by trajectory, of outcomes among those of the task: GRPO's advantage. Every trajectory
// counts once, or once a step.
[[nodiscard]] Array<double> standings_of_trajectories(const Comparison& comparison, Group& group,
                                                      const ScoreReport& report);

// Whether `standings_of_trajectories` says all.
[[nodiscard]] bool is_of_trajectories(const Comparison& comparison, const Group& group);

// The step's score less the penalty of an invalid action, to `scores`.
void penalise(std::span<double> scores, double penalty, const Group& group);

// Equal values of an iteration may differ in their last digits: by how much of the largest.
[[nodiscard]] double tolerance_of(const Score& score) noexcept;

}  // namespace graphgpo
