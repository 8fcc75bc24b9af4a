// V(u) = success_reward gamma^d(u), the fixed point of V(u) = max over edges of gamma V(v): one
// more reading of the distances.
#include "graphgpo/group.hpp"
#include "graphgpo/powers.hpp"
#include "graphgpo/stop.hpp"

namespace graphgpo {

PotentialOfSteps potential_of(const ReachValue& block, Group& group) {
    const TransitionGraph& graph = group.graph();
    const Distances& distances = group.distances();
    const Powers powers(block.gamma, distances.unreachable);
    Array<double> of_node(graph.num_nodes);
    for_each_stoppable(of_node.size(), [&](std::size_t node) {
        const Distance distance = distances.to_goal[node];
        of_node[node] = graph.has_goal() && distances.is_finite(distance)
                            ? block.success_reward * powers(distance)
                            : 0;
    });
    PotentialOfSteps values;
    values.before.reserve(group.num_steps());
    values.after.reserve(group.num_steps());
    for (std::size_t step = 0; step < group.num_steps(); ++step) {
        values.before.push_back(of_node[index(graph.source[step])]);
        values.after.push_back(of_node[index(graph.target[step])]);
    }
    return values;
}

}  // namespace graphgpo
