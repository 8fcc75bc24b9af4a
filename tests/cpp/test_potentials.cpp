#include <gtest/gtest.h>

#include <cmath>

#include "batch_builder.hpp"

namespace graphgpo {
namespace {

// Two rollouts leave a: one wins after b, the other stays in a and gives up.
BatchBuilder shortcut() {
    return {.states = {"a", "b", "a"},
            .next_states = {{"b", "won", "a"}},
            .trajectory_ids = {0, 0, 1},
            .success = {{1, 1, 0}}};
}

TEST(ReachValue, DecaysWithTheDistance) {
    OneGroup group(shortcut());
    const auto& [before, after] = group->potential({ReachValue{0.5, 8}});
    EXPECT_EQ(before, (Array<double>{2, 4, 2}));
    EXPECT_EQ(after, (Array<double>{4, 8, 2}));
}

TEST(ReachValue, IsZeroWhereTheGoalCannotBeReached) {
    BatchBuilder builder = shortcut();
    builder.success = {{0, 0, 0}};
    OneGroup group(builder);
    EXPECT_EQ(group->potential({ReachValue{0.5, 8}}).before, (Array<double>{0, 0, 0}));
}

TEST(MeanReturn, IsTheMeanOverTheStepsThatLeaveAState) {
    OneGroup group(shortcut());
    const auto& [before, after] =
        group->potential({MeanReturn{0.5, 8, ReturnOf::rewards, ValueAtEnd::outcome, 0}});
    EXPECT_EQ(before, (Array<double>{2, 8, 2}));  // a: 4 and 0
    EXPECT_EQ(after, (Array<double>{8, 1, 0}));
}

TEST(MeanReturn, OfOutcomesDecaysWithTheStepsThatAreLeft) {
    OneGroup group(shortcut());
    const auto& [before, after] =
        group->potential({MeanReturn{0.5, 8, ReturnOf::outcome, ValueAtEnd::success, 0}});
    EXPECT_EQ(before, (Array<double>{0.125, 0.5, 0.125}));
    EXPECT_EQ(after, (Array<double>{0.5, 8, 0}));
}

TEST(MeanReturn, TakesAPenaltyFromInvalidSteps) {
    BatchBuilder builder = shortcut();
    builder.action_valid = {{1, 1, 0}};
    OneGroup group(builder);
    const auto& [before, after] =
        group->potential({MeanReturn{0.5, 8, ReturnOf::rewards, ValueAtEnd::outcome, 2}});
    EXPECT_EQ(before, (Array<double>{1, 8, 1}));
    EXPECT_EQ(after, (Array<double>{8, 1, -2}));
}

TEST(MeanReturn, SkipsReturnsThatNobodyKnows) {
    BatchBuilder builder = shortcut();
    builder.success = {{1, 1, no_verdict}};
    OneGroup group(builder);
    const auto& [before, after] =
        group->potential({MeanReturn{0.5, 8, ReturnOf::rewards, ValueAtEnd::success, 0}});
    EXPECT_EQ(before, (Array<double>{4, 8, 4}));
    EXPECT_TRUE(std::isnan(after[2]));
}

TEST(LogPotential, HasAFloor) {
    OneGroup group(shortcut());
    const Array<double> source = {1, 2, 0};
    const Array<double> target = {4, std::nan(""), 0};
    const Potential given{GivenNodes{{source}, {target}}};
    const auto& [before, after] = group->potential({Log{given, 0.5}});
    EXPECT_EQ(before, (Array<double>{0, std::log(2.0), std::log(0.5)}));
    EXPECT_EQ(after[0], std::log(4.0));
    EXPECT_TRUE(std::isnan(after[1]));
}

}  // namespace
}  // namespace graphgpo
