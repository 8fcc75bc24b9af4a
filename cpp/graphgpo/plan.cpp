#include "graphgpo/plan.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <variant>

#include "graphgpo/validate.hpp"

namespace graphgpo {

namespace {

template <typename... Alternatives>
bool is_one_of(const auto& variant) noexcept {
    return (std::holds_alternative<Alternatives>(variant) || ...);
}

void need(bool has_column, std::string_view block, std::string_view column) {
    if (has_column) return;
    throw std::invalid_argument(std::string(column) +
                                " is None; expected one value per step, which " +
                                std::string(block) + " needs");
}

// What blocks need of a batch. Blocks inside others are visited by those.
class Needs {
  public:
    explicit Needs(const Batch& batch)
        : batch_(&batch),
          has_rewards_(batch.rewards || batch.success),
          has_outcome_(batch.episode_returns || has_rewards_) {}

    void of(const Score& score) const {
        std::visit([this](const auto& block) { block_of(block); }, score.block);
    }
    void of(const Potential& potential) const {
        std::visit([this](const auto& block) { block_of(block); }, potential.block);
    }
    void of(const Peers& peers) const {
        if (std::holds_alternative<PeerKeys>(peers)) {
            need(batch_->peer_keys.has_value(), "PeerKeys", "peer_keys");
        }
        if (std::holds_alternative<SameTransition>(peers)) {
            need(batch_->actions.has_value(), "SameTransition", "actions");
        }
    }
    void of(const Modifier& modifier) const {
        if (is_one_of<FailureRate, Polarised, NobodyWon, Live>(modifier)) {
            need(has_outcome_, "a modifier by success", "success");
        }
        if (const auto* evidence = std::get_if<ActionEvidence>(&modifier)) {
            need(batch_->actions.has_value(), evidence->name, "actions");
            of(*evidence->score);
        }
    }

  private:
    void block_of(const EdgeReturn& block) const { success(block.name); }
    void block_of(const Target& block) const { of(block.potential); }
    void block_of(const Difference& block) const {
        of(block.potential);
        need(!block.rewards || has_rewards_, block.name, "rewards");
    }
    void block_of(const Trace& block) const { block_of(block.difference); }
    void block_of(const ReturnToGo& block) const { need(has_rewards_, block.name, "success"); }
    void block_of(const Outcome& block) const { need(has_outcome_, block.name, "success"); }
    void block_of(const NewStates&) const {}
    void block_of(const Surprisal& block) const {
        need(!block.actions || batch_->actions, block.name, "actions");
    }
    void block_of(const ActionMean& block) const {
        need(batch_->actions || block.unknown == UnknownAction::target, block.name, "actions");
        of(*block.score);
    }
    void block_of(const StandingScore& block) const {
        of(*block.score);
        of(block.peers);
    }
    void block_of(const GivenScores& block) const { rows(block.values); }
    void block_of(const ReachValue& block) const { success(block.name); }
    void block_of(const MeanReturn& block) const {
        const bool is_enough = block.of == ReturnOf::rewards ? has_rewards_ : has_outcome_;
        need(is_enough, block.name, "success");
        need(block.end != ValueAtEnd::outcome || has_outcome_, block.name, "success");
        if (block.end == ValueAtEnd::success) success(block.name);
    }
    void block_of(const BellmanMean& block) const {
        if (block.boundary) {
            rows(*block.boundary);
        } else {
            success(block.name);
        }
    }
    void block_of(const Log& block) const { of(*block.potential); }
    void block_of(const GivenNodes& block) const {
        rows(block.source);
        rows(block.target);
    }

    void success(std::string_view block) const {
        need(batch_->success.has_value(), block, "success");
    }
    void rows(const GivenValues& given) const {
        const std::size_t expected = num_rows(batch_->states);
        if (given.values.size() == expected) return;
        throw std::invalid_argument("states has " + std::to_string(expected) +
                                    " rows but the values of a Given block " +
                                    std::to_string(given.values.size()));
    }

    const Batch* batch_;
    bool has_rewards_;
    bool has_outcome_;
};

void require_finite(std::string_view option, double value) {
    require(std::isfinite(value), option, value, "a finite number");
}

}  // namespace

bool is_episodic(const Term& term) noexcept {
    // Those look at where a step starts.
    const bool differs_by_state = std::ranges::any_of(term.modifiers, [](const Modifier& modifier) {
        return is_one_of<Seen, ActionEvidence>(modifier);
    });
    return !term.average && !differs_by_state &&
           std::ranges::all_of(term.comparisons, [](const Comparison& compared) {
               return is_constant_on_trajectories(compared.score) &&
                      is_one_of<Task, WholeBatch, PeerKeys>(compared.peers);
           });
}

const Surprisal* surprisal_in(const Plan& plan) noexcept {
    for (const Term& term : plan.terms) {
        for (const Comparison& compared : term.comparisons) {
            const auto* surprisal = std::get_if<Surprisal>(&compared.score.block);
            if (surprisal != nullptr) return surprisal;
        }
    }
    return nullptr;
}

bool is_batch_wide(const Term& term) noexcept {
    return std::holds_alternative<WholeBatch>(term.comparisons.front().peers);
}

void check_plan(const Plan& plan, const Batch& batch) {
    const Needs needs(batch);
    require_finite("step_weight", plan.step_weight);
    require_finite("episode_weight", plan.episode_weight);
    if (plan.terms.empty()) throw std::invalid_argument("an estimator has no terms; expected one");
    for (const Term& term : plan.terms) {
        require_finite("weight", term.weight);
        if (term.comparisons.empty()) throw std::invalid_argument("a term compares nothing");
        for (const Comparison& comparison : term.comparisons) {
            if (term.comparisons.size() > 1 &&
                std::holds_alternative<WholeBatch>(comparison.peers)) {
                throw std::invalid_argument("Batch peers are one of several; expected them alone");
            }
            require_finite("weight", comparison.weight);
            require(std::isfinite(comparison.penalty) && comparison.penalty >= 0, "penalty",
                    comparison.penalty, "a finite number >= 0");
            check(comparison.score);
            check(comparison.peers);
            check(comparison.normaliser);
            check_together(comparison.score, comparison.peers, comparison.normaliser);
            needs.of(comparison.score);
            needs.of(comparison.peers);
        }
        if (term.average) {
            if (std::holds_alternative<WholeBatch>(*term.average)) {
                throw std::invalid_argument(
                    "a term is averaged over the batch; expected peers of a group");
            }
            check(*term.average);
            needs.of(*term.average);
        }
        for (const Modifier& modifier : term.modifiers) {
            check(modifier);
            needs.of(modifier);
        }
    }
}

}  // namespace graphgpo
