// All rollouts merged: states to nodes, steps to edges, one graph per group.
#pragma once

#include <cstdint>

#include "cuda/arrange.hpp"
#include "cuda/columns.hpp"
#include "cuda/device.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo::cuda {

// Where a step leads.
enum class TargetKind : std::uint8_t {
    following_state,  // the state of the following step
    other_state,      // a next state that has to be looked up
    goal,
    leaf,
};

GRAPHGPO_HD inline TargetKind target_kind(const Columns& columns, const Rollouts& rollouts,
                                          std::int64_t step) {
    const RowId row = rollouts.row[step];
    const StepId following = rollouts.following[step];
    const bool is_known =
        columns.next_state_keys != nullptr &&
        (columns.next_state_known == nullptr || columns.next_state_known[row] != 0);
    if (following != none) {
        // One that is not known is an error here, which has been noticed.
        if (columns.next_state_keys == nullptr) return TargetKind::following_state;
        const std::int64_t state = columns.state_keys[rollouts.row[following]];
        return columns.next_state_keys[row] == state ? TargetKind::following_state
                                                     : TargetKind::other_state;
    }
    if (rollouts.succeeded[rollouts.trajectory[step]] != 0) return TargetKind::goal;
    return is_known ? TargetKind::other_state : TargetKind::leaf;
}

// Of the targets that are not the following step's state, how many there are before a step.
struct TargetCounts {
    std::int32_t other_states;
    std::int32_t leaves;
};

struct AddTargets {
    GRAPHGPO_HD TargetCounts operator()(const TargetCounts& a, const TargetCounts& b) const {
        return {a.other_states + b.other_states, a.leaves + b.leaves};
    }
};

// What the host has to know before it can size the rest.
struct GraphSizes {
    std::int32_t other_states;
    std::int32_t leaves;
    std::int32_t largest_group;  // in steps
};

struct Targets {
    TargetKind* kind;      // by step
    TargetCounts* counts;  // by step, itself included
};

[[nodiscard]] inline Targets classify_targets(Device& device, const Columns& columns,
                                              const Rollouts& rollouts) {
    const std::int64_t num_steps = rollouts.totals.steps;
    const Targets targets{device.array<TargetKind>(num_steps),
                          device.array<TargetCounts>(num_steps)};
    device.each(num_steps, [=] GRAPHGPO_GPU(std::int64_t step) {
        const TargetKind kind = target_kind(columns, rollouts, step);
        targets.kind[step] = kind;
        targets.counts[step] = {kind == TargetKind::other_state ? 1 : 0,
                                kind == TargetKind::leaf ? 1 : 0};
    });
    device.inclusive_scan(targets.counts, num_steps, AddTargets());
    return targets;
}

// Waits for the device.
[[nodiscard]] inline GraphSizes read_sizes(Device& device, const Rollouts& rollouts,
                                           const Targets& targets) {
    const Device::Scope scope(device);
    auto* const sizes = device.array<GraphSizes>(1);
    const std::int64_t num_steps = rollouts.totals.steps;
    auto* const largest = device.filled<std::int32_t>(1, 0);
    device.each(rollouts.totals.groups, [=] GRAPHGPO_GPU(std::int64_t g) {
        atomic_max(largest, rollouts.step_offsets[g + 1] - rollouts.step_offsets[g]);
    });
    device.each(1, [=] GRAPHGPO_GPU(std::int64_t) {
        const TargetCounts last = targets.counts[num_steps - 1];
        *sizes = {last.other_states, last.leaves, *largest};
    });
    return device.read(sizes);
}

// Nodes are numbered as the core numbers them: by group, in a group by first appearance in step
// order, a step's source before its target.
struct Graph {
    StateId* source;             // by step
    StateId* target;             // by step
    StateId* goal;               // by group; `none`: nobody succeeded
    std::int32_t* node_offsets;  // by group
    std::int64_t most_nodes;  // at least as many as there are: how many that is, the device knows
};

// Interning is by sorting: states and other next states by key, then, stably, by group; equal
// neighbours are one node. Exact, and without the tables that would have to be sized for the worst.
[[nodiscard]] inline Graph merge_states(Device& device, const Columns& columns,
                                        const Rollouts& rollouts, const Targets& targets,
                                        const GraphSizes& sizes) {
    const std::int64_t num_steps = rollouts.totals.steps;
    const std::int64_t num_groups = rollouts.totals.groups;
    const std::int64_t num_items = num_steps + sizes.other_states;  // states, then other states
    const std::int64_t num_named = num_items + num_groups + sizes.leaves;
    const std::int64_t num_positions = 2 * num_steps;  // of step s: source 2 s, target 2 s + 1
    const Graph graph{.source = device.array<StateId>(num_steps),
                      .target = device.array<StateId>(num_steps),
                      .goal = device.array<StateId>(num_groups),
                      .node_offsets = device.array<std::int32_t>(num_groups + 1),
                      .most_nodes = std::min(num_named, num_positions)};
    const Device::Scope scope(device);

    // Names: one for every distinct state of a group, a goal for every group, the leaves.
    auto* const name_of_item = device.array<std::int32_t>(num_items);
    {
        const Device::Scope sorting(device);
        auto* const step_of_item = device.array<StepId>(num_items);
        auto* const key_of_item = device.array<std::int64_t>(num_items);
        device.each(num_steps, [=] GRAPHGPO_GPU(std::int64_t step) {
            const RowId row = rollouts.row[step];
            step_of_item[step] = static_cast<StepId>(step);
            key_of_item[step] = columns.state_keys[row];
            if (targets.kind[step] != TargetKind::other_state) return;
            const std::int64_t item = num_steps + targets.counts[step].other_states - 1;
            step_of_item[item] = static_cast<StepId>(step);
            key_of_item[item] = columns.next_state_keys[row];
        });
        auto* const keys = device.array<std::int64_t>(num_items);
        auto* const items = device.array<std::int32_t>(num_items);
        auto* const groups = device.array<GroupId>(num_items);
        device.each(num_items, [=] GRAPHGPO_GPU(std::int64_t i) {
            keys[i] = key_of_item[i];
            items[i] = static_cast<std::int32_t>(i);
        });
        device.sort_by_key(keys, items, num_items);
        device.each(num_items, [=] GRAPHGPO_GPU(std::int64_t i) {
            groups[i] = rollouts.group[step_of_item[items[i]]];
        });
        device.sort_by_key(groups, items, num_items);
        auto* const names = device.array<std::int32_t>(num_items);
        device.each(num_items, [=] GRAPHGPO_GPU(std::int64_t i) {
            const bool is_same = i > 0 && groups[i - 1] == groups[i] &&
                                 key_of_item[items[i - 1]] == key_of_item[items[i]];
            names[i] = is_same ? 0 : 1;
        });
        device.inclusive_scan(names, num_items, AddInts());
        device.each(num_items,
                    [=] GRAPHGPO_GPU(std::int64_t i) { name_of_item[items[i]] = names[i] - 1; });
    }
    auto* const name_of_target = graph.target;  // until the nodes are numbered
    device.each(num_steps, [=] GRAPHGPO_GPU(std::int64_t step) {
        const TargetCounts counts = targets.counts[step];
        switch (targets.kind[step]) {
            case TargetKind::following_state:
                name_of_target[step] = name_of_item[rollouts.following[step]];
                break;
            case TargetKind::other_state:
                name_of_target[step] = name_of_item[num_steps + counts.other_states - 1];
                break;
            case TargetKind::goal:
                name_of_target[step] = static_cast<std::int32_t>(num_items + rollouts.group[step]);
                break;
            case TargetKind::leaf:
                name_of_target[step] =
                    static_cast<std::int32_t>(num_items + num_groups + counts.leaves - 1);
                break;
        }
    });

    // Nodes: names in the order of their first positions.
    constexpr std::uint32_t never = 0xffffffff;
    auto* const first_position = device.filled<std::uint32_t>(num_named, never);
    device.each(num_steps, [=] GRAPHGPO_GPU(std::int64_t step) {
        const auto position = static_cast<std::uint32_t>(2 * step);
        atomic_min(&first_position[name_of_item[step]], position);
        atomic_min(&first_position[name_of_target[step]], position + 1);
    });
    auto* const nodes_before = device.filled<std::int32_t>(num_positions + 1, 0);
    device.each(num_named, [=] GRAPHGPO_GPU(std::int64_t name) {
        if (first_position[name] != never) nodes_before[first_position[name]] = 1;
    });
    device.exclusive_scan(nodes_before, num_positions + 1);
    device.each(num_steps, [=] GRAPHGPO_GPU(std::int64_t step) {
        graph.source[step] = nodes_before[first_position[name_of_item[step]]];
        graph.target[step] = nodes_before[first_position[name_of_target[step]]];
    });
    device.each(num_groups + 1, [=] GRAPHGPO_GPU(std::int64_t g) {
        graph.node_offsets[g] = nodes_before[2 * std::int64_t{rollouts.step_offsets[g]}];
        if (g == num_groups) return;
        const std::uint32_t position = first_position[num_items + g];
        graph.goal[g] = position == never ? none : nodes_before[position];
    });
    return graph;
}

// Edges by both of their ends.
struct Edges {
    StepId* by_source;             // steps by source, in a source by target
    std::int32_t* source_offsets;  // by node, in `by_source`
    std::int32_t* target_offsets;  // by node, in those below
    StateId* source_of_incoming;   // edges by target
    double* cost_of_incoming;      // null: unit costs
};

[[nodiscard]] inline Edges sort_edges(Device& device, const Columns& columns,
                                      const Rollouts& rollouts, const Graph& graph) {
    const std::int64_t num_steps = rollouts.totals.steps;
    const std::int64_t num_nodes = graph.most_nodes;
    const bool has_costs = columns.edge_costs != nullptr;
    const Edges edges{
        .by_source = device.array<StepId>(num_steps),
        .source_offsets = device.array<std::int32_t>(num_nodes + 1),
        .target_offsets = device.array<std::int32_t>(num_nodes + 1),
        .source_of_incoming = device.array<StateId>(num_steps),
        .cost_of_incoming = has_costs ? device.array<double>(num_steps) : nullptr,
    };
    const Device::Scope scope(device);
    auto* const ends = device.array<StateId>(num_steps);
    device.each(num_steps, [=] GRAPHGPO_GPU(std::int64_t step) {
        edges.by_source[step] = static_cast<StepId>(step);
        ends[step] = graph.target[step];
    });
    device.sort_by_key(ends, edges.by_source, num_steps);  // by target, for now
    device.each(num_nodes + 1, [=] GRAPHGPO_GPU(std::int64_t node) {
        edges.target_offsets[node] = lower_bound(ends, num_steps, static_cast<StateId>(node));
    });
    auto* const sources = device.array<StateId>(num_steps);
    device.each(num_steps, [=] GRAPHGPO_GPU(std::int64_t i) {
        const StepId step = edges.by_source[i];
        sources[i] = edges.source_of_incoming[i] = graph.source[step];
        if (has_costs) edges.cost_of_incoming[i] = columns.edge_costs[rollouts.row[step]];
    });
    device.sort_by_key(sources, edges.by_source, num_steps);
    device.each(num_nodes + 1, [=] GRAPHGPO_GPU(std::int64_t node) {
        edges.source_offsets[node] = lower_bound(sources, num_steps, static_cast<StateId>(node));
    });
    return edges;
}

struct Distances {
    double* to_goal;      // by node; infinity: no way is known
    double* unreachable;  // by group: what stands for that

    [[nodiscard]] GRAPHGPO_HD bool reached(StateId node) const { return is_finite(to_goal[node]); }
    [[nodiscard]] GRAPHGPO_HD double of(StateId node, GroupId group) const {
        return reached(node) ? to_goal[node] : unreachable[group];
    }
};

GRAPHGPO_HD inline double cost_of(const Columns& columns, const Rollouts& rollouts,
                                  std::int64_t step) {
    return columns.edge_costs == nullptr ? 1 : columns.edge_costs[rollouts.row[step]];
}

// Above so many steps a group is searched by the whole grid. A block of 256 threads goes through
// edges at about one per 256 threads and 1 to 2 us of dependent reads, 8192 of them in some 50 us,
// which is also what a grid takes for the barriers of some twenty rounds; below it barriers cost
// more than the rest of the device brings. Reasoned, not measured.
inline constexpr std::int32_t large_group = 8192;

[[nodiscard]] inline Distances measure_distances(Device& device, const Columns& columns,
                                                 const Rollouts& rollouts, const Graph& graph,
                                                 const Edges& edges, const GraphSizes& sizes,
                                                 std::int32_t large, std::uint32_t* findings) {
    const std::int64_t num_groups = rollouts.totals.groups;
    const std::int64_t num_nodes = graph.most_nodes;
    const Distances distances{.to_goal = device.filled<double>(num_nodes, infinity),
                              .unreachable = device.array<double>(num_groups)};
    const Device::Scope scope(device);
    {
        const Device::Scope searching(device);
        const SearchGraph search_graph{.edge_offsets = edges.target_offsets,
                                       .edge_source = edges.source_of_incoming,
                                       .edge_cost = edges.cost_of_incoming,
                                       .goal = graph.goal,
                                       .node_offsets = graph.node_offsets,
                                       .step_offsets = rollouts.step_offsets};
        const SearchMemory memory{
            .distance = distances.to_goal,
            .queued_in = device.filled<std::int32_t>(num_nodes, -1),
            .frontier = {device.array<StateId>(num_nodes), device.array<StateId>(num_nodes)},
            .queue_sizes = device.filled<std::int32_t>(3 * (num_groups + 1), 0)};
        device.search(search_graph, memory, num_groups, large, sizes.largest_group > large);
    }

    auto* const farthest = device.filled<double>(num_groups, 0);
    auto* const dearest = device.filled<double>(num_groups, 0);
    device.each(rollouts.totals.steps, [=] GRAPHGPO_GPU(std::int64_t step) {
        const GroupId group = rollouts.group[step];
        const double source = distances.to_goal[graph.source[step]];
        if (is_finite(source)) atomic_max(&farthest[group], source);
        atomic_max(&dearest[group], cost_of(columns, rollouts, step));
    });
    device.each(num_groups, [=] GRAPHGPO_GPU(std::int64_t g) {
        // A distance that overflowed was offered by a finite one and is no more than this sum.
        distances.unreachable[g] = farthest[g] + dearest[g];
        if (!is_finite(distances.unreachable[g] + dearest[g])) atomic_or(findings, invalid_batch);
    });
    return distances;
}

}  // namespace graphgpo::cuda
