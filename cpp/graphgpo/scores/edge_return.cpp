#include "graphgpo/scores/edge_return.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "graphgpo/normalisers/standing.hpp"
#include "graphgpo/stop.hpp"

namespace graphgpo {

namespace {

double cost_of(std::span<const double> costs, std::size_t step) {
    return costs.empty() ? 1 : costs[step];
}

double finite_return(double edge_return) {
    if (std::isfinite(edge_return)) return edge_return;
    throw std::invalid_argument(
        "success_reward * omega ** exponent is more than a float64 holds; expected edge "
        "costs of at least 1, or an omega that is not so small, with exponent 'recipe'");
}

// By step: how far its target is from the goal, a whole number because every cost is 1.
Array<std::int32_t> whole_distances(Group& group) {
    const TransitionGraph& graph = group.graph();
    const Distances& distances = group.distances();
    Array<std::int32_t> whole(graph.target.size());
    for (std::size_t step = 0; step < whole.size(); ++step) {
        whole[step] = static_cast<std::int32_t>(distances[graph.target[step]]);
    }
    return whole;
}

}  // namespace

Powers powers_of(const EdgeReturn& block, Group& group) {
    return {block.omega, group.distances().unreachable + 1};
}

void write_scores(const EdgeReturn& block, Group& group, std::span<double> scores) {
    write_edge_returns(block, group, powers_of(block, group), scores);
}

void write_edge_returns(const EdgeReturn& block, Group& group, const Powers& powers,
                        std::span<double> returns) {
    const TransitionGraph& graph = group.graph();
    const std::span<const double> costs = group.costs();
    const Distances& distances = group.distances();
    const double shift = block.exponent == Exponent::recipe ? 1 : 0;
    const auto return_of = [&](double distance, double cost) {
        return finite_return(block.success_reward * powers(distance + cost - shift));
    };
    if (block.exponent == Exponent::progress) {
        for_each_stoppable(returns.size(), [&](std::size_t step) {
            returns[step] = return_of(distances[graph.target[step]] - distances[graph.source[step]],
                                      cost_of(costs, step));
        });
    } else if (!costs.empty()) {
        for_each_stoppable(returns.size(), [&](std::size_t step) {
            returns[step] = return_of(distances[graph.target[step]], costs[step]);
        });
    } else {  // distances are few whole numbers, and all steps to one of them have its return
        Array<double> of_distance(static_cast<std::size_t>(distances.unreachable) + 1);
        for (std::size_t distance = 0; distance < of_distance.size(); ++distance) {
            of_distance[distance] = return_of(static_cast<double>(distance), 1);
        }
        for (std::size_t step = 0; step < returns.size(); ++step) {
            const Distance distance = distances[graph.target[step]];
            returns[step] = of_distance[static_cast<std::uint32_t>(distance)];
        }
    }
}

Array<double> relative_edge_returns(Group& group, const Powers& powers) {
    const TransitionGraph& graph = group.graph();
    const Distances& distances = group.distances();
    const std::span<const double> costs = group.costs();
    const auto exponent_of = [&](std::size_t step) {
        return distances[graph.target[step]] + cost_of(costs, step);
    };
    Array<double> smallest(graph.num_nodes, std::numeric_limits<double>::infinity());
    Array<double> returns(graph.source.size());
    for (std::size_t step = 0; step < returns.size(); ++step) {
        double& exponent = smallest[index(graph.source[step])];
        exponent = std::min(exponent, exponent_of(step));
    }
    for_each_stoppable(returns.size(), [&](std::size_t step) {
        returns[step] = powers(exponent_of(step) - smallest[index(graph.source[step])]);
    });
    return returns;
}

Array<double> compare_by_distance(Group& group, const Powers& powers, const Normaliser& normaliser,
                                  std::span<std::int32_t> num_peers) {
    return compare_levels(
        group.steps_by_source(), whole_distances(group),
        static_cast<std::size_t>(group.distances().unreachable) + 1,
        [&](std::int32_t further) { return powers(further); }, normaliser, num_peers);
}

}  // namespace graphgpo
