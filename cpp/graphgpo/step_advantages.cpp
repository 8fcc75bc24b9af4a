#include "graphgpo/step_advantages.hpp"

#include <utility>

#include "graphgpo/discounted_returns.hpp"
#include "graphgpo/edge_returns.hpp"
#include "graphgpo/group_normalise.hpp"
#include "graphgpo/penalty.hpp"

namespace graphgpo {

namespace {

std::vector<double> compare(std::vector<double> scores, const InvalidActionPenalty& penalty,
                            const Csr& peers, const Options& options) {
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
    const std::vector<double> nothing(rollouts.num_steps(), 0);

    if (options.estimator == Estimator::gigpo) {
        std::vector<double> returns = discounted_returns(batch, rollouts, options);
        std::vector<double> advantages = compare(returns, penalty, peers, options);
        return {std::move(returns), std::move(advantages)};
    }

    std::vector<double> returns = edge_returns(graph, costs, distances, options);
    if (options.estimator == Estimator::grpo) return {std::move(returns), nothing};

    const bool is_relative = options.epsilon_scale == EpsilonScale::relative;
    if (!graph.has_goal() && (is_relative || !penalty.is_in_force())) {
        return {std::move(returns), nothing};
    }
    std::vector<double> advantages = compare(
        is_relative ? relative_edge_returns(graph, costs, distances, peers, options) : returns,
        penalty, peers, options);
    return {std::move(returns), std::move(advantages)};
}

}  // namespace graphgpo
