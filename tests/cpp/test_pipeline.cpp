#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "batch_builder.hpp"
#include "graphgpo/errors.hpp"
#include "graphgpo/graph_export.hpp"
#include "graphgpo/pipeline.hpp"

namespace graphgpo {
namespace {

double metric(const StepAdvantages& credit, std::string_view name) {
    for (const auto& [key, value] : credit.metrics) {
        if (key == "graphgpo/" + std::string(name)) return value;
    }
    ADD_FAILURE() << "no metric " << name;
    return 0;
}

std::string error_of(const std::invocable auto& call) {
    try {
        call();
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "no error";
}

std::string error_of(BatchBuilder builder, const Plan& plan = graphgpo_plan(mug_options()),
                     std::size_t num_threads = 1) {
    return error_of([&] { (void)credit_of(builder, plan, num_threads); });
}

TEST(Pipeline, AnEmptyBatchIsAResultOfLengthZero) {
    BatchBuilder builder{.states = {}, .success = Array<std::uint8_t>{}};
    const StepAdvantages credit = credit_of(builder, graphgpo_plan(mug_options()));
    EXPECT_TRUE(credit.advantages.empty());
    for (const auto& [name, value] : credit.metrics) EXPECT_EQ(value, 0) << name;
}

TEST(Pipeline, MaskedRowsDoNotExist) {
    BatchBuilder builder = mug_rollouts();
    builder.states[0] = nullptr;
    builder.mask = Array<std::uint8_t>(12, 1);
    for (std::size_t row = 0; row < 3; ++row) (*builder.mask)[row] = 0;
    const StepAdvantages credit = credit_of(builder, graphgpo_plan(mug_options()));
    EXPECT_EQ(credit.advantages[0], 0);
    EXPECT_TRUE(std::isnan(credit.distances[0]));
    EXPECT_TRUE(std::isnan(credit.scores[1]));
    EXPECT_EQ(credit.state_ids[2], -1);
    EXPECT_EQ(credit.state_ids[3], 0);
    EXPECT_EQ(metric(credit, "masked_rows"), 3);
    EXPECT_EQ(metric(credit, "num_trajectories"), 2);
}

TEST(Pipeline, EveryRowOfTheCallersColumnsIsWritten) {
    constexpr std::size_t rows = 12;
    BatchBuilder builder = mug_rollouts();
    builder.mask = Array<std::uint8_t>(rows, 1);
    for (std::size_t row = 3; row < 7; ++row) (*builder.mask)[row] = 0;
    const StepAdvantages expected = credit_of(builder, graphgpo_plan(mug_options()));
    StepAdvantages other(rows);
    std::ranges::fill(other.advantages, 99);
    std::ranges::fill(other.step_advantages, 99);
    std::ranges::fill(other.episode_advantages, 99);
    std::ranges::fill(other.scores, 99);
    std::ranges::fill(other.num_peers, 99);
    std::ranges::fill(other.distances, 99);
    std::ranges::fill(other.next_distances, 99);
    std::ranges::fill(other.state_ids, 99);
    std::ranges::fill(other.next_state_ids, 99);
    const Plan plan = graphgpo_plan(mug_options());
    const PlanColumns credit{.plan = &plan, .columns = other.credit_columns()};
    GraphColumns graph = other.graph_columns();
    const auto compute = [&] {
        return compute_advantages(builder.view(), std::span(&credit, 1), graph, 1);
    };
    EXPECT_EQ(compute(), std::vector{expected.metrics});
    EXPECT_EQ(other.advantages, expected.advantages);
    EXPECT_EQ(other.step_advantages, expected.step_advantages);
    EXPECT_EQ(other.episode_advantages, expected.episode_advantages);
    EXPECT_EQ(other.num_peers, expected.num_peers);
    EXPECT_EQ(other.state_ids, expected.state_ids);
    EXPECT_EQ(other.next_state_ids, expected.next_state_ids);
    const auto is_same = [](double a, double b) {
        return a == b || (std::isnan(a) && std::isnan(b));
    };
    EXPECT_TRUE(std::ranges::equal(other.scores, expected.scores, is_same));
    EXPECT_TRUE(std::ranges::equal(other.distances, expected.distances, is_same));
    EXPECT_TRUE(std::ranges::equal(other.next_distances, expected.next_distances, is_same));

    graph.distances = graph.distances.first(rows - 1);
    EXPECT_EQ(error_of(compute), "states has 12 rows but a column for the result has 11");
}

TEST(Pipeline, PlansTogetherHaveTheBitsOfEachAlone) {
    BatchBuilder builder = mug_rollouts();
    const std::vector<Plan> plans = {graft_plan(), graphgpo_plan(mug_options()), gigpo_plan(),
                                     grpo_plan(), hgpo_plan()};
    std::vector<StepAdvantages> together(plans.size(), StepAdvantages(12));
    std::vector<PlanColumns> credit;
    for (std::size_t p = 0; p < plans.size(); ++p) {
        credit.push_back({.plan = &plans[p], .columns = together[p].credit_columns()});
    }
    const auto metrics =
        compute_advantages(builder.view(), credit, together.front().graph_columns(), 1);
    for (std::size_t p = 0; p < plans.size(); ++p) {
        const StepAdvantages alone = credit_of(builder, plans[p]);
        EXPECT_EQ(together[p].advantages, alone.advantages);
        EXPECT_EQ(together[p].scores, alone.scores);
        EXPECT_EQ(together[p].num_peers, alone.num_peers);
        EXPECT_EQ(metrics[p], alone.metrics);
    }
}

TEST(Pipeline, EveryCopyGetsTheAnswerOfItsStep) {
    BatchBuilder builder = mug_rollouts();
    builder.step_ids = {{0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4}};
    builder.group_ids.assign(12, 0);
    const StepAdvantages expected = credit_of(builder, graphgpo_plan(mug_options()));
    builder.states.push_back(builder.states[5]);
    builder.next_states->push_back(builder.next_states->at(5));
    builder.group_ids.push_back(0);
    builder.trajectory_ids.push_back(2);
    builder.success->push_back(0);
    builder.step_ids->push_back(2);
    const StepAdvantages credit = credit_of(builder, graphgpo_plan(mug_options()));
    EXPECT_EQ(credit.advantages[12], expected.advantages[5]);
    EXPECT_EQ(credit.state_ids[12], expected.state_ids[5]);
    EXPECT_EQ(credit.advantages[0], expected.advantages[0]);
    EXPECT_EQ(metric(credit, "duplicate_rows"), 1);
}

TEST(Pipeline, MetricsOfTheWorkedExample) {
    BatchBuilder builder = mug_rollouts();
    const StepAdvantages credit = credit_of(builder, graphgpo_plan(mug_options()));
    EXPECT_EQ(metric(credit, "num_steps"), 12);
    EXPECT_EQ(metric(credit, "num_states"), 6);
    EXPECT_EQ(metric(credit, "num_edges"), 7);
    EXPECT_EQ(metric(credit, "merge_ratio"), 7. / 12);
    EXPECT_EQ(metric(credit, "singleton_share"), 2. / 12);
    EXPECT_EQ(metric(credit, "reachable_share"), 1);
    EXPECT_EQ(metric(credit, "zero_advantage_share"), 4. / 12);
    EXPECT_EQ(metric(credit, "max_distance"), 4);
    EXPECT_EQ(metric(credit, "mean_distance"), 29. / 12);
    EXPECT_EQ(metric(credit, "progress_in_failed"), 2. / 4);
    EXPECT_EQ(metric(credit, "no_progress_in_succeeded"), 1. / 8);
    EXPECT_EQ(metric(credit, "inert"), 0);
}

TEST(Pipeline, AGroupWithoutSuccessHasStepAdvantageZero) {
    BatchBuilder builder = mug_rollouts();
    builder.success = Array<std::uint8_t>(12, 0);
    builder.edge_costs = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3}};
    PlanOptions options = mug_options();
    for (const Scale scale : {Scale::relative, Scale::absolute}) {
        options.scale = scale;
        const StepAdvantages credit = credit_of(builder, graphgpo_plan(options));
        EXPECT_EQ(credit.step_advantages, std::vector<float>(12, 0));
        EXPECT_EQ(metric(credit, "inert"), 1);
        EXPECT_EQ(metric(credit, "groups_without_success"), 1);
    }
}

TEST(Pipeline, UnderAbsoluteScaleAPenaltyGivesCreditWithoutSuccess) {
    BatchBuilder builder = mug_rollouts();
    builder.success = Array<std::uint8_t>(12, 0);
    builder.action_valid = Array<std::uint8_t>(12, 1);
    (*builder.action_valid)[0] = 0;
    PlanOptions options = mug_options();
    options.penalty = 0.1;
    EXPECT_EQ(credit_of(builder, graphgpo_plan(options)).step_advantages[0], 0);
    options.scale = Scale::absolute;
    const StepAdvantages credit = credit_of(builder, graphgpo_plan(options));
    EXPECT_LT(credit.step_advantages[0], 0);
    EXPECT_GT(credit.step_advantages[3], 0);
}

TEST(Pipeline, GroupsAreApart) {
    BatchBuilder one = mug_rollouts();
    const StepAdvantages alone = credit_of(one, graphgpo_plan(mug_options()));
    BatchBuilder two = mug_rollouts();
    two.states.insert(two.states.end(), one.states.begin(), one.states.end());
    two.next_states->insert(two.next_states->end(), one.next_states->begin(),
                            one.next_states->end());
    two.trajectory_ids.insert(two.trajectory_ids.end(), one.trajectory_ids.begin(),
                              one.trajectory_ids.end());
    two.success->insert(two.success->end(), one.success->begin(), one.success->end());
    two.group_ids.assign(24, 4);
    std::fill(two.group_ids.begin() + 12, two.group_ids.end(), 3);
    const StepAdvantages both = credit_of(two, graphgpo_plan(mug_options()));
    for (std::size_t row = 0; row < 12; ++row) {
        EXPECT_EQ(both.advantages[row], alone.advantages[row]);
        EXPECT_EQ(both.advantages[row + 12], alone.advantages[row]);
        EXPECT_EQ(both.state_ids[row + 12], alone.state_ids[row] + 6);
    }
}

// A random walk per trajectory over a few states, in a batch large enough for threads to start.
BatchBuilder random_walks(std::size_t num_rows) {
    static const std::vector<const char*> names = {"a", "b", "c", "d", "e", "f", "g", "h"};
    std::mt19937_64 random(5);
    BatchBuilder builder = mug_rollouts();
    builder.states.clear();
    builder.next_states.reset();
    builder.trajectory_ids.clear();
    builder.success->clear();
    builder.edge_costs.emplace();
    for (std::size_t row = 0; row < num_rows; ++row) {
        builder.states.push_back(names[random() % names.size()]);
        builder.group_ids.push_back(static_cast<std::int64_t>(row / 100));
        builder.trajectory_ids.push_back(static_cast<std::int64_t>(row / 10));
        builder.success->push_back(row / 10 % 3 == 0 ? 1 : 0);
        builder.edge_costs->push_back(0.1 * static_cast<double>(1 + random() % 5));
    }
    return builder;
}

TEST(Pipeline, NodesAreNumberedGroupAfterGroupAlsoWhereRowsOfGroupsAlternate) {
    BatchBuilder builder{.states = {"hall", "hall", "kitchen", "cellar"},
                         .next_states = {{"kitchen", "cellar", nullptr, "hall"}},
                         .group_ids = {7, 8, 7, 8},
                         .trajectory_ids = {1, 1, 1, 1},
                         .success = {{0, 0, 1, 0}}};
    const StepAdvantages credit = credit_of(builder, graphgpo_plan(mug_options()));
    // Group 7: hall, kitchen, GOAL. Group 8: a hall of its own and cellar.
    EXPECT_EQ(credit.state_ids, (std::vector<std::int64_t>{0, 3, 1, 4}));
    EXPECT_EQ(credit.next_state_ids, (std::vector<std::int64_t>{1, 4, 2, 3}));
}

TEST(Pipeline, AnyNumberOfThreadsGivesTheSameBits) {
    const BatchBuilder builder = random_walks(40000);
    for (const auto& plan : {graphgpo_plan(mug_options()), graft_plan(), hgpo_plan()}) {
        const StepAdvantages alone = credit_of(builder, plan);
        for (const std::size_t threads : {2u, 3u, 8u, 64u}) {
            const StepAdvantages together = credit_of(builder, plan, threads);
            EXPECT_EQ(together.advantages, alone.advantages);
            EXPECT_EQ(together.scores, alone.scores);
            EXPECT_EQ(together.num_peers, alone.num_peers);
            EXPECT_EQ(together.distances, alone.distances);
            EXPECT_EQ(together.state_ids, alone.state_ids);
            EXPECT_EQ(together.next_state_ids, alone.next_state_ids);
            EXPECT_EQ(together.metrics, alone.metrics);
        }
    }
}

TEST(Pipeline, TheEarliestRowIsNamedWhicheverThreadFindsIt) {
    BatchBuilder builder = random_walks(40000);
    for (std::size_t row = 1234; row < 40000; row += 1000) {
        (*builder.success)[row] ^= 1;
    }
    const std::string error = error_of(builder, graphgpo_plan(mug_options()), 8);
    EXPECT_EQ(error.substr(0, 13), "success[2234]");
}

TEST(Validate, RowsThatCannotBeAreNamed) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double infinity = std::numeric_limits<double>::infinity();
    BatchBuilder builder = mug_rollouts();
    builder.rewards = Array<double>(12, 0);
    builder.rewards->at(4) = nan;
    EXPECT_EQ(error_of(builder), "rewards[4] is nan; expected a finite number");
    builder = mug_rollouts();
    builder.episode_returns = Array<double>(12, -infinity);
    EXPECT_EQ(error_of(builder), "episode_returns[0] is -inf; expected a finite number");
    builder = mug_rollouts();
    builder.edge_costs = Array<double>(12, 1);
    builder.edge_costs->at(11) = 0;
    EXPECT_EQ(error_of(builder), "edge_costs[11] is 0; expected a finite number > 0");
    builder.mask = Array<std::uint8_t>(12, 1);
    builder.mask->at(11) = 0;
    builder.success = Array<std::uint8_t>(12, 0);
    EXPECT_EQ(error_of(builder), "no error");
    builder = mug_rollouts();
    builder.states[7] = nullptr;
    EXPECT_EQ(error_of(builder), "states[7] is null; expected a value");
    builder = mug_rollouts();
    builder.trajectory_ids.pop_back();
    EXPECT_EQ(
        error_of(builder),
        "states has 12 rows but trajectory_ids has 11; every column needs one value per step");
}

TEST(Validate, OptionsOutOfRangeAreNamed) {
    PlanOptions options = mug_options();
    options.omega = 1;
    EXPECT_EQ(error_of(mug_rollouts(), graphgpo_plan(options)),
              "omega is 1; expected 0 < omega < 1");
    options = mug_options();
    options.epsilon = 0;
    EXPECT_EQ(error_of(mug_rollouts(), graphgpo_plan(options)),
              "epsilon is 0; expected a finite number > 0");
    BatchBuilder without_success = mug_rollouts();
    without_success.success.reset();
    EXPECT_EQ(error_of(without_success),
              "success is None; expected one value per step, which EdgeReturn needs");
    without_success.rewards = Array<double>(12, 1);
    EXPECT_EQ(error_of(without_success, grpo_plan()), "no error");
}

TEST(BuildGraph, HasANodePerStateAndAnEdgePerStep) {
    BatchBuilder builder = mug_rollouts();
    builder.next_states->at(6) = "outside";
    const BatchGraph graph = build_graph(builder.view(), 1);
    using enum NodeKind;
    EXPECT_EQ(graph.node_kind,
              (std::vector<NodeKind>{state, state, state, goal, state, next_state, state}));
    EXPECT_EQ(graph.node_row, (std::vector<RowId>{0, 1, 2, 2, 4, 6, 9}));
    EXPECT_EQ(graph.node_distance, (std::vector<double>{3, 2, 1, 0, 4, 5, 3}));
    EXPECT_EQ(graph.edge_row.size(), 12u);
    EXPECT_EQ(graph.edge_target[6], 5);
    EXPECT_EQ(graph.edge_cost, std::vector<double>(12, 1));
}

TEST(BuildGraph, LeavesAreNodes) {
    BatchBuilder builder = mug_rollouts();
    builder.next_states.reset();
    const BatchGraph graph = build_graph(builder.view(), 1);
    EXPECT_EQ(graph.node_kind[5], NodeKind::leaf);
    EXPECT_EQ(graph.node_reached[5], 0);
    EXPECT_EQ(graph.node_kind.size(), 7u);
}

}  // namespace
}  // namespace graphgpo
