// One group: its rollouts, the graph they make, and what blocks ask of both, each computed once and
// only if somebody asks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "graphgpo/batch_facts.hpp"
#include "graphgpo/columns.hpp"
#include "graphgpo/csr.hpp"
#include "graphgpo/distances.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/pairs.hpp"
#include "graphgpo/peers/peers.hpp"
#include "graphgpo/potentials/potential.hpp"
#include "graphgpo/rollouts.hpp"
#include "graphgpo/scores/score.hpp"
#include "graphgpo/transition_graph.hpp"

namespace graphgpo {

// Steps by state and action.
struct StateActions {
    Array<std::int32_t> pair;  // by step, dense
    Csr steps;                 // of every pair
};

class Group {
  public:
    // Views `batch` and `facts`. `rows` are the unmasked rows of the group, ascending.
    Group(const Batch& batch, std::span<const RowId> rows, const BatchFacts& facts)
        : batch_(&batch), facts_(&facts), rollouts_(arrange_rollouts(batch, rows)) {}

    [[nodiscard]] const Batch& batch() const noexcept { return *batch_; }
    [[nodiscard]] const BatchFacts& facts() const noexcept { return *facts_; }
    [[nodiscard]] const Rollouts& rollouts() const noexcept { return rollouts_; }
    [[nodiscard]] std::size_t num_steps() const noexcept { return rollouts_.num_steps(); }

    [[nodiscard]] const TransitionGraph& graph() {
        if (!graph_) graph_.emplace(merge_states(*batch_, rollouts_));
        return *graph_;
    }
    // By step; empty: unit costs.
    [[nodiscard]] std::span<const double> costs() {
        if (!costs_) costs_.emplace(step_costs(*batch_, rollouts_));
        return *costs_;
    }
    // With a memory, those along all edges it has, the group's among them.
    [[nodiscard]] const Distances& distances();
    // What is remembered of the group's task; null: there is no memory.
    [[nodiscard]] TaskMemory* task_memory() const;
    // The steps that leave every node.
    [[nodiscard]] const Csr& steps_by_source() {
        if (!steps_by_source_) {
            steps_by_source_.emplace(group_by_row(graph().source, graph().num_nodes));
        }
        return *steps_by_source_;
    }

    [[nodiscard]] const Csr& peers(const Peers& peers);
    // By step. Several comparisons ask for one score in a row: the last one is remembered.
    [[nodiscard]] std::span<const double> scores(const Score& score);
    [[nodiscard]] const PotentialOfSteps& potential(const Potential& potential);
    // By step, dense. Targets stand for unknown actions.
    [[nodiscard]] const Numbers& actions();
    [[nodiscard]] const StateActions& state_actions();

    // The episode's return by trajectory; NaN without a verdict.
    [[nodiscard]] std::span<const double> outcomes();
    [[nodiscard]] double outcome(std::size_t step) {
        return outcomes()[index(rollouts_.trajectory[step])];
    }
    // Of a step; NaN where it would come from a verdict that there is not.
    [[nodiscard]] double reward(StepId step, double success_reward) const noexcept {
        if (batch_->rewards) return (*batch_->rewards)[index(rollouts_.row[index(step)])];
        if (!rollouts_.has_verdict(rollouts_.trajectory[index(step)])) return unknown_score;
        return rollouts_.is_winning(step) ? success_reward : 0.0;
    }
    // Whether an amount is taken from the score of invalid actions: without `action_valid` no
    // action is known to be invalid.
    [[nodiscard]] bool penalises(double penalty) const noexcept {
        return penalty > 0 && batch_->action_valid.has_value();
    }
    [[nodiscard]] bool is_invalid(std::size_t step) const noexcept {
        return (*batch_->action_valid)[index(rollouts_.row[step])] == 0;
    }
    // Whether a trajectory succeeded; without a column of successes, whether its outcome is above
    // 0.
    [[nodiscard]] bool won(TrajectoryId trajectory);
    [[nodiscard]] bool somebody_won();

  private:
    const Batch* batch_;
    const BatchFacts* facts_;
    Rollouts rollouts_;
    std::optional<TransitionGraph> graph_;
    std::optional<Array<double>> costs_;
    std::optional<Distances> distances_;
    std::optional<Csr> steps_by_source_;
    std::optional<Array<double>> outcomes_;
    std::optional<Numbers> actions_;
    std::optional<StateActions> state_actions_;
    std::optional<std::pair<Score, Array<double>>> scores_;
    std::vector<std::pair<Peers, std::unique_ptr<const Csr>>> peers_;
    std::vector<std::pair<Potential, std::unique_ptr<const PotentialOfSteps>>> potentials_;
};

// By step, equal keys of a column alike, from 0 on; `none` where there is no key.
[[nodiscard]] Numbers numbers_of_keys(const KeyColumn& column, const Rollouts& rollouts);
// The same where every step has one. Throws `RowError`, which names the column, if one has not.
[[nodiscard]] Numbers numbers_of_keys(const KeyColumn& column, const Rollouts& rollouts,
                                      std::string_view name);

}  // namespace graphgpo
