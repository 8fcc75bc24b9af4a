// Fixed calls whose instructions .ci/instructions counts.
//
//     graphgpo_instructions              compiler and flags, then a line per workload: name, steps
//     graphgpo_instructions WORKLOAD     the call itself, once before and once in `counted_call`
//
// Counts go from the entry of `counted_call` to its return, whatever is inlined into it. Only the
// words of the process secret differ from run to run, and with them the number of probes.
#include <algorithm>
#include <cstdio>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graphgpo/interner.hpp"
#include "graphgpo/pipeline.hpp"
#include "plans.hpp"
#include "shapes.hpp"

namespace {

using namespace graphgpo;
using bench::Walk;
using bench::Workload;

struct Case {
    Walk walk;
    enum Keys { text, text_and_next_text, integer, numbered } keys = text;
    bool has_costs = false;
    Plan (*plan)(const PlanOptions&) = graphgpo_plan;
};

constexpr Walk integer_walk{.groups = 32, .text_bytes = 24};

const std::map<std::string, Case, std::less<>> cases = {
    {"text_small_groups", {.walk = {.groups = 32}}},
    {"text_two_columns", {.walk = {.groups = 32}, .keys = Case::text_and_next_text}},
    {"text_long_states", {.walk = {.groups = 8, .text_bytes = 4096}}},
    {"text_giant_group",
     {.walk = {.trajectories = 1000, .rooms = 400, .starts = 400, .text_bytes = 100}}},
    {"integer_small_groups", {.walk = integer_walk, .keys = Case::integer}},
    {"numbered_small_groups", {.walk = integer_walk, .keys = Case::numbered}},
    {"integer_giant_group",
     {.walk = {.trajectories = 1000, .rooms = 400, .starts = 400, .text_bytes = 24},
      .keys = Case::integer}},
    {"breadth_first_long_diameter",
     {.walk = {.trajectories = 64,
               .max_steps = 500,
               .rooms = 20000,
               .starts = 20000,
               .forward_percent = 100,
               .singleton_percent = 0,
               .text_bytes = 24},
      .keys = Case::integer}},
    {"dijkstra_weighted_costs", {.walk = integer_walk, .keys = Case::integer, .has_costs = true}},
    {"plan_gigpo", {.walk = integer_walk, .keys = Case::integer, .plan = gigpo_plan}},
    {"plan_grpo", {.walk = integer_walk, .keys = Case::integer, .plan = grpo_plan}},
    {"plan_hgpo", {.walk = integer_walk, .keys = Case::integer, .plan = hgpo_plan}},
    {"plan_graft", {.walk = integer_walk, .keys = Case::integer, .plan = graft_plan}},
    {"tiny_call", {.walk = {.max_steps = 10, .rooms = 5}}},
};

// What the bindings make of lists: states and next states, numbered group by group.
struct NumberedStates {
    explicit NumberedStates(const Workload& workload) {
        Interner known(0);
        for (std::size_t row = 0; row < workload.num_steps(); ++row) {
            const bool begins = row == 0 || workload.group_ids[row] != workload.group_ids[row - 1];
            if (begins) known = Interner(0);
            states.push_back(known.intern(workload.keys[row]));
            const Key& next = workload.next_keys[row];
            next_states.push_back(next.is_null() ? none : known.intern(next));
        }
    }

    std::vector<std::int32_t> states;
    std::vector<std::int32_t> next_states;
};

}  // namespace

extern "C" [[gnu::noinline]] [[gnu::visibility("default")]] void counted_call(
    const Batch* batch, const PlanColumns* credit, StepAdvantages* result) {
    result->metrics =
        compute_advantages(*batch, std::span(credit, 1), result->graph_columns(), 1).front();
}

int main(int argc, char** argv) {
    if (argc == 1) {
        std::puts(GRAPHGPO_COMPILER);
        std::puts(GRAPHGPO_COMPILE_FLAGS);
        for (const auto& [name, shape] : cases) {
            std::printf("%s %zu\n", name.c_str(), Workload(shape.walk).num_steps());
        }
        return 0;
    }
    const auto found = cases.find(std::string_view(argv[1]));
    if (argc != 2 || found == cases.end()) {
        std::fputs("usage: graphgpo_instructions [WORKLOAD]\n", stderr);
        return 2;
    }
    const Case& shape = found->second;
    const Workload workload(shape.walk);
    const std::vector<double> costs = bench::random_costs(workload.num_steps());
    Batch batch = shape.keys == Case::integer ? workload.integer_batch() : workload.text_batch();
    if (shape.keys == Case::text_and_next_text) {
        batch.next_states = std::span<const Key>(workload.next_keys);
    }
    const NumberedStates numbers(workload);
    if (shape.keys == Case::numbered) {
        batch.states = NumberedKeys{numbers.states};
        batch.next_states = NumberedKeys{numbers.next_states};
    }
    if (shape.has_costs) batch.edge_costs = costs;

    const Plan plan = shape.plan({});
    // The first call draws the process secret and maps the memory.
    const StepAdvantages expected = compute_advantages(batch, plan, 1);
    StepAdvantages counted(workload.num_steps());
    const PlanColumns credit{.plan = &plan, .columns = counted.credit_columns()};
    counted_call(&batch, &credit, &counted);
    const bool has_success =
        std::ranges::any_of(workload.success, [](auto flag) { return flag != 0; });
    if (!has_success || counted.advantages != expected.advantages) {
        std::fputs("the counted call gives another answer, or nothing to credit\n", stderr);
        return 1;
    }
    return 0;
}
