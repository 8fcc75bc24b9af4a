#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <string>

#include "batch_builder.hpp"
#include "graphgpo/errors.hpp"
#include "graphgpo/rollouts.hpp"

namespace graphgpo {
namespace {

Rollouts arrange(BatchBuilder builder) {
    const Batch batch = builder.view();
    const Groups groups = group_rows(batch);
    EXPECT_EQ(groups.size(), 1u);
    return arrange_rollouts(batch, groups.rows.row(0));
}

std::string error_of(const BatchBuilder& builder) {
    try {
        arrange(builder);
    } catch (const RowError& error) {
        return error.what();
    }
    return "no error";
}

// One trajectory a, b, c that succeeds.
BatchBuilder abc() {
    return {.states = {"a", "b", "c"}, .trajectory_ids = {5, 5, 5}, .success = {{0, 0, 1}}};
}

TEST(Groups, AreNumberedByTheirFirstUnmaskedRow) {
    BatchBuilder builder = abc();
    builder.states = {"a", "b", "c", "d", "e"};
    builder.group_ids = {9, 7, 9, 8, 7};
    builder.trajectory_ids = {0, 0, 0, 0, 0};
    builder.success = {{0, 0, 0, 0, 0}};
    builder.mask = {{0, 1, 1, 0, 1}};
    const Groups groups = group_rows(builder.view());
    EXPECT_EQ(groups.rows.offsets, (Array<std::int32_t>{0, 2, 3}));
    EXPECT_EQ(groups.rows.items, (Array<RowId>{1, 4, 2}));
}

TEST(Rollouts, WithoutStepIdsRowOrderIsTheOrderOfSteps) {
    BatchBuilder builder = abc();
    builder.trajectory_ids = {5, 6, 5};
    builder.success = {{0, 0, 1}};
    const Rollouts rollouts = arrange(builder);
    EXPECT_EQ(rollouts.following, (Array<StepId>{2, none, none}));
    EXPECT_EQ(rollouts.succeeded, (Array<std::uint8_t>{1, 0}));
    EXPECT_TRUE(rollouts.copies.empty());
}

TEST(Rollouts, StepIdsDecideTheOrder) {
    BatchBuilder builder = abc();
    builder.step_ids = {{12, 10, 11}};
    builder.success = {{1, 0, 0}};
    const Rollouts rollouts = arrange(builder);
    EXPECT_EQ(rollouts.row, (Array<RowId>{0, 1, 2}));
    EXPECT_EQ(rollouts.following, (Array<StepId>{none, 2, 0}));
    EXPECT_TRUE(rollouts.is_winning(0));
}

TEST(Rollouts, CopiesAreFoldedIntoTheirFirstRow) {
    BatchBuilder builder = abc();
    builder.states = {"b", "a", "b", "b"};
    builder.trajectory_ids = {5, 5, 5, 5};
    builder.step_ids = {{1, 0, 1, 1}};
    builder.success = {{1, 0, 1, 1}};
    const Rollouts rollouts = arrange(builder);
    EXPECT_EQ(rollouts.row, (Array<RowId>{0, 1}));
    ASSERT_EQ(rollouts.copies.size(), 2u);
    EXPECT_EQ(rollouts.copies[0].row, 2);
    EXPECT_EQ(rollouts.copies[1].step, 0);
    EXPECT_EQ(rollouts.following, (Array<StepId>{none, 0}));
}

TEST(Rollouts, CopiesThatDisagreeAreNamed) {
    BatchBuilder builder = abc();
    builder.step_ids = {{0, 1, 1}};
    builder.success = {{0, 1, 1}};
    EXPECT_EQ(
        error_of(builder),
        "states[2] is 'c' but row 1 has 'b'; rows with the same group, trajectory and step id "
        "are copies of one step and must agree in every column");
    builder.states = {"a", "b", "b"};
    builder.rewards = {{0, 1, 1.5}};
    EXPECT_EQ(error_of(builder).substr(0, 37), "rewards[2] is 1.5 but row 1 has 1; ro");
}

TEST(Rollouts, AGapIsAnErrorOnlyWhenNextStatesAreDerived) {
    BatchBuilder builder = abc();
    builder.step_ids = {{0, 1, 3}};
    EXPECT_EQ(error_of(builder),
              "step_ids[2] is 3 but the step before it in its trajectory (row 1) is 1; expected no "
              "gap, because without next_states a step leads to the state of the following step");
    builder.next_states = {{"b", "c", nullptr}};
    EXPECT_EQ(error_of(builder), "no error");
}

TEST(Rollouts, StepIdsMayLieAtTheEndsOfInt64) {
    using Limits = std::numeric_limits<std::int64_t>;
    BatchBuilder builder = abc();
    builder.step_ids = {{Limits::min(), Limits::max() - 1, Limits::max()}};
    EXPECT_EQ(error_of(builder).substr(0, 11), "step_ids[1]");
    builder.next_states = {{"b", "c", nullptr}};
    EXPECT_EQ(error_of(builder), "no error");
}

TEST(Rollouts, OnlyTheLastStepMayHaveNoNextState) {
    BatchBuilder builder = abc();
    builder.next_states = {{"b", nullptr, "d"}};
    EXPECT_EQ(error_of(builder),
              "next_states[1] is null but its trajectory goes on at row 2; only the last step of a "
              "trajectory may have no next state");
}

TEST(Rollouts, SuccessInTheMiddleIsAnError) {
    BatchBuilder builder = abc();
    builder.success = {{0, 1, 0}};
    EXPECT_EQ(
        error_of(builder),
        "success[1] is True but the last step of its trajectory (row 2) is False; expected the "
        "flag on the last step or on every step: mask the rows after a win");
}

TEST(Rollouts, ARolloutMayHaveNoVerdict) {
    BatchBuilder builder = abc();
    builder.success = {{no_verdict, no_verdict, no_verdict}};
    const Rollouts rollouts = arrange(builder);
    EXPECT_FALSE(rollouts.has_verdict(0));
    EXPECT_FALSE(rollouts.is_winning(2));
    const double unknown = std::numeric_limits<double>::quiet_NaN();
    builder.episode_returns = {{unknown, unknown, 3}};
    EXPECT_EQ(error_of(builder), "no error");
}

TEST(Rollouts, AVerdictOnSomeRowsIsAnError) {
    BatchBuilder builder = abc();
    builder.success = {{no_verdict, no_verdict, 1}};
    EXPECT_EQ(error_of(builder).substr(0, 10), "success[0]");
    builder.success = {{1, no_verdict, 1}};
    EXPECT_EQ(error_of(builder).substr(0, 10), "success[1]");
    builder.success = {{0, no_verdict, no_verdict}};
    EXPECT_EQ(error_of(builder).substr(0, 10), "success[0]");
}

TEST(Rollouts, CopiesMustAgreeInActionsAndPeerKeysToo) {
    BatchBuilder builder = abc();
    builder.states = {"a", "b", "b"};
    builder.step_ids = {{0, 1, 1}};
    builder.success = {{0, 1, 1}};
    builder.actions = {{"x", "y", "z"}};
    EXPECT_EQ(error_of(builder).substr(0, 36), "actions[2] is 'z' but row 1 has 'y';");
    builder.actions.reset();
    builder.peer_keys = {{"x", "y", nullptr}};
    EXPECT_EQ(error_of(builder).substr(0, 39), "peer_keys[2] is None but row 1 has 'y';");
}

TEST(Rollouts, EpisodeReturnsAreConstantWithinATrajectory) {
    BatchBuilder builder = abc();
    builder.episode_returns = {{1, 1, 2}};
    EXPECT_EQ(error_of(builder),
              "episode_returns[2] is 2 but row 0 of the same trajectory has 1; expected one value "
              "per trajectory");
}

TEST(Rollouts, TheEarliestRowIsNamedWhicheverRuleItBreaks) {
    BatchBuilder builder = abc();
    builder.episode_returns = {{1, 1, 2}};
    builder.success = {{1, 0, 0}};
    EXPECT_EQ(error_of(builder).substr(0, 10), "success[0]");
}

}  // namespace
}  // namespace graphgpo
