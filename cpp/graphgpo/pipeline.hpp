// The method from end to end: a batch of rollouts in, credit for every step out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "graphgpo/advantage_columns.hpp"
#include "graphgpo/columns.hpp"
#include "graphgpo/distances.hpp"
#include "graphgpo/metrics.hpp"
#include "graphgpo/options.hpp"
#include "graphgpo/transition_graph.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

// Throws `std::invalid_argument` (`RowError` where a row is to blame) for a batch or an option the
// method is not defined for; the columns then hold anything. Groups are worked on apart, on up to
// `options.num_threads` threads; the result has the same bits for any number. O(rows) expected with
// unit costs and step ids in order.
[[nodiscard]] Metrics compute_advantages(const Batch& batch, const Options& options,
                                         const AdvantageColumns& columns);

// The same in memory of its own.
struct StepAdvantages {
    std::vector<float> advantages;
    std::vector<float> step_advantages;
    std::vector<float> episode_advantages;
    std::vector<double> edge_returns;
    std::vector<Distance> distances;
    std::vector<Distance> next_distances;
    std::vector<std::int64_t> state_ids;
    std::vector<std::int64_t> next_state_ids;
    Metrics metrics;
};

[[nodiscard]] StepAdvantages compute_advantages(const Batch& batch, const Options& options);

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
