// What is asked of any score, and the caller's own.
#include "graphgpo/scores/score.hpp"

#include <cmath>
#include <stdexcept>
#include <variant>

#include "graphgpo/group.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo {

namespace {

void require_share(std::string_view option, double value) {
    require(0 <= value && value <= 1, option, value, "a number in [0, 1]");
}

void require_positive(std::string_view option, double value) {
    require(std::isfinite(value) && value > 0, option, value, "a finite number > 0");
}

void check_block(const EdgeReturn& block) {
    require(0 < block.omega && block.omega < 1, "omega", block.omega, "0 < omega < 1");
    require_positive("success_reward", block.success_reward);
}
void check_block(const Target& block) {
    require_share("gamma", block.gamma);
    check(block.potential);
}
void check_block(const Difference& block) {
    require_share("gamma", block.gamma);
    require_positive("success_reward", block.success_reward);
    check(block.potential);
}
void check_block(const Trace& block) {
    require_share("lam", block.lam);
    check_block(block.difference);
}
void check_block(const ReturnToGo& block) {
    require_share("gamma", block.gamma);
    require_positive("success_reward", block.success_reward);
}
void check_block(const Outcome&) {}
void check_block(const NewStates&) {}
void check_block(const Surprisal&) {}
void check_block(const ActionMean& block) {
    require(std::isfinite(block.kappa) && block.kappa >= 0, "kappa", block.kappa,
            "a finite number >= 0");
    check(*block.score);
}
void check_block(const StandingScore& block) {
    if (std::holds_alternative<WholeBatch>(block.peers)) {
        throw std::invalid_argument("a Standing has Batch peers; expected those of a group");
    }
    check(*block.score);
    check(block.peers);
    check(block.normaliser);
    check_together(*block.score, block.peers, block.normaliser);
}
void check_block(const GivenScores&) {}

}  // namespace

void write_scores(const GivenScores& block, Group& group, std::span<double> scores) {
    for (std::size_t step = 0; step < scores.size(); ++step) {
        scores[step] = block.values.values[index(group.rollouts().row[step])];
    }
}

void write_scores(const Score& score, Group& group, std::span<double> scores) {
    std::visit([&](const auto& block) { write_scores(block, group, scores); }, score.block);
}

bool is_constant_on_trajectories(const Score& score) noexcept {
    if (const auto* standing = std::get_if<StandingScore>(&score.block)) {
        const bool is_of_trajectory = std::holds_alternative<Task>(standing->peers) ||
                                      std::holds_alternative<PeerKeys>(standing->peers);
        return is_of_trajectory && is_constant_on_trajectories(*standing->score);
    }
    return std::holds_alternative<Outcome>(score.block) ||
           std::holds_alternative<NewStates>(score.block);
}

bool is_iterated(const Score& score) noexcept {
    if (const auto* target = std::get_if<Target>(&score.block)) {
        return is_iterated(target->potential);
    }
    if (const auto* difference = std::get_if<Difference>(&score.block)) {
        return is_iterated(difference->potential);
    }
    if (const auto* trace = std::get_if<Trace>(&score.block)) {
        return is_iterated(trace->difference.potential);
    }
    if (const auto* mean = std::get_if<ActionMean>(&score.block)) return is_iterated(*mean->score);
    const auto* standing = std::get_if<StandingScore>(&score.block);
    return standing != nullptr && is_iterated(*standing->score);
}

void check(const Score& score) {
    std::visit([](const auto& block) { check_block(block); }, score.block);
}

void check_together(const Score& score, const Peers& peers, const Normaliser& normaliser) {
    if (!std::holds_alternative<EdgeReturn>(score.block) || !is_relative(normaliser)) return;
    if (std::holds_alternative<SameState>(peers)) return;
    throw std::invalid_argument(
        "EdgeReturn at relative scale is compared with other peers than SameState; expected "
        "SameState");
}

}  // namespace graphgpo
