// What the whole trajectory came to, for each of its steps.
#include "graphgpo/group.hpp"

namespace graphgpo {

void write_scores(const Outcome&, Group& group, std::span<double> scores) {
    for (std::size_t step = 0; step < scores.size(); ++step) scores[step] = group.outcome(step);
}

void write_scores(const NewStates&, Group& group, std::span<double> scores) {
    const Rollouts& rollouts = group.rollouts();
    const TransitionGraph& graph = group.graph();
    Array<TrajectoryId> last_seen_by(graph.num_nodes, none);
    for (std::size_t t = 0; t < rollouts.num_trajectories(); ++t) {
        const auto steps = rollouts.steps.row(id_of(t));
        last_seen_by[index(graph.source[index(steps.front())])] = id_of(t);
        double found = 0;
        for (const StepId step : steps) {
            TrajectoryId& last = last_seen_by[index(graph.target[index(step)])];
            found += last != id_of(t) ? 1 : 0;
            last = id_of(t);
        }
        const double share = found / static_cast<double>(steps.size());
        for (const StepId step : steps) scores[index(step)] = share;
    }
}

}  // namespace graphgpo
