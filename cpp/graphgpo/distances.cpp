#include "graphgpo/distances.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <queue>
#include <stdexcept>
#include <utility>

#include "graphgpo/csr.hpp"
#include "graphgpo/stop.hpp"

namespace graphgpo {

namespace {

constexpr Distance unknown = std::numeric_limits<Distance>::infinity();

// Both searches return the distance of the node that was reached last, which none exceeds.
Distance search_breadth_first(const TransitionGraph& graph, const Csr& steps_into,
                              std::span<Distance> to_goal) {
    // In the order they were reached: the queue. One place more than nodes, because a source is
    // written before it is known to be new: a branch would go either way as often.
    Array<StateId> reached_nodes(graph.num_nodes + 1);
    reached_nodes.front() = graph.goal;
    std::size_t num_reached = 1;
    StopMeter meter;
    for (std::size_t head = 0; head < num_reached; ++head) {
        meter();
        const StateId node = reached_nodes[head];
        const Distance distance = to_goal[index(node)] + 1;
        for (const StepId step : steps_into.row(node)) {
            const StateId source = graph.source[index(step)];
            Distance& known = to_goal[index(source)];
            reached_nodes[num_reached] = source;
            num_reached += known == unknown ? 1 : 0;
            known = std::min(known, distance);
        }
    }
    return to_goal[index(reached_nodes[num_reached - 1])];
}

Distance search_cheapest_first(const TransitionGraph& graph, std::span<const double> costs,
                               const Csr& steps_into, std::span<Distance> to_goal) {
    using Entry = std::pair<Distance, StateId>;
    std::priority_queue<Entry, Array<Entry>, std::greater<>> queue;
    queue.emplace(0, graph.goal);
    Distance largest = 0;
    StopMeter meter;
    while (!queue.empty()) {
        meter();
        const auto [of_node, node] = queue.top();
        queue.pop();
        if (of_node != to_goal[index(node)]) continue;  // a cheaper entry of the node came first
        largest = of_node;
        for (const StepId step : steps_into.row(node)) {
            Distance& known = to_goal[index(graph.source[index(step)])];
            const Distance distance = of_node + costs[index(step)];
            if (known <= distance) continue;
            known = distance;
            queue.emplace(distance, graph.source[index(step)]);
        }
    }
    return largest;
}

}  // namespace

Distances distances_to_goal(const TransitionGraph& graph, std::span<const double> costs) {
    Distances found{.to_goal = Array<Distance>(graph.num_nodes, unknown)};
    if (graph.has_goal()) {
        found.to_goal[index(graph.goal)] = 0;
        const Csr steps_into = group_by_row(graph.target, graph.num_nodes);
        stop_if_asked_after(graph.target.size());
        if (std::ranges::all_of(costs, [](double cost) { return cost == 1; })) {
            found.largest = search_breadth_first(graph, steps_into, found.to_goal);
        } else {
            found.largest = search_cheapest_first(graph, costs, steps_into, found.to_goal);
        }
    }

    const double largest_cost = costs.empty() ? 1 : std::ranges::max(costs);
    found.unreachable = found.largest + largest_cost;
    // One edge further still has to be finite: the exponent of an edge return adds a cost to this.
    if (!std::isfinite(found.unreachable + largest_cost)) {
        throw std::invalid_argument("edge_costs add up to more than a float64 holds");
    }
    for (Distance& distance : found.to_goal) {
        distance = distance == unknown ? found.unreachable : distance;
    }
    return found;
}

}  // namespace graphgpo
