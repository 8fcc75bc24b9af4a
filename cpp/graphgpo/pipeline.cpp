#include "graphgpo/pipeline.hpp"

#include <functional>
#include <iterator>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>

#include "graphgpo/combine.hpp"
#include "graphgpo/episode_advantages.hpp"
#include "graphgpo/errors.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/parallel.hpp"
#include "graphgpo/rollouts.hpp"
#include "graphgpo/step_advantages.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo {

namespace {

// The rollouts of one group as a graph with distances: what every estimator and export starts from.
struct GroupGraph {
    GroupGraph(const Batch& batch, std::span<const RowId> rows)
        : rollouts(arrange_rollouts(batch, rows)),
          graph(merge_states(batch, rollouts)),
          costs(step_costs(batch, rollouts)),
          distances(distances_to_goal(graph, costs)) {}

    Rollouts rollouts;
    TransitionGraph graph;
    Array<double> costs;  // by step; empty: unit costs
    Distances distances;
};

// Works on every group; of all errors the one of the earliest row is thrown.
void for_each_group(const Groups& groups, std::size_t num_threads,
                    const std::function<void(GroupId, std::span<const RowId>)>& work) {
    FirstError errors;
    const std::size_t threads = useful_threads(num_threads, groups.num_rows());
    parallel_for(groups.size(), threads, [&](std::size_t g) {
        const auto rows = groups.rows.row(id_of(g));
        try {
            work(id_of(g), rows);
        } catch (const RowError& error) {
            errors.add(error);
        } catch (const std::invalid_argument& error) {
            // The group as a whole is to blame.
            errors.add(rows.front(), [&] {
                return "the group of row " + std::to_string(rows.front()) + ": " + error.what();
            });
        }
    });
    errors.throw_if_any();
}

void check_columns(const AdvantageColumns& columns, std::size_t num_rows) {
    for (const std::size_t size :
         {columns.advantages.size(), columns.step_advantages.size(),
          columns.episode_advantages.size(), columns.edge_returns.size(), columns.distances.size(),
          columns.next_distances.size(), columns.state_ids.size(), columns.next_state_ids.size()}) {
        if (size == num_rows) continue;
        throw std::invalid_argument("states has " + std::to_string(num_rows) +
                                    " rows but a column for the result has " +
                                    std::to_string(size));
    }
}

void write_masked(std::span<const std::uint8_t> mask, const AdvantageColumns& columns) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    for (std::size_t row = 0; row < mask.size(); ++row) {
        if (mask[row] != 0) continue;
        columns.advantages[row] = 0;
        columns.step_advantages[row] = 0;
        columns.episode_advantages[row] = 0;
        columns.edge_returns[row] = nan;
        columns.distances[row] = nan;
        columns.next_distances[row] = nan;
        columns.state_ids[row] = none;
        columns.next_state_ids[row] = none;
    }
}

StepAdvantages empty_advantages(std::size_t size) {
    return {.advantages = std::vector<float>(size),
            .step_advantages = std::vector<float>(size),
            .episode_advantages = std::vector<float>(size),
            .edge_returns = std::vector<double>(size),
            .distances = std::vector<Distance>(size),
            .next_distances = std::vector<Distance>(size),
            .state_ids = std::vector<std::int64_t>(size),
            .next_state_ids = std::vector<std::int64_t>(size),
            .metrics = {}};
}

AdvantageColumns columns_of(StepAdvantages& result) {
    return {.advantages = result.advantages,
            .step_advantages = result.step_advantages,
            .episode_advantages = result.episode_advantages,
            .edge_returns = result.edge_returns,
            .distances = result.distances,
            .next_distances = result.next_distances,
            .state_ids = result.state_ids,
            .next_state_ids = result.next_state_ids};
}

// Credits the steps of one group; node ids are those of the group.
Tally credit_steps(const Batch& batch, const Options& options, const GroupGraph& group,
                   const AdvantageColumns& steps) {
    const auto& [rollouts, graph, costs, distances] = group;
    for (std::size_t step = 0; step < rollouts.num_steps(); ++step) {
        steps.state_ids[step] = graph.source[step];
        steps.next_state_ids[step] = graph.target[step];
        steps.distances[step] = distances[graph.source[step]];
        steps.next_distances[step] = distances[graph.target[step]];
    }
    const Csr peers = steps_by_source(graph);
    const Array<double> advantages =
        score_steps(batch, rollouts, graph, costs, distances, peers, options, steps.edge_returns);
    combine(advantages, EpisodeAdvantages(batch, rollouts, options), options, steps);
    return tally_group(rollouts, graph, peers, distances, steps);
}

// From steps to the rows that gave them, copies included.
void write_rows(const Rollouts& rollouts, const AdvantageColumns& steps,
                const AdvantageColumns& rows) {
    const auto write = [&](RowId to, StepId step) {
        const std::size_t row = index(to);
        const std::size_t from = index(step);
        rows.advantages[row] = steps.advantages[from];
        rows.step_advantages[row] = steps.step_advantages[from];
        rows.episode_advantages[row] = steps.episode_advantages[from];
        rows.edge_returns[row] = steps.edge_returns[from];
        rows.distances[row] = steps.distances[from];
        rows.next_distances[row] = steps.next_distances[from];
        rows.state_ids[row] = steps.state_ids[from];
        rows.next_state_ids[row] = steps.next_state_ids[from];
    };
    for (std::size_t step = 0; step < rollouts.num_steps(); ++step) {
        write(rollouts.row[step], id_of(step));
    }
    for (const auto& [row, step] : rollouts.copies) write(row, step);
}

// Whether other rows lie between those of a group, which are ascending.
bool has_gaps(std::span<const RowId> rows) {
    return index(rows.back()) - index(rows.front()) + 1 != rows.size();
}

// Credits one group. Where its steps are rows without gaps, as trainers write them, they are
// credited in place.
Tally credit_group(const Batch& batch, const Options& options, std::span<const RowId> rows,
                   const AdvantageColumns& columns) {
    const Workspace workspace;
    const GroupGraph group(batch, rows);
    if (!has_gaps(rows) && group.rollouts.copies.empty()) {
        return credit_steps(batch, options, group, columns.part(index(rows.front()), rows.size()));
    }
    StepAdvantages by_step = empty_advantages(group.rollouts.num_steps());
    const Tally tally = credit_steps(batch, options, group, columns_of(by_step));
    write_rows(group.rollouts, columns_of(by_step), columns);
    return tally;
}

// Node ids of groups one after the other, so that no two groups share one.
void number_nodes_over_batch(const Groups& groups, std::span<const Tally> tallies,
                             const AdvantageColumns& columns) {
    std::int64_t first_node = 0;
    for (std::size_t g = 0; g < groups.size(); ++g) {
        const auto rows = groups.rows.row(id_of(g));
        if (has_gaps(rows)) {
            for (const RowId row : rows) {
                columns.state_ids[index(row)] += first_node;
                columns.next_state_ids[index(row)] += first_node;
            }
        } else {
            const AdvantageColumns part = columns.part(index(rows.front()), rows.size());
            for (std::int64_t& id : part.state_ids) id += first_node;
            for (std::int64_t& id : part.next_state_ids) id += first_node;
        }
        first_node += tallies[g].nodes;
    }
}

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

void append_group(const Batch& batch, const GroupGraph& group, GroupId id, BatchGraph& merged) {
    const auto& [rollouts, graph, costs, distances] = group;
    const auto first_node = std::ssize(merged.node_kind);
    const NodeOrigins origins = node_origins(batch, rollouts, graph);
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

Metrics compute_advantages(const Batch& batch, const Options& options,
                           const AdvantageColumns& columns) {
    check_batch(batch);
    check_options(options, batch);
    check_columns(columns, num_rows(batch.states));
    const Groups groups = group_rows(batch);
    if (batch.mask) write_masked(*batch.mask, columns);
    std::vector<Tally> tallies(groups.size());
    for_each_group(groups, options.num_threads, [&](GroupId g, std::span<const RowId> rows) {
        tallies[index(g)] = credit_group(batch, options, rows, columns);
    });
    number_nodes_over_batch(groups, tallies, columns);

    Tally total;
    for (const Tally& tally : tallies) total.append(tally);
    return metrics_of(total, std::ssize(columns.advantages) - std::ssize(groups.rows.items));
}

StepAdvantages compute_advantages(const Batch& batch, const Options& options) {
    StepAdvantages result = empty_advantages(num_rows(batch.states));
    result.metrics = compute_advantages(batch, options, columns_of(result));
    return result;
}

BatchGraph build_graph(const Batch& batch, std::size_t num_threads) {
    check_batch(batch);
    if (!batch.success) {
        throw std::invalid_argument("success is None; expected one bool per step");
    }
    const Groups groups = group_rows(batch);
    std::vector<std::optional<GroupGraph>> graphs(groups.size());
    for_each_group(groups, num_threads, [&](GroupId g, std::span<const RowId> rows) {
        graphs[index(g)].emplace(batch, rows);
    });
    BatchGraph merged;
    for (std::size_t g = 0; g < graphs.size(); ++g) {
        append_group(batch, *graphs[g], id_of(g), merged);
    }
    return merged;
}

}  // namespace graphgpo
