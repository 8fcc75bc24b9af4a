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
    return normalise_among(peers, std::move(scores), options);
}

// By step: how far its target is from the goal, a whole number because every cost is 1.
Array<std::int32_t> whole_distances(const TransitionGraph& graph, const Distances& distances) {
    Array<std::int32_t> whole(graph.target.size());
    for (std::size_t step = 0; step < whole.size(); ++step) {
        whole[step] = static_cast<std::int32_t>(distances[graph.target[step]]);
    }
    return whole;
}

}  // namespace

Array<double> score_steps(const Batch& batch, const Rollouts& rollouts,
                          const TransitionGraph& graph, std::span<const double> costs,
                          const Distances& distances, const Csr& peers, const Options& options,
                          std::span<double> returns) {
    const InvalidActionPenalty penalty(batch, rollouts, options);
    const auto nothing = [&] { return Array<double>(rollouts.num_steps(), 0); };
    const auto copy_of_returns = [&] { return Array<double>(returns.begin(), returns.end()); };

    if (options.estimator == Estimator::gigpo) {
        write_discounted_returns(batch, rollouts, options, returns);
        return compare(copy_of_returns(), penalty, peers, options);
    }

    const Powers powers(options.omega, distances.unreachable + 1);
    write_edge_returns(graph, costs, distances, powers, options, returns);
    if (options.estimator == Estimator::grpo) return nothing();

    const bool is_relative = options.epsilon_scale == EpsilonScale::relative;
    if (!graph.has_goal() && (is_relative || !penalty.is_in_force())) return nothing();
    if (is_relative && costs.empty() && !penalty.is_in_force()) {
        const auto relative_return = [&](std::int32_t further) { return powers(further); };
        return normalise_levels(peers, whole_distances(graph, distances),
                                static_cast<std::size_t>(distances.unreachable) + 1,
                                relative_return, options);
    }
    return compare(
        is_relative ? relative_edge_returns(graph, costs, distances, powers) : copy_of_returns(),
        penalty, peers, options);
}

}  // namespace graphgpo
