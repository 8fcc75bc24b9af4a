#include "graphgpo/distances.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>
#include <stdexcept>
#include <utility>

#include "graphgpo/csr.hpp"

namespace graphgpo {

namespace {

void search_breadth_first(const TransitionGraph& graph, const Csr& steps_into, Distances& found) {
    Array<StateId> reached_nodes{graph.goal};  // in the order they were reached: the queue
    reached_nodes.reserve(graph.num_nodes);
    found.reached[index(graph.goal)] = 1;
    for (std::size_t head = 0; head < reached_nodes.size(); ++head) {
        const StateId node = reached_nodes[head];
        for (const StepId step : steps_into.row(node)) {
            const StateId source = graph.source[index(step)];
            if (found.reached[index(source)] != 0) continue;
            found.reached[index(source)] = 1;
            found.to_goal[index(source)] = found[node] + 1;
            reached_nodes.push_back(source);
        }
    }
}

void search_cheapest_first(const TransitionGraph& graph, std::span<const double> costs,
                           const Csr& steps_into, Distances& found) {
    using Entry = std::pair<Distance, StateId>;
    std::priority_queue<Entry, Array<Entry>, std::greater<>> queue;
    Array<std::uint8_t> is_final(graph.num_nodes, 0);
    found.reached[index(graph.goal)] = 1;
    queue.emplace(0, graph.goal);
    while (!queue.empty()) {
        const StateId node = queue.top().second;
        queue.pop();
        if (is_final[index(node)] != 0) continue;  // a cheaper entry of the same node came first
        is_final[index(node)] = 1;
        for (const StepId step : steps_into.row(node)) {
            const StateId source = graph.source[index(step)];
            const Distance distance = found[node] + costs[index(step)];
            if (found.reached[index(source)] != 0 && found[source] <= distance) continue;
            found.reached[index(source)] = 1;
            found.to_goal[index(source)] = distance;
            queue.emplace(distance, source);
        }
    }
}

}  // namespace

Distances distances_to_goal(const TransitionGraph& graph, std::span<const double> costs) {
    Distances found{.to_goal = Array<Distance>(graph.num_nodes, 0),
                    .reached = Array<std::uint8_t>(graph.num_nodes, 0)};
    if (graph.has_goal()) {
        const Csr steps_into = group_by_row(graph.target, graph.num_nodes);
        if (std::ranges::all_of(costs, [](double cost) { return cost == 1; })) {
            search_breadth_first(graph, steps_into, found);
        } else {
            search_cheapest_first(graph, costs, steps_into, found);
        }
    }

    const Distance largest = found.to_goal.empty() ? 0 : std::ranges::max(found.to_goal);
    const double largest_cost = costs.empty() ? 1 : std::ranges::max(costs);
    found.unreachable = largest + largest_cost;
    // One edge further still has to be finite: the exponent of an edge return adds a cost to this.
    if (!std::isfinite(found.unreachable + largest_cost)) {
        throw std::invalid_argument("edge_costs add up to more than a float64 holds");
    }
    for (std::size_t node = 0; node < graph.num_nodes; ++node) {
        if (found.reached[node] == 0) found.to_goal[node] = found.unreachable;
    }
    return found;
}

}  // namespace graphgpo
