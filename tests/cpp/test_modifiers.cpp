#include <gtest/gtest.h>

#include <cmath>

#include "batch_builder.hpp"

namespace graphgpo {
namespace {

// What becomes of standings of 1.
Array<double> factors(const Modifier& modifier, BatchBuilder builder) {
    OneGroup group(std::move(builder));
    Array<double> standings(group->num_steps(), 1);
    modify(modifier, *group, standings);
    return standings;
}

// From a: x twice, y once; from b: x. The second of three rollouts wins.
BatchBuilder three_rollouts() {
    return {.states = {"a", "a", "a", "b"},
            .next_states = {{"b", "c", "b", "c"}},
            .trajectory_ids = {0, 1, 2, 2},
            .success = {{0, 1, 0, 0}},
            .actions = {{"x", "y", "x", "x"}}};
}

TEST(FailureRate, IsAPowerOfTheShareOfFailures) {
    EXPECT_DOUBLE_EQ(factors(FailureRate{2, 3}, three_rollouts())[0], 3 * 4. / 9);
    BatchBuilder builder = three_rollouts();
    builder.success = {{0, 1, no_verdict, no_verdict}};
    EXPECT_DOUBLE_EQ(factors(FailureRate{2, 3}, builder)[0], 3 * 1. / 4);
}

TEST(Polarised, WeighsSuccessesAndFailuresByHowRareTheyAre) {
    const auto logistic = [](double x) { return 1 / (1 + std::exp(-x)); };
    const double b = 0.5 / (logistic(1) - 0.5);
    BatchBuilder builder = three_rollouts();
    const auto found = factors(Polarised{1, 0.5}, builder);
    EXPECT_DOUBLE_EQ(found[1], 1 + b * (logistic(2. / 3) - 0.5));
    EXPECT_DOUBLE_EQ(found[0], 1 + b * (logistic(-1. / 3) - 0.5));
    builder.success = {{0, 1, no_verdict, no_verdict}};
    EXPECT_EQ(factors(Polarised{1, 0.5}, builder)[2], 1);
}

TEST(Seen, IsOneWhereEnoughWasSeen) {
    EXPECT_EQ(factors(Seen{SeenWhat::actions, 2}, three_rollouts()), (Array<double>{1, 1, 1, 0}));
    EXPECT_EQ(factors(Seen{SeenWhat::actions, 3}, three_rollouts()), (Array<double>{0, 0, 0, 0}));
    BatchBuilder builder = three_rollouts();
    builder.actions.reset();  // targets stand for them: b, and the goal
    EXPECT_EQ(factors(Seen{SeenWhat::actions, 2}, builder), (Array<double>{1, 1, 1, 0}));
    builder.success = {{0, 0, 0, 0}};
    builder.next_states = {{"b", "b", "b", "c"}};
    EXPECT_EQ(factors(Seen{SeenWhat::targets, 2}, builder), (Array<double>{0, 0, 0, 0}));
}

TEST(ActionEvidence, ComparesVarianceBetweenActionsWithThatWithin) {
    const Array<double> values = {1, 5, 3, 7};
    const ActionEvidence block{Score{GivenScores{{values}}}, 4, 0.5};
    // a: x has mean 2, y 5, all 3: B = (1 + 4 + 1) / 3, W = (1 + 0 + 1) / 3.
    const auto found = factors(block, three_rollouts());
    EXPECT_DOUBLE_EQ(found[0], std::tanh(3. / 4) * 2 / (2 + 2. / 3 + 0.5));
    EXPECT_EQ(found[3], 0);
}

TEST(NobodyWon, IsZeroWhereSomebodyDid) {
    EXPECT_EQ(factors(NobodyWon{false}, three_rollouts())[0], 0);
    BatchBuilder builder = three_rollouts();
    builder.success = {{0, 0, 0, 0}};
    EXPECT_EQ(factors(NobodyWon{true}, builder)[0], 1);
    builder.success.reset();
    builder.rewards = {{0, 0.5, 0, 0}};
    EXPECT_EQ(factors(NobodyWon{false}, builder)[0], 0);
}

TEST(NobodyWon, IsWeighedByTheShareOfSuchGroups) {
    BatchBuilder builder{.states = {"a", "a", "b", "b"},
                         .group_ids = {0, 0, 1, 1},
                         .trajectory_ids = {0, 1, 0, 1},
                         .success = {{0, 0, 0, 1}},
                         .rewards = {{1, 0, 1, 0}}};
    Term term = term_of({compared({Outcome{}}, Task{}, Mean{})});
    term.modifiers = {NobodyWon{true}};
    EXPECT_EQ(credit_of(builder, plan_of({term})).advantages,
              (std::vector<float>{0.25, -0.25, 0, 0}));
}

TEST(Live, CountsGroupsWithASuccess) {
    BatchBuilder builder{.states = {"a", "a", "b", "b", "c"},
                         .group_ids = {0, 0, 1, 1, 2},
                         .trajectory_ids = {0, 1, 0, 1, 0},
                         .success = {{0, 0, 0, 1, 0}},
                         .rewards = {{1, 0, 1, 0, 1}}};
    Term term = term_of({compared({Outcome{}}, Task{}, Mean{})});
    term.modifiers = {Live{}};
    EXPECT_EQ(credit_of(builder, plan_of({term})).advantages,
              (std::vector<float>{0.25, -0.25, 0.25, -0.25, 0}));
}

}  // namespace
}  // namespace graphgpo
