// V(u) = mean over the steps that leave u of their return. A step leads to what the next step of
// its trajectory starts from.
#include "graphgpo/group.hpp"
#include "graphgpo/powers.hpp"
#include "graphgpo/scores/action_mean.hpp"
#include "graphgpo/stop.hpp"

namespace graphgpo {

namespace {

double penalty_of(const MeanReturn& block, const Group& group, std::size_t step) {
    return group.penalises(block.penalty) && group.is_invalid(step) ? block.penalty : 0;
}

// By step; NaN: unknown.
Array<double> returns_of(const MeanReturn& block, Group& group) {
    Array<double> returns(group.num_steps());
    if (block.of == ReturnOf::rewards) {
        write_scores(ReturnToGo{block.gamma, block.success_reward}, group, returns);
    } else {
        const Rollouts& rollouts = group.rollouts();
        StopMeter meter;
        for (std::size_t t = 0; t < rollouts.num_trajectories(); ++t) {
            const auto steps = rollouts.steps.row(id_of(t));
            meter(steps.size());
            const double outcome = group.outcomes()[t];
            const Powers powers(block.gamma, static_cast<double>(steps.size()));
            for (std::size_t i = 0; i < steps.size(); ++i) {
                const auto left = static_cast<double>(steps.size() - i);
                returns[index(steps[i])] = powers(left) * outcome;
            }
        }
    }
    for (std::size_t step = 0; step < returns.size(); ++step) {
        returns[step] -= penalty_of(block, group, step);
    }
    return returns;
}

double value_at_end(const MeanReturn& block, Group& group, std::size_t step) {
    switch (block.end) {
        case ValueAtEnd::zero:
            return 0;
        case ValueAtEnd::outcome:
            return group.outcome(step) - penalty_of(block, group, step);
        case ValueAtEnd::success:
            break;
    }
    const TrajectoryId t = group.rollouts().trajectory[step];
    if (!group.rollouts().has_verdict(t)) return unknown_score;
    return group.rollouts().succeeded[index(t)] == 1 ? block.success_reward : 0;
}

}  // namespace

PotentialOfSteps potential_of(const MeanReturn& block, Group& group) {
    const Array<double> returns = returns_of(block, group);
    const Array<double> of_node = known_means(group.steps_by_source(), returns).mean;
    const TransitionGraph& graph = group.graph();
    PotentialOfSteps values;
    values.before.reserve(returns.size());
    values.after.reserve(returns.size());
    for (std::size_t step = 0; step < returns.size(); ++step) {
        const StepId following = group.rollouts().following[step];
        values.before.push_back(of_node[index(graph.source[step])]);
        values.after.push_back(following == none ? value_at_end(block, group, step)
                                                 : of_node[index(graph.source[index(following)])]);
    }
    return values;
}

}  // namespace graphgpo
