#include "graphgpo/graph_export.hpp"

#include <iterator>
#include <optional>
#include <span>

#include "graphgpo/batch_facts.hpp"
#include "graphgpo/group.hpp"
#include "graphgpo/groups.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/stop.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo {

namespace {

struct NodeOrigins {
    Array<NodeKind> kind;
    Array<RowId> row;
};

// Where the nodes of one group first appear. Going backwards, the earliest row writes last; sources
// write after targets, so a state that is both counts as a state.
NodeOrigins node_origins(const Batch& batch, const Rollouts& rollouts,
                         const TransitionGraph& graph) {
    NodeOrigins nodes{.kind = Array<NodeKind>(graph.num_nodes),
                      .row = Array<RowId>(graph.num_nodes)};
    for (std::size_t step = rollouts.num_steps(); step-- > 0;) {
        const RowId row = rollouts.row[step];
        const bool is_state = batch.next_states && !key_at(*batch.next_states, row).is_null();
        const std::size_t target = index(graph.target[step]);
        nodes.row[target] = row;
        nodes.kind[target] = graph.target[step] == graph.goal ? NodeKind::goal
                             : is_state                       ? NodeKind::next_state
                                                              : NodeKind::leaf;
    }
    for (std::size_t step = rollouts.num_steps(); step-- > 0;) {
        const std::size_t source = index(graph.source[step]);
        nodes.row[source] = rollouts.row[step];
        nodes.kind[source] = NodeKind::state;
    }
    return nodes;
}

void append(auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); }

void append_group(Group& group, GroupId id, BatchGraph& merged) {
    const Rollouts& rollouts = group.rollouts();
    const TransitionGraph& graph = group.graph();
    const Distances& distances = group.distances();
    const std::span<const double> costs = group.costs();
    const auto first_node = std::ssize(merged.node_kind);
    const NodeOrigins origins = node_origins(group.batch(), rollouts, graph);
    append(merged.node_kind, origins.kind);
    append(merged.node_row, origins.row);
    append(merged.node_distance, distances.to_goal);
    for (const Distance distance : distances.to_goal) {
        merged.node_reached.push_back(distances.is_finite(distance) ? 1 : 0);
    }
    merged.node_group.resize(merged.node_kind.size(), id);

    append(merged.edge_row, rollouts.row);
    for (const StateId source : graph.source) merged.edge_source.push_back(first_node + source);
    for (const StateId target : graph.target) merged.edge_target.push_back(first_node + target);
    if (costs.empty()) {
        merged.edge_cost.resize(merged.edge_row.size(), 1);
    } else {
        append(merged.edge_cost, costs);
    }
}

}  // namespace

BatchGraph build_graph(const Batch& batch, std::size_t num_threads) {
    check_batch(batch);
    const Groups groups = group_rows(batch);
    const BatchFacts facts;
    std::vector<std::optional<Group>> graphs(groups.size());
    for_each_group(groups, num_threads, [&](GroupId g, std::span<const RowId> rows) {
        (void)graphs[index(g)].emplace(batch, rows, facts).distances();
    });
    BatchGraph merged;
    for (std::size_t g = 0; g < graphs.size(); ++g) {
        stop_if_asked();
        append_group(*graphs[g], id_of(g), merged);
    }
    return merged;
}

}  // namespace graphgpo
