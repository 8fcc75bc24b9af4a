#include "graphgpo/step_advantages.hpp"

#include <utility>

#include "graphgpo/discounted_returns.hpp"
#include "graphgpo/edge_returns.hpp"
#include "graphgpo/group_normalise.hpp"
#include "graphgpo/penalty.hpp"

namespace graphgpo {

namespace {

Array<double> compare(Array<double> scores, const InvalidActionPenalty& penalty, const Csr& peers,
                      const Options& options) {
    if (penalty.is_in_force()) {
        for (std::size_t step = 0; step < scores.size(); ++step) scores[step] -= penalty[step];
    }
    return normalise_among(peers, scores, options);
}

}  // namespace

StepScores score_steps(const Batch& batch, const Rollouts& rollouts, const TransitionGraph& graph,
                       std::span<const double> costs, const Distances& distances, const Csr& peers,
                       const Options& options) {
    const InvalidActionPenalty penalty(batch, rollouts, options);
    const auto nothing = [&] { return Array<double>(rollouts.num_steps(), 0); };

    if (options.estimator == Estimator::gigpo) {
        Array<double> returns = discounted_returns(batch, rollouts, options);
        Array<double> advantages = compare(returns, penalty, peers, options);
        return {std::move(returns), std::move(advantages)};
    }

    Array<double> returns = edge_returns(graph, costs, distances, options);
    if (options.estimator == Estimator::grpo) return {std::move(returns), nothing()};

    const bool is_relative = options.epsilon_scale == EpsilonScale::relative;
    if (!graph.has_goal() && (is_relative || !penalty.is_in_force())) {
        return {std::move(returns), nothing()};
    }
    Array<double> advantages = compare(
        is_relative ? relative_edge_returns(graph, costs, distances, peers, options) : returns,
        penalty, peers, options);
    return {std::move(returns), std::move(advantages)};
}

}  // namespace graphgpo
