#include "graphgpo/remembered.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_map>
#include <variant>
#include <vector>

#include "graphgpo/errors.hpp"
#include "graphgpo/graph_memory.hpp"

namespace graphgpo {

namespace {

// Nodes, or steps. What a task remembers is more than the caches hold, and is asked for in any
// order.
constexpr std::size_t ahead = 16;

// By node of the group, its node in the memory; `none`: a leaf, which nobody can come back to.
Array<StateId> remembered_nodes(Group& group, TaskMemory& task) {
    constexpr StateId to_be_found = 0;
    const Remembering& batch = *group.batch().remembering;
    const TransitionGraph& graph = group.graph();
    Array<std::int64_t> keys(graph.num_nodes, 0);
    Array<StateId> found(graph.num_nodes, none);
    const auto know = [&](StateId node, std::int64_t key) {
        keys[index(node)] = key;
        found[index(node)] = to_be_found;
    };
    for (std::size_t step = 0; step < graph.source.size(); ++step) {
        const std::size_t row = index(group.rollouts().row[step]);
        know(graph.source[step], batch.states[row]);
        if (batch.next_states.empty() || batch.next_is_unknown[row] != 0) continue;
        if (graph.target[step] != graph.goal) know(graph.target[step], batch.next_states[row]);
    }
    for (std::size_t node = 0; node < found.size(); ++node) {
        if (node + ahead < found.size()) task.prefetch(keys[node + ahead]);
        if (found[node] == to_be_found) found[node] = task.state(keys[node]);
    }
    if (graph.has_goal()) found[index(graph.goal)] = TaskMemory::goal;
    return found;
}

// How far the best remembered way from a step's state leads: as its own distance if it has one.
double best_exponent(const Distances& distances, StateId node, Exponent exponent) {
    const double e =
        distances.is_finite(distances[node]) ? distances[node] : distances.unreachable + 1;
    if (exponent == Exponent::progress) return e - distances[node];
    return exponent == Exponent::recipe ? e - 1 : e;
}

double stand(double value, const Standing& standing, double when_void) {
    return standing.is_void() ? when_void : standing(value);
}

// The values of some steps among each other and `best`, in place. `compared` is memory for them.
void stand_beside(double best, std::span<const StepId> steps, const Normaliser& normaliser,
                  double when_void, FoldedValues& compared, std::span<double> values) {
    compared.clear();
    for (const StepId step : steps) compared.add(values[index(step)]);
    compared.add(best);
    const Standing standing(compared, normaliser);
    for (const StepId step : steps) {
        values[index(step)] = stand(values[index(step)], standing, when_void);
    }
}

// How a step stands beside the remembered one alone, as most do where a state is seldom seen twice
// in a batch. That follows from how much further it leads, and is computed once for each distance.
class LoneStandings {
  public:
    LoneStandings(const Powers& powers, const Normaliser& normaliser, double when_void,
                  const Distances& distances)
        : powers_(&powers),
          normaliser_(&normaliser),
          when_void_(when_void),
          by_distance_(static_cast<std::size_t>(distances.unreachable) + 1) {}

    [[nodiscard]] double operator()(double further) {
        std::optional<double>& known = by_distance_[static_cast<std::uint32_t>(further)];
        if (!known) known = compute((*powers_)(further));
        return *known;
    }

  private:
    [[nodiscard]] double compute(double value) const {
        FoldedValues compared;
        compared.add(value);
        compared.add(1);
        return stand(value, Standing(compared, *normaliser_), when_void_);
    }

    const Powers* powers_;
    const Normaliser* normaliser_;
    double when_void_;
    std::vector<std::optional<double>> by_distance_;
};

// Of returns relative to the best edge from their state, which has 1.
Array<double> compare_with_best(Group& group, const Powers& powers, const Normaliser& normaliser,
                                double when_void) {
    const TransitionGraph& graph = group.graph();
    const Distances& distances = group.distances();
    const Csr& peers = group.steps_by_source();
    LoneStandings lone(powers, normaliser, when_void, distances);
    FoldedValues compared;
    Array<double> values(group.num_steps());
    for (std::size_t node = 0; node < peers.num_rows(); ++node) {
        const auto steps = peers.row(id_of(node));
        const double best = best_exponent(distances, id_of(node), Exponent::paper);
        const auto further = [&](StepId step) {
            return distances[graph.target[index(step)]] + 1 - best;
        };
        if (steps.size() == 1) {
            values[index(steps.front())] = lone(further(steps.front()));
            continue;
        }
        for (const StepId step : steps) values[index(step)] = powers(further(step));
        stand_beside(1, steps, normaliser, when_void, compared, values);
    }
    return values;
}

}  // namespace

Distances remembered_distances(Group& group) {
    TaskMemory& task = *group.task_memory();
    const TransitionGraph& graph = group.graph();
    const Array<StateId> nodes = remembered_nodes(group, task);
    const std::int64_t now = group.batch().remembering->memory->num_batches();
    const auto with_edge = [&](std::size_t step, auto&& work) {
        const StateId target = nodes[index(graph.target[step])];
        if (target != none) work(nodes[index(graph.source[step])], target);
    };
    const std::size_t num_steps = graph.source.size();
    for (std::size_t step = 0; step < num_steps; ++step) {
        const auto ask = [&](StateId source, StateId target) { task.prefetch(source, target); };
        if (step + ahead < num_steps) with_edge(step + ahead, ask);
        with_edge(step, [&](StateId source, StateId target) { task.see(source, target, now); });
    }
    task.settle();
    Distances found{.to_goal = Array<Distance>(graph.num_nodes)};
    found.largest = task.largest_distance();
    found.unreachable = found.largest + 1;
    for (std::size_t node = 0; node < graph.num_nodes; ++node) {
        const std::int32_t distance = nodes[node] == none ? none : task.distance(nodes[node]);
        found.to_goal[node] = distance == none ? found.unreachable : distance;
    }
    return found;
}

Array<double> compare_with_remembered(const EdgeReturn& block, const Comparison& comparison,
                                      Group& group, const Powers& powers, double when_void,
                                      const ScoreReport& report) {
    const TransitionGraph& graph = group.graph();
    const Distances& distances = group.distances();
    const Csr& peers = group.steps_by_source();
    if (!report.num_peers.empty()) {
        for (std::size_t step = 0; step < graph.source.size(); ++step) {
            report.num_peers[step] = id_of(peers.row(graph.source[step]).size() + 1);
        }
    }
    const bool relative = is_relative(comparison.normaliser);
    const bool is_penalised = group.penalises(comparison.penalty);
    if (relative && !is_penalised) {
        return compare_with_best(group, powers, comparison.normaliser, when_void);
    }
    const auto best_of = [&](StateId node) {
        return best_exponent(distances, node, relative ? Exponent::paper : block.exponent);
    };
    Array<double> values(group.num_steps());
    if (relative) {
        for (std::size_t step = 0; step < values.size(); ++step) {
            values[step] = powers(distances[graph.target[step]] + 1 - best_of(graph.source[step]));
        }
    } else {
        write_edge_returns(block, group, powers, values);
    }
    if (is_penalised) penalise(values, comparison.penalty, group);
    FoldedValues compared;
    for (std::size_t node = 0; node < peers.num_rows(); ++node) {
        const double best = relative ? 1 : block.success_reward * powers(best_of(id_of(node)));
        stand_beside(best, peers.row(id_of(node)), comparison.normaliser, when_void, compared,
                     values);
    }
    return values;
}

std::vector<std::int64_t> tasks_of_groups(const Batch& batch, const Groups& groups) {
    const std::span<const std::int64_t> tasks = batch.remembering->tasks;
    std::vector<std::int64_t> found;
    std::unordered_map<std::int64_t, RowId> first_row;
    for (std::size_t g = 0; g < groups.size(); ++g) {
        const auto rows = groups.rows.row(id_of(g));
        const std::int64_t task = tasks[index(rows.front())];
        for (const RowId row : rows) {
            if (tasks[index(row)] == task) continue;
            throw RowError(row, "task_ids[" + std::to_string(row) + "] differs from that of row " +
                                    std::to_string(rows.front()) +
                                    " of its group; expected one task for a group");
        }
        const auto [known, is_new] = first_row.emplace(task, rows.front());
        if (!is_new) {
            throw RowError(rows.front(), "task_ids[" + std::to_string(rows.front()) +
                                             "] is that of row " + std::to_string(known->second) +
                                             " of another group; expected one group for a task: "
                                             "give rollouts of one task one group id");
        }
        found.push_back(task);
    }
    return found;
}

}  // namespace graphgpo
