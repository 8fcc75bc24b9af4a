// The whole call, keys in, credit out.
//
// Least traffic per step: the state (16 bytes of key and its text, or 8 of an integer), a second
// one where next states are given, 8 + 8 of group and trajectory id, 1 of success flag, and 56 of
// results. Results go to memory that was there before, as the bindings pass it.
#include "graphgpo/pipeline.hpp"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "bandwidth.hpp"
#include "plans.hpp"
#include "shapes.hpp"

namespace graphgpo::bench {
namespace {

// Laws that the credit of any batch obeys. An id stands for one state of one group. A step leads to
// the state that followed. A state is one step further from the goal than the best that was done in
// it, or as far as the farthest when nothing led there. The step advantages of a state cancel out.
bool obeys_laws(const StepAdvantages& credit, const Workload& workload) {
    struct Node {
        std::pair<std::int64_t, std::int64_t> group_and_code;
        Distance distance;
        Distance best_next;
        double advantages;
    };
    std::map<std::int64_t, Node> nodes;
    std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> node_of;
    std::map<std::int64_t, Distance> farthest;  // by group
    for (std::size_t step = 0; step < workload.num_steps(); ++step) {
        const std::pair state(workload.group_ids[step], workload.codes[step]);
        const std::int64_t id = credit.state_ids[step];
        if (node_of.emplace(state, id).first->second != id) return false;
        if (workload.is_followed(step) &&
            credit.next_state_ids[step] != credit.state_ids[step + 1]) {
            return false;
        }
        Node& node = nodes
                         .try_emplace(id, Node{state, credit.distances[step],
                                               credit.next_distances[step], 0})
                         .first->second;
        if (node.group_and_code != state || node.distance != credit.distances[step]) return false;
        node.best_next = std::min(node.best_next, credit.next_distances[step]);
        node.advantages += static_cast<double>(credit.step_advantages[step]);
        Distance& largest = farthest[state.first];
        largest = std::max({largest, credit.distances[step], credit.next_distances[step]});
    }
    return std::ranges::all_of(nodes, [&](const auto& entry) {
        const Node& node = entry.second;
        const Distance expected =
            std::min(node.best_next + 1, farthest.at(node.group_and_code.first));
        return node.distance == expected && std::abs(node.advantages) < 1e-2;
    });
}

bool are_equal(const StepAdvantages& a, const StepAdvantages& b) {
    return a.advantages == b.advantages && a.state_ids == b.state_ids && a.distances == b.distances;
}

enum class States { texts, texts_and_next_texts, integers };

void credit_batch(benchmark::State& state, States kind, const Walk& walk) {
    const Workload workload(walk);
    Batch batch = kind == States::integers ? workload.integer_batch() : workload.text_batch();
    if (kind == States::texts_and_next_texts) {
        batch.next_states = std::span<const Key>(workload.next_keys);
    }
    const Plan plan = graphgpo_plan();
    const auto num_threads = static_cast<std::size_t>(state.range(0));
    StepAdvantages result = compute_advantages(batch, plan, num_threads);
    if (is_wrong(state,
                 obeys_laws(result, workload) &&
                     are_equal(result, compute_advantages(workload.integer_batch(), plan, 1)))) {
        return;
    }
    const PlanColumns credit{.plan = &plan, .columns = result.credit_columns()};
    const GraphColumns graph = result.graph_columns();
    const auto steps = static_cast<double>(workload.num_steps());
    const auto text_bytes = sizeof(Key) + static_cast<double>(walk.text_bytes);
    const double state_bytes = kind == States::integers ? 8
                               : kind == States::texts  ? text_bytes
                                                        : 2 * text_bytes;
    const double least_bytes = num_threads == 1 ? steps * (state_bytes + 17 + 56) : 0;
    time_calls(state, {steps, "steps", least_bytes}, [&] {
        benchmark::DoNotOptimize(
            compute_advantages(batch, std::span(&credit, 1), graph, num_threads));
    });
}

constexpr Walk tiny{.max_steps = 10, .rooms = 5};
constexpr Walk small_groups{.groups = 16};
constexpr Walk many_small_groups{.groups = 512};
constexpr Walk giant_group{
    .trajectories = 8'000, .rooms = 4'000, .starts = 4'000, .text_bytes = 100};

BENCHMARK_CAPTURE(credit_batch, texts_tiny, States::texts, tiny)->ArgName("threads")->Arg(1);
BENCHMARK_CAPTURE(credit_batch, integers_tiny, States::integers, tiny)->ArgName("threads")->Arg(1);
BENCHMARK_CAPTURE(credit_batch, texts_small_groups, States::texts, small_groups)
    ->ArgName("threads")
    ->Arg(1);
BENCHMARK_CAPTURE(credit_batch, texts_many_small_groups, States::texts, many_small_groups)
    ->ArgName("threads")
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime();
BENCHMARK_CAPTURE(credit_batch, texts_and_next_texts_many_small_groups,
                  States::texts_and_next_texts, many_small_groups)
    ->ArgName("threads")
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime();
BENCHMARK_CAPTURE(credit_batch, integers_many_small_groups, States::integers, many_small_groups)
    ->ArgName("threads")
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime();
BENCHMARK_CAPTURE(credit_batch, texts_giant_group, States::texts, giant_group)
    ->ArgName("threads")
    ->Arg(1);
BENCHMARK_CAPTURE(credit_batch, integers_giant_group, States::integers, giant_group)
    ->ArgName("threads")
    ->Arg(1);

}  // namespace
}  // namespace graphgpo::bench
