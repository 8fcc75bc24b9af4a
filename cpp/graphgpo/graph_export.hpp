// The merged graphs themselves, for plots, debugging and export.
#pragma once

#include <cstdint>
#include <vector>

#include "graphgpo/columns.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

enum class NodeKind : std::uint8_t {
    state,       // states[node_row]
    next_state,  // next_states[node_row]: never the state of a step
    goal,
    leaf,  // where a failed trajectory ended, its next state unknown
};

// The merged graphs of all groups. Node ids are those of `compute_advantages`.
struct BatchGraph {
    std::vector<NodeKind> node_kind;
    std::vector<RowId> node_row;  // the first row in which the node appears
    std::vector<GroupId> node_group;
    std::vector<Distance> node_distance;
    std::vector<std::uint8_t> node_reached;  // the goal can be reached from it
    std::vector<RowId> edge_row;             // one edge per step: masked rows and copies have none
    std::vector<std::int64_t> edge_source;
    std::vector<std::int64_t> edge_target;
    std::vector<double> edge_cost;
};

// Edges go group after group, in row order inside a group.
[[nodiscard]] BatchGraph build_graph(const Batch& batch, std::size_t num_threads);

}  // namespace graphgpo
