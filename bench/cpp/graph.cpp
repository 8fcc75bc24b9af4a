// Rows to groups and rollouts, states to nodes, items to rows: what is built before the search.
#include <algorithm>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "bandwidth.hpp"
#include "graphgpo/csr.hpp"
#include "graphgpo/rollouts.hpp"
#include "graphgpo/transition_graph.hpp"
#include "shapes.hpp"

namespace graphgpo::bench {
namespace {

// Every item is under its row, and rows are ascending: then none is missing or listed twice.
bool lists_rows_of(const Csr& csr, std::span<const std::int32_t> row_of_item) {
    if (csr.items.size() != row_of_item.size()) return false;
    for (std::size_t row = 0; row < csr.num_rows(); ++row) {
        const auto items = csr.row(id_of(row));
        if (!std::ranges::is_sorted(items, std::less_equal<>{})) return false;
        for (const auto item : items) {
            if (index(row_of_item[index(item)]) != row) return false;
        }
    }
    return true;
}

enum class Order { ascending, shuffled };

// Least traffic: 4 bytes read and 4 written per item, 4 per row.
void build_csr(benchmark::State& state, Order order) {
    const auto num_items = static_cast<std::size_t>(state.range(0));
    const auto num_rows = num_items / static_cast<std::size_t>(state.range(1));
    Random random(seed);
    std::vector<std::int32_t> row_of_item(num_items);
    for (std::int32_t& row : row_of_item) row = id_of(below(random, num_rows));
    if (order == Order::ascending) std::ranges::sort(row_of_item);
    if (is_wrong(state, lists_rows_of(group_by_row(row_of_item, num_rows), row_of_item))) return;

    const Work work{static_cast<double>(num_items), "edges",
                    static_cast<double>(8 * num_items + 4 * num_rows)};
    time_calls(state, work, [&] { benchmark::DoNotOptimize(group_by_row(row_of_item, num_rows)); });
}
void items_and_items_per_row(benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgNames({"items", "per_row"})->ArgsProduct({{256, 8192, 1 << 20}, {2, 32}});
}
BENCHMARK_CAPTURE(build_csr, ascending, Order::ascending)->Apply(items_and_items_per_row);
BENCHMARK_CAPTURE(build_csr, shuffled, Order::shuffled)->Apply(items_and_items_per_row);

// Least traffic: 8 bytes of group id read, 4 bytes of row written.
void group_batch_rows(benchmark::State& state) {
    const Workload workload({.groups = static_cast<std::size_t>(state.range(0)), .text_bytes = 24});
    const Batch batch = workload.integer_batch();
    const Groups groups = group_rows(batch);
    // Ids of this batch are 0, 1, 2 ...
    std::vector<std::int64_t> group_of_row(workload.num_steps(), none);
    for (std::size_t group = 0; group < groups.size(); ++group) {
        for (const RowId row : groups.rows.row(id_of(group)))
            group_of_row[index(row)] = id_of(group);
    }
    if (is_wrong(state,
                 groups.size() == index(state.range(0)) && group_of_row == workload.group_ids)) {
        return;
    }
    const auto steps = static_cast<double>(workload.num_steps());
    time_calls(state, {steps, "steps", 12 * steps},
               [&] { benchmark::DoNotOptimize(group_rows(batch)); });
}
BENCHMARK(group_batch_rows)->ArgName("groups")->Arg(16)->Arg(1024);

std::vector<RowId> all_rows(const Workload& workload) {
    std::vector<RowId> rows(workload.num_steps());
    std::iota(rows.begin(), rows.end(), 0);
    return rows;
}

// One group of that many trajectories. Least traffic: row, trajectory id and success flag read
// (13 bytes), row, trajectory, following step and place in the trajectory written (16).
void arrange(benchmark::State& state) {
    const Workload workload(
        {.trajectories = static_cast<std::size_t>(state.range(0)), .text_bytes = 24});
    const Batch batch = workload.integer_batch();
    const std::vector<RowId> rows = all_rows(workload);
    const Rollouts rollouts = arrange_rollouts(batch, rows);
    if (is_wrong(state, rollouts.num_trajectories() == index(state.range(0)) &&
                            std::ranges::equal(rollouts.trajectory, workload.trajectory_ids))) {
        return;
    }
    const auto steps = static_cast<double>(workload.num_steps());
    time_calls(state, {steps, "steps", 29 * steps},
               [&] { benchmark::DoNotOptimize(arrange_rollouts(batch, rows)); });
}
BENCHMARK(arrange)->ArgName("trajectories")->Arg(8)->Arg(1024);

// Equal states are one node and no others are, and a step leads to the state that followed.
bool merges_equal_states(const TransitionGraph& graph, const Rollouts& rollouts,
                         std::span<const std::int64_t> codes) {
    std::map<std::int64_t, StateId> node_of_code;
    std::map<StateId, std::int64_t> code_of_node;
    for (std::size_t step = 0; step < codes.size(); ++step) {
        const StateId node = graph.source[step];
        if (node_of_code.emplace(codes[step], node).first->second != node) return false;
        if (code_of_node.emplace(node, codes[step]).first->second != codes[step]) return false;
        const StepId following = rollouts.following[step];
        if (following != none && graph.target[step] != graph.source[index(following)]) return false;
    }
    return true;
}

enum class Keys { text, integer };

// States of one group to nodes. Least traffic: the keys and what they view (every text once), and 8
// bytes of edge written.
void merge_group(benchmark::State& state, Keys kind) {
    const Workload workload(
        {.trajectories = static_cast<std::size_t>(state.range(0)), .rooms = 40, .starts = 30});
    const bool is_text = kind == Keys::text;
    const Batch batch = is_text ? workload.text_batch() : workload.integer_batch();
    const Rollouts rollouts = arrange_rollouts(batch, all_rows(workload));
    const TransitionGraph graph = merge_states(batch, rollouts);
    if (is_wrong(state, merges_equal_states(graph, rollouts, workload.codes))) return;

    const auto steps = static_cast<double>(workload.num_steps());
    const double key_bytes =
        is_text ? sizeof(Key) + static_cast<double>(workload.texts.text_bytes()) : 8;
    time_calls(state, {steps, "steps", steps * (key_bytes + 8)},
               [&] { benchmark::DoNotOptimize(merge_states(batch, rollouts)); });
}
BENCHMARK_CAPTURE(merge_group, texts, Keys::text)->ArgName("trajectories")->Arg(8)->Arg(1024);
BENCHMARK_CAPTURE(merge_group, integers, Keys::integer)->ArgName("trajectories")->Arg(8)->Arg(1024);

}  // namespace
}  // namespace graphgpo::bench
