#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "batch_builder.hpp"
#include "graphgpo/scores/edge_return.hpp"

namespace graphgpo {
namespace {

// a -> b -> GOAL, and a -> a.
BatchBuilder shortcut() {
    return {.states = {"a", "b", "a"},
            .next_states = {{"b", "won", "a"}},
            .trajectory_ids = {0, 0, 1},
            .success = {{1, 1, 0}}};
}

constexpr EdgeReturn halves{.omega = 0.5, .success_reward = 8, .exponent = Exponent::paper};

TEST(EdgeReturn, DecaysWithTheDistanceThatIsLeft) {
    EdgeReturn block = halves;
    EXPECT_EQ(scores_of({block}, shortcut()), (Array<double>{2, 4, 1}));
    block.exponent = Exponent::recipe;
    EXPECT_EQ(scores_of({block}, shortcut()), (Array<double>{4, 8, 2}));
    block.exponent = Exponent::progress;
    EXPECT_EQ(scores_of({block}, shortcut()), (Array<double>{8, 8, 4}));
}

TEST(EdgeReturn, CountsCostsAsDistance) {
    BatchBuilder builder = shortcut();
    builder.edge_costs = {{2, 1, 0.5}};
    EdgeReturn block = halves;
    block.success_reward = 1;
    EXPECT_EQ(scores_of({block}, builder),
              (Array<double>{0.125, 0.5, 0.5 * 0.5 * 0.5 * 0.70710678118654752}));
}

TEST(EdgeReturn, IsAnErrorWhereItOverflows) {
    BatchBuilder builder = shortcut();
    builder.edge_costs = {{0.1, 0.1, 0.1}};
    const EdgeReturn block{.omega = 1e-300, .success_reward = 1e200, .exponent = Exponent::recipe};
    EXPECT_THROW((void)scores_of({block}, builder), std::invalid_argument);
}

TEST(EdgeReturn, IsOneForTheBestPeerAtAnyDistanceIfRelative) {
    for (const double far : {1.0, 1e3, 1e6}) {
        BatchBuilder builder = shortcut();
        builder.edge_costs = {{1, far, 1}};
        OneGroup group(builder);
        EXPECT_EQ(relative_edge_returns(*group, powers_of(halves, *group)),
                  (Array<double>{1, 1, 0.5}));
    }
}

TEST(ReturnToGo, AddsDiscountedRewards) {
    BatchBuilder builder = mug_rollouts();
    const Score score{ReturnToGo{.gamma = 0.5, .success_reward = 8}};
    EXPECT_EQ(scores_of(score, builder), (Array<double>{2, 4, 8, 0, 0, 0, 0, 0.5, 1, 2, 4, 8}));
    builder.rewards = {{1, 2, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0}};
    EXPECT_EQ(scores_of(score, builder),
              (Array<double>{3, 4, 4, 0.125, 0.25, 0.5, 1, 0, 0, 0, 0, 0}));
}

TEST(ReturnToGo, IsUnknownWithoutAVerdictUnlessRewardsWereSeen) {
    BatchBuilder builder = shortcut();
    builder.success = {{1, 1, no_verdict}};
    const Score score{ReturnToGo{.gamma = 0.5, .success_reward = 8}};
    EXPECT_TRUE(std::isnan(scores_of(score, builder)[2]));
    builder.rewards = {{0, 0, 3}};
    EXPECT_EQ(scores_of(score, builder)[2], 3);
}

TEST(Outcome, TakesReturnsBeforeRewardsBeforeSuccess) {
    BatchBuilder builder = shortcut();
    EXPECT_EQ(scores_of({Outcome{}}, builder), (Array<double>{1, 1, 0}));
    builder.rewards = {{0.5, 2, 4}};
    EXPECT_EQ(scores_of({Outcome{}}, builder), (Array<double>{2.5, 2.5, 4}));
    builder.episode_returns = {{7, 7, 9}};
    EXPECT_EQ(scores_of({Outcome{}}, builder), (Array<double>{7, 7, 9}));
}

TEST(Outcome, IsUnknownWithoutAVerdict) {
    BatchBuilder builder = shortcut();
    builder.success = {{1, 1, no_verdict}};
    builder.rewards = {{0, 0, 5}};
    EXPECT_TRUE(std::isnan(scores_of({Outcome{}}, builder)[2]));
}

TEST(Outcome, BeyondADoubleIsAnError) {
    BatchBuilder builder = mug_rollouts();
    builder.rewards = Array<double>(12, std::numeric_limits<double>::max());
    EXPECT_THROW((void)scores_of({Outcome{}}, builder), std::invalid_argument);
}

TEST(Surprisal, IsTheLogarithmOfAShareWhereLoneTargetsShareOne) {
    const BatchBuilder builder{.states = {"s", "s", "s", "s", "s"},
                               .next_states = {{"a", "a", "a", "b", "c"}},
                               .trajectory_ids = {0, 1, 2, 3, 4},
                               .success = {{0, 0, 0, 0, 0}},
                               .actions = {{"x", "x", "y", "y", "z"}}};
    const double to_a = std::log(5. / 3);
    const double alone = std::log(5. / 2);
    EXPECT_EQ(scores_of({Surprisal{false}}, builder),
              (Array<double>{to_a, to_a, to_a, alone, alone}));
    const double of_two = std::log(2.);
    EXPECT_EQ(scores_of({Surprisal{true}}, builder),
              (Array<double>{to_a, to_a, to_a - of_two, alone - of_two, alone}));
}

TEST(NewStates, IsTheShareOfStepsToStatesNotSeenBefore) {
    // t1 finds three of three; t2 bedroom, kitchen, fridge of four; t3 kitchen, fridge, mug, GOAL.
    const Array<double> expected = {1, 1, 1, 0.75, 0.75, 0.75, 0.75, 0.8, 0.8, 0.8, 0.8, 0.8};
    EXPECT_EQ(scores_of({NewStates{}}, mug_rollouts()), expected);
}

// d: the distance after a step, as the caller's own potential.
TEST(Difference, IsWhatAStepGains) {
    const Array<double> source = {3, 2, 3};
    const Array<double> target = {2, 0, 3};
    const Potential given{GivenNodes{{source}, {target}}};
    const Difference gain{.potential = given, .gamma = 0.5, .rewards = true, .success_reward = 8};
    EXPECT_EQ(scores_of({gain}, shortcut()), (Array<double>{-2, 6, -1.5}));
    EXPECT_EQ(scores_of({Target{given, 0.5}}, shortcut()), (Array<double>{1, 0, 1.5}));
    EXPECT_EQ(scores_of({Trace{gain, 0.5}}, shortcut()), (Array<double>{-0.5, 6, -1.5}));
}

TEST(ActionMean, IsDrawnToTheMeanOfTheState) {
    BatchBuilder builder{.states = {"a", "a", "a", "a"},
                         .trajectory_ids = {0, 1, 2, 3},
                         .success = {{0, 0, 0, 0}},
                         .actions = {{"x", "x", "y", "y"}}};
    const Array<double> values = {1, 3, 4, 8};
    const Score given{GivenScores{{values}}};
    const auto mean = [&](double kappa) {
        return scores_of({ActionMean{given, kappa, UnknownAction::refuse}}, builder);
    };
    EXPECT_EQ(mean(0), (Array<double>{2, 2, 6, 6}));
    EXPECT_EQ(mean(2), (Array<double>{3, 3, 5, 5}));
    builder.actions.reset();  // every step leads to a leaf of its own
    EXPECT_EQ(scores_of({ActionMean{given, 0, UnknownAction::target}}, builder), values);
}

TEST(StandingScore, IsAStandingAmongOtherPeers) {
    const Array<double> values = {1, 3, 5};
    const Score centred{StandingScore{Score{GivenScores{{values}}}, Task{}, Mean{}, Unit::steps}};
    EXPECT_EQ(scores_of(centred, shortcut()), (Array<double>{-2, 0, 2}));
}

}  // namespace
}  // namespace graphgpo
