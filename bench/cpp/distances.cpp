// Distances to the goal, by shape of graph: breadth-first with unit costs, Dijkstra with others.
//
// Least traffic: 8 bytes per edge read (16 with a cost), 9 per node written. A search cannot get
// there: it needs the edges sorted by target, and jumps between nodes.
#include "graphgpo/distances.hpp"

#include <algorithm>
#include <functional>
#include <vector>

#include "bandwidth.hpp"
#include "graphgpo/rollouts.hpp"
#include "shapes.hpp"

namespace graphgpo::bench {
namespace {

// A search is right when no step would improve on it, every node that reached the goal has a step
// its distance comes from, and nodes that did not have no step to one that did. Costs are positive,
// so following those steps ends in the goal: the distances are those of real ways.
bool are_exact(const TransitionGraph& graph, std::span<const double> costs,
               const Distances& found) {
    std::vector<std::uint8_t> is_attained(graph.num_nodes, 0);
    is_attained[index(graph.goal)] = found[graph.goal] == 0 ? 1 : 0;
    for (std::size_t step = 0; step < graph.source.size(); ++step) {
        const StateId source = graph.source[step];
        const StateId target = graph.target[step];
        if (!found.is_finite(found[target])) continue;
        if (!found.is_finite(found[source])) return false;
        const Distance distance = found[target] + (costs.empty() ? 1 : costs[step]);
        if (distance < found[source]) return false;
        if (distance == found[source]) is_attained[index(source)] = 1;
    }
    return std::ranges::equal(is_attained, found.to_goal, {}, {},
                              [&](Distance distance) { return found.is_finite(distance) ? 1 : 0; });
}

// As the pipeline makes them from rollouts, one per group.
std::vector<TransitionGraph> walked_graphs(const Walk& walk) {
    const Workload workload(walk);
    const Batch batch = workload.integer_batch();
    const Groups groups = group_rows(batch);
    std::vector<TransitionGraph> graphs;
    for (std::size_t group = 0; group < groups.size(); ++group) {
        const Rollouts rollouts = arrange_rollouts(batch, groups.rows.row(id_of(group)));
        TransitionGraph graph = merge_states(batch, rollouts);
        if (graph.has_goal()) graphs.push_back(std::move(graph));
    }
    return graphs;
}

struct Shape {
    const char* name;
    std::function<std::vector<TransitionGraph>()> graphs;
};

const std::vector<Shape>& shapes() {
    const auto one = [](TransitionGraph graph) {
        std::vector<TransitionGraph> graphs;
        graphs.push_back(std::move(graph));
        return graphs;
    };
    static const std::vector<Shape> all = {
        {"chain_100k", [=] { return one(chain_graph(100'000)); }},
        {"star_100k", [=] { return one(star_graph(100'000)); }},
        {"random_100k_x4", [=] { return one(random_graph(100'000, 4)); }},
        {"long_diameter_100k_x4", [=] { return one(long_graph(100'000, 4)); }},
        {"many_small_groups", [] { return walked_graphs({.groups = 512, .text_bytes = 24}); }},
        {"giant_group",
         [] {
             return walked_graphs(
                 {.trajectories = 20'000, .rooms = 5'000, .starts = 5'000, .text_bytes = 24});
         }},
    };
    return all;
}

enum class Costs { unit, random };

void search(benchmark::State& state, Costs kind) {
    const auto graphs = shapes()[index(state.range(0))].graphs();
    state.SetLabel(shapes()[index(state.range(0))].name);
    std::vector<std::vector<double>> costs(graphs.size());
    double num_edges = 0;
    double bytes = 0;
    bool holds = !graphs.empty();
    for (std::size_t g = 0; g < graphs.size(); ++g) {
        const auto edges = static_cast<double>(graphs[g].source.size());
        if (kind == Costs::random) costs[g] = random_costs(graphs[g].source.size());
        holds = holds && are_exact(graphs[g], costs[g], distances_to_goal(graphs[g], costs[g]));
        num_edges += edges;
        bytes += edges * (costs[g].empty() ? 8 : 16) + 9 * static_cast<double>(graphs[g].num_nodes);
    }
    if (is_wrong(state, holds)) return;

    time_calls(state, {num_edges, "edges", bytes}, [&] {
        for (std::size_t g = 0; g < graphs.size(); ++g) {
            benchmark::DoNotOptimize(distances_to_goal(graphs[g], costs[g]));
        }
    });
}
BENCHMARK_CAPTURE(search, breadth_first, Costs::unit)->ArgName("shape")->DenseRange(0, 5);
BENCHMARK_CAPTURE(search, dijkstra, Costs::random)->ArgName("shape")->DenseRange(0, 5);

}  // namespace
}  // namespace graphgpo::bench
