#include "graphgpo/modifiers/modifier.hpp"

#include <cmath>
#include <variant>

#include "graphgpo/group.hpp"
#include "graphgpo/scores/action_mean.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo {

namespace {

void scale(std::span<double> standings, double factor) {
    for (double& standing : standings) standing *= factor;
}

// Of the trajectories with a verdict, the share that `counts`.
double share_of(Group& group, auto&& counts) {
    double known = 0;
    double counted = 0;
    for (std::size_t t = 0; t < group.rollouts().num_trajectories(); ++t) {
        if (!group.rollouts().has_verdict(id_of(t))) continue;
        known += 1;
        counted += counts(id_of(t)) ? 1 : 0;
    }
    return known == 0 ? 0 : counted / known;
}

void apply(const FailureRate& block, Group& group, std::span<double> standings) {
    const double p =
        share_of(group, [&](TrajectoryId t) { return group.outcomes()[index(t)] > 0; });
    scale(standings, block.beta * std::pow(1 - p, block.alpha));
}

void apply(const Polarised& block, Group& group, std::span<double> standings) {
    const auto logistic = [](double x) { return 1 / (1 + std::exp(-x)); };
    const double b = block.span / (logistic(1) - 0.5);
    const double p = share_of(group, [&](TrajectoryId t) { return group.won(t); });
    const double of_success = 1 + b * (logistic(std::pow(1 - p, block.alpha)) - 0.5);
    const double of_failure = 1 + b * (logistic(-std::pow(p, block.alpha)) - 0.5);
    for (std::size_t step = 0; step < standings.size(); ++step) {
        const TrajectoryId t = group.rollouts().trajectory[step];
        if (!group.rollouts().has_verdict(t)) continue;
        standings[step] *= group.won(t) ? of_success : of_failure;
    }
}

void apply(const Seen& block, Group& group, std::span<double> standings) {
    const NumbersView seen = block.what == SeenWhat::actions
                                 ? NumbersView(group.actions())
                                 : NumbersView(group.graph().target, group.graph().num_nodes);
    const Csr& leaving = group.steps_by_source();
    Array<StateId> last_source(seen.size, none);  // by kind
    for (std::size_t node = 0; node < leaving.num_rows(); ++node) {
        std::int64_t distinct = 0;
        for (const StepId step : leaving.row(id_of(node))) {
            StateId& last = last_source[index(seen.of[index(step)])];
            distinct += last != id_of(node) ? 1 : 0;
            last = id_of(node);
        }
        if (distinct >= block.at_least) continue;
        for (const StepId step : leaving.row(id_of(node))) standings[index(step)] = 0;
    }
}

void apply(const ActionEvidence& block, Group& group, std::span<double> standings) {
    Array<double> scores(standings.size());
    write_scores(*block.score, group, scores);
    const StateActions& actions = group.state_actions();
    const Csr& leaving = group.steps_by_source();
    const KnownMeans of_action = known_means(actions.steps, scores);
    const KnownMeans of_state = known_means(leaving, scores);
    Array<double> between(scores.size());
    Array<double> within(scores.size());
    for (std::size_t step = 0; step < scores.size(); ++step) {
        const double q = of_action.mean[index(actions.pair[step])];
        const double m = of_state.mean[index(group.graph().source[step])];
        const bool is_known = !std::isnan(scores[step]);
        between[step] = is_known ? (q - m) * (q - m) : unknown_score;
        within[step] = is_known ? (scores[step] - q) * (scores[step] - q) : unknown_score;
    }
    const KnownMeans b = known_means(leaving, between);
    const KnownMeans w = known_means(leaving, within);
    for (std::size_t node = 0; node < leaving.num_rows(); ++node) {
        const auto steps = leaving.row(id_of(node));
        const double n = static_cast<double>(steps.size());
        const double explained = b.mean[node] / (b.mean[node] + w.mean[node] + block.epsilon);
        const double rho = std::isnan(explained) ? 0 : std::tanh(n / block.tau) * explained;
        for (const StepId step : steps) standings[index(step)] *= rho;
    }
}

void apply(const NobodyWon& block, Group& group, std::span<double> standings) {
    const double share = block.times_share ? group.facts().share_nobody_won() : 1;
    scale(standings, group.somebody_won() ? 0 : share);
}

void apply(const Live& /*block*/, Group& group, std::span<double> standings) {
    scale(standings, group.facts().live_share());
}

}  // namespace

void modify(const Modifier& modifier, Group& group, std::span<double> standings) {
    std::visit([&](const auto& block) { apply(block, group, standings); }, modifier);
}

void check(const Modifier& modifier) {
    const auto require_finite = [](std::string_view option, double value) {
        require(std::isfinite(value), option, value, "a finite number");
    };
    const auto require_positive = [](std::string_view option, double value) {
        require(std::isfinite(value) && value > 0, option, value, "a finite number > 0");
    };
    if (const auto* rate = std::get_if<FailureRate>(&modifier)) {
        require(std::isfinite(rate->alpha) && rate->alpha >= 0, "alpha", rate->alpha,
                "a finite number >= 0");
        require_finite("beta", rate->beta);
    } else if (const auto* polarised = std::get_if<Polarised>(&modifier)) {
        require(std::isfinite(polarised->alpha) && polarised->alpha >= 0, "alpha", polarised->alpha,
                "a finite number >= 0");
        require_finite("span", polarised->span);
    } else if (const auto* seen = std::get_if<Seen>(&modifier)) {
        require(seen->at_least >= 0, "at_least", static_cast<double>(seen->at_least),
                "an int >= 0");
    } else if (const auto* evidence = std::get_if<ActionEvidence>(&modifier)) {
        require_positive("tau", evidence->tau);
        require_positive("epsilon", evidence->epsilon);
        check(*evidence->score);
    }
}

}  // namespace graphgpo
