// Plans of published estimators, as the Python package writes them out: what tests and benchmarks
// ask the core to compute.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "graphgpo/plan.hpp"

namespace graphgpo {

struct PlanOptions {
    double omega = 0.1;
    double success_reward = 10;
    Exponent exponent = Exponent::paper;
    bool divides = true;  // by the standard deviation of the peers
    double epsilon = 1e-6;
    Scale scale = Scale::relative;  // of edge returns
    double step_weight = 1;
    double episode_weight = 1;
    Unit episode_unit = Unit::trajectories;
    double penalty = 0;
    double gamma = 0.95;
    std::int64_t history = 2;
};

[[nodiscard]] inline Comparison compared(Score score, Peers peers, Normaliser normaliser,
                                         Unit unit = Unit::steps, double penalty = 0,
                                         double weight = 1) {
    return {.score = std::move(score),
            .peers = peers,
            .normaliser = normaliser,
            .unit = unit,
            .penalty = penalty,
            .weight = weight};
}

[[nodiscard]] inline Term term_of(std::vector<Comparison> comparisons) {
    return {.comparisons = std::move(comparisons), .average = {}, .modifiers = {}, .weight = 1};
}

[[nodiscard]] inline Plan plan_of(std::vector<Term> terms, double step_weight = 1,
                                  double episode_weight = 1) {
    return {
        .terms = std::move(terms), .step_weight = step_weight, .episode_weight = episode_weight};
}

[[nodiscard]] inline Normaliser normaliser_of(const PlanOptions& options,
                                              Scale scale = Scale::absolute,
                                              std::int64_t ddof = 1) {
    if (!options.divides) return Mean{scale};
    return MeanStd{
        .ddof = ddof, .epsilon = options.epsilon, .inside = false, .scale = scale, .off_below = 0};
}

// GRPO's advantage. Only where steps count a penalty lowers their score.
[[nodiscard]] inline Term episode_term(const PlanOptions& options) {
    const bool by_step = options.episode_unit == Unit::steps;
    return term_of({compared({Outcome{}}, Task{}, normaliser_of(options), options.episode_unit,
                             by_step ? options.penalty : 0)});
}

[[nodiscard]] inline Plan graphgpo_plan(const PlanOptions& options = {}) {
    const EdgeReturn score{options.omega, options.success_reward, options.exponent};
    const Term step = term_of({compared({score}, SameState{}, normaliser_of(options, options.scale),
                                        Unit::steps, options.penalty)});
    return plan_of({step, episode_term(options)}, options.step_weight, options.episode_weight);
}

[[nodiscard]] inline Plan gigpo_plan(const PlanOptions& options = {}) {
    const ReturnToGo score{options.gamma, options.success_reward};
    const Term step = term_of(
        {compared({score}, SameState{}, normaliser_of(options), Unit::steps, options.penalty)});
    return plan_of({step, episode_term(options)}, options.step_weight, options.episode_weight);
}

[[nodiscard]] inline Plan grpo_plan(const PlanOptions& options = {}) {
    return plan_of({episode_term(options)}, options.step_weight, options.episode_weight);
}

// Peers share the last one, two, ... history + 1 states: the more, the heavier.
[[nodiscard]] inline Plan hgpo_plan(const PlanOptions& options = {}) {
    const ReturnToGo score{options.gamma, options.success_reward};
    std::vector<Comparison> levels;
    for (std::int64_t states = 1; states <= options.history + 1; ++states) {
        levels.push_back(compared({score}, LastStates{states},
                                  normaliser_of(options, Scale::absolute, 0), Unit::steps,
                                  options.penalty, static_cast<double>(states)));
    }
    return plan_of({term_of(std::move(levels))}, options.step_weight, options.episode_weight);
}

// The value of the policy that made the rollouts, where a step leads.
[[nodiscard]] inline Plan graft_plan(const PlanOptions& options = {}) {
    const Potential value{BellmanMean{options.gamma, FailedEnd::leaf, {}}};
    const Term step =
        term_of({compared({Target{value, options.gamma}}, SameState{}, normaliser_of(options))});
    return plan_of({step}, options.step_weight, options.episode_weight);
}

}  // namespace graphgpo
