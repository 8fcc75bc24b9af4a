#include "graphgpo/pipeline.hpp"

#include <algorithm>
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

// Starting a thread costs about as much as crediting a thousand rows.
std::size_t useful_threads(std::size_t num_threads, std::size_t num_rows) {
    constexpr std::size_t rows_per_thread = 4096;
    return std::clamp<std::size_t>(num_rows / rows_per_thread, 1,
                                   std::max<std::size_t>(num_threads, 1));
}

// Works on every group; of all errors the one of the earliest row is thrown.
void for_each_group(const Groups& groups, std::size_t num_threads,
                    const std::function<void(GroupId, std::span<const RowId>)>& work) {
    FirstError errors;
    const std::size_t threads = useful_threads(num_threads, groups.of_row.size());
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

void write_masked(const Groups& groups, const AdvantageColumns& columns) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    if (groups.num_masked() == 0) return;
    for (std::size_t row = 0; row < groups.of_row.size(); ++row) {
        if (groups.of_row[row] != none) continue;
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

// Credits one group and writes to its rows, copies included; node ids are those of the group.
Tally credit_group(const Batch& batch, const Options& options, std::span<const RowId> rows,
                   const AdvantageColumns& columns) {
    const GroupGraph group(batch, rows);
    const Rollouts& rollouts = group.rollouts;
    const TransitionGraph& graph = group.graph;
    const Distances& distances = group.distances;
    const Csr peers = steps_by_source(graph);
    const StepScores scores =
        score_steps(batch, rollouts, graph, group.costs, distances, peers, options);
    const StepCredit credit =
        combine(scores.advantages, episode_advantages(batch, rollouts, options), options);

    const auto write = [&](RowId to, StepId step) {
        const std::size_t row = index(to);
        const std::size_t from = index(step);
        columns.advantages[row] = credit.joint[from];
        columns.step_advantages[row] = credit.step[from];
        columns.episode_advantages[row] = credit.episode[from];
        columns.edge_returns[row] = scores.returns[from];
        columns.distances[row] = distances[graph.source[from]];
        columns.next_distances[row] = distances[graph.target[from]];
        columns.state_ids[row] = graph.source[from];
        columns.next_state_ids[row] = graph.target[from];
    };
    for (std::size_t step = 0; step < rollouts.num_steps(); ++step) {
        write(rollouts.row[step], id_of(step));
    }
    for (const auto& [row, step] : rollouts.copies) write(row, step);
    return tally_group(rollouts, graph, peers, distances, credit);
}

// Node ids of groups one after the other, so that no two groups share one.
void number_nodes_over_batch(const Groups& groups, std::span<const Tally> tallies,
                             const AdvantageColumns& columns) {
    std::vector<std::int64_t> first_node(groups.size() + 1, 0);
    for (std::size_t g = 0; g < groups.size(); ++g) {
        first_node[g + 1] = first_node[g] + tallies[g].nodes;
    }
    for (std::size_t row = 0; row < groups.of_row.size(); ++row) {
        if (groups.of_row[row] == none) continue;
        columns.state_ids[row] += first_node[index(groups.of_row[row])];
        columns.next_state_ids[row] += first_node[index(groups.of_row[row])];
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
    append(merged.node_reached, distances.reached);
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
    write_masked(groups, columns);
    std::vector<Tally> tallies(groups.size());
    for_each_group(groups, options.num_threads, [&](GroupId g, std::span<const RowId> rows) {
        tallies[index(g)] = credit_group(batch, options, rows, columns);
    });
    number_nodes_over_batch(groups, tallies, columns);

    Tally total;
    for (const Tally& tally : tallies) total.append(tally);
    return metrics_of(total, groups.num_masked());
}

StepAdvantages compute_advantages(const Batch& batch, const Options& options) {
    const std::size_t rows = num_rows(batch.states);
    StepAdvantages result{.advantages = std::vector<float>(rows),
                          .step_advantages = std::vector<float>(rows),
                          .episode_advantages = std::vector<float>(rows),
                          .edge_returns = std::vector<double>(rows),
                          .distances = std::vector<Distance>(rows),
                          .next_distances = std::vector<Distance>(rows),
                          .state_ids = std::vector<std::int64_t>(rows),
                          .next_state_ids = std::vector<std::int64_t>(rows),
                          .metrics = {}};
    result.metrics = compute_advantages(batch, options,
                                        {.advantages = result.advantages,
                                         .step_advantages = result.step_advantages,
                                         .episode_advantages = result.episode_advantages,
                                         .edge_returns = result.edge_returns,
                                         .distances = result.distances,
                                         .next_distances = result.next_distances,
                                         .state_ids = result.state_ids,
                                         .next_state_ids = result.next_state_ids});
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
