#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "batch_builder.hpp"

namespace graphgpo {
namespace {

Plan raw_plan(const Array<double>& values) {
    return plan_of({term_of({compared({GivenScores{{values}}}, Task{}, Raw{})})});
}

BatchBuilder three_starts() {
    return {.states = {"a", "b", "a"}, .trajectory_ids = {0, 0, 1}, .success = {{1, 1, 0}}};
}

// Returns 1, 0, 1: the mean over trajectories is 2/3, the standard deviation 1/sqrt(3).
TEST(EpisodeTerm, CountsEachTrajectoryOnce) {
    const StepAdvantages credit = credit_of(mug_rollouts(), grpo_plan());
    const double std = 1 / std::sqrt(3.0) + 1e-6;
    for (std::size_t row = 0; row < 12; ++row) {
        const bool failed = 3 <= row && row < 7;
        EXPECT_FLOAT_EQ(credit.episode_advantages[row],
                        static_cast<float>(((failed ? 0.0 : 1.0) - 2.0 / 3) / std));
        EXPECT_EQ(credit.scores[row], failed ? 0 : 1);
        EXPECT_EQ(credit.num_peers[row], 3);
    }
    EXPECT_EQ(credit.advantages, credit.episode_advantages);
}

// Eight steps with 1, four with 0.
TEST(EpisodeTerm, CountsEachStepOnceIfSoAsked) {
    const StepAdvantages credit =
        credit_of(mug_rollouts(), grpo_plan({.episode_unit = Unit::steps}));
    const double std = std::sqrt((8.0 / 9 + 16.0 / 9) / 11) + 1e-6;
    EXPECT_FLOAT_EQ(credit.advantages[0], static_cast<float>((1.0 / 3) / std));
    EXPECT_FLOAT_EQ(credit.advantages[3], static_cast<float>((-2.0 / 3) / std));
    EXPECT_EQ(credit.num_peers[0], 12);
}

TEST(EpisodeTerm, PenalisesInvalidActionsWhereStepsCount) {
    BatchBuilder builder = mug_rollouts();
    builder.action_valid = Array<std::uint8_t>(12, 1);
    builder.action_valid->at(1) = 0;
    EXPECT_EQ(credit_of(builder, grpo_plan({.penalty = 0.5})).advantages,
              credit_of(mug_rollouts(), grpo_plan()).advantages);
    const auto found =
        credit_of(builder, grpo_plan({.episode_unit = Unit::steps, .penalty = 0.5})).advantages;
    EXPECT_LT(found[1], found[0]);
    // Seven steps with 1, one with 1/2, four with 0.
    const double mean = 7.5 / 12;
    const double squares =
        7 * std::pow(1 - mean, 2) + std::pow(0.5 - mean, 2) + 4 * std::pow(mean, 2);
    EXPECT_NEAR(found[1], (0.5 - mean) / (std::sqrt(squares / 11) + 1e-6), 1e-6);
}

TEST(EpisodeTerm, OfARolloutWithoutVerdictIsZeroAndEntersNothing) {
    BatchBuilder builder = three_starts();
    builder.states.push_back("a");
    builder.trajectory_ids.push_back(2);
    builder.success->push_back(no_verdict);
    const StepAdvantages credit = credit_of(builder, grpo_plan({.divides = false}));
    EXPECT_EQ(credit.advantages, (std::vector<float>{0.5, 0.5, -0.5, 0}));
    EXPECT_TRUE(std::isnan(credit.scores[3]));
    EXPECT_EQ(credit.num_peers[3], 2);
}

TEST(EpisodeTerm, OfEqualReturnsIsZero) {
    BatchBuilder builder = mug_rollouts();
    builder.episode_returns = Array<double>(12, 0.1);
    EXPECT_EQ(credit_of(builder, grpo_plan()).advantages, std::vector<float>(12, 0));
}

TEST(Terms, AreWeighedAsStepAndEpisode) {
    const Array<double> values = {1, -3, 0};
    Plan plan = raw_plan(values);
    plan.terms.push_back(episode_term({.divides = false}));
    plan.step_weight = 0.5;
    plan.episode_weight = 2;
    const StepAdvantages credit = credit_of(three_starts(), plan);
    EXPECT_EQ(credit.advantages, (std::vector<float>{1.5, -0.5, -1}));
    EXPECT_EQ(credit.step_advantages, (std::vector<float>{1, -3, 0}));
    EXPECT_EQ(credit.episode_advantages, (std::vector<float>{0.5, 0.5, -0.5}));
}

TEST(Terms, AddUpWithTheirWeights) {
    const Array<double> values = {1, -3, 0};
    Plan plan = raw_plan(values);
    plan.terms.push_back(plan.terms.front());
    plan.terms.back().weight = 10;
    EXPECT_EQ(credit_of(three_starts(), plan).step_advantages, (std::vector<float>{11, -33, 0}));
}

TEST(Terms, ReachEveryStepOfAGroupThatIsMoreThanABlock) {
    BatchBuilder builder;
    Array<double> values;
    for (int row = 0; row < 3000; ++row) {
        builder.states.push_back("a");
        builder.trajectory_ids.push_back(row % 7);
        values.push_back(row);
    }
    Plan plan = raw_plan(values);
    EXPECT_EQ(credit_of(builder, plan).advantages[2999], 2999);
    plan.terms.push_back(plan.terms.front());
    EXPECT_EQ(credit_of(builder, plan).advantages[2999], 2 * 2999);
}

TEST(Terms, WhatAFloatCannotHoldIsAnError) {
    const Array<double> huge = {1e300, -3, 0};
    EXPECT_THROW((void)credit_of(three_starts(), raw_plan(huge)), std::invalid_argument);
    const Array<double> ones = {1, 1, 1};
    Plan plan = raw_plan(ones);
    plan.step_weight = 1e300;
    EXPECT_THROW((void)credit_of(three_starts(), plan), std::invalid_argument);
}

TEST(Terms, OfSeveralComparisonsAreTheMeanOfThoseThatSaySomething) {
    const Array<double> values = {1, 5, 3};
    const Score given{GivenScores{{values}}};
    const Comparison in_state = compared(given, SameState{}, Mean{}, Unit::steps, 0, 3);
    const Comparison in_task = compared(given, Task{}, Mean{}, Unit::steps, 0, 1);
    const StepAdvantages credit =
        credit_of(three_starts(), plan_of({term_of({in_state, in_task})}));
    // In its state: -1, none, 1. In the task: -2, 2, 0.
    EXPECT_EQ(credit.step_advantages, (std::vector<float>{-1.25, 2, 0.75}));
    EXPECT_EQ(credit.num_peers, (std::vector<std::int32_t>{2, 1, 2}));
    const auto nothing = compared(given, LastStates{9}, Mean{});
    EXPECT_EQ(credit_of(three_starts(), plan_of({term_of({nothing, nothing})})).step_advantages,
              (std::vector<float>{0, 0, 0}));
}

TEST(Terms, MayBeAveragedOverEqualSteps) {
    const Array<double> values = {1, 5, 3};
    Plan plan = raw_plan(values);
    plan.terms.front().average = SameState{};
    EXPECT_EQ(credit_of(three_starts(), plan).step_advantages, (std::vector<float>{2, 5, 2}));
}

TEST(Terms, InTheWholeBatchAreComparedAcrossGroups) {
    BatchBuilder builder = three_starts();
    builder.group_ids = {0, 0, 1};
    const Array<double> values = {1, 3, 8};
    const Plan plan = plan_of({term_of({compared({GivenScores{{values}}}, WholeBatch{}, Mean{})})});
    const StepAdvantages credit = credit_of(builder, plan);
    EXPECT_EQ(credit.advantages, (std::vector<float>{-3, -1, 4}));
    EXPECT_EQ(credit.num_peers, (std::vector<std::int32_t>{3, 3, 3}));
}

TEST(Terms, RelativeScoresAreDividedByTheLargestOfTheirPeers) {
    const Array<double> values = {2, 5, -4};
    const Plan plan =
        plan_of({term_of({compared({GivenScores{{values}}}, SameState{}, Mean{Scale::relative})})});
    EXPECT_EQ(credit_of(three_starts(), plan).advantages, (std::vector<float>{0.75, 0, -0.75}));
}

std::string error_of(const Plan& plan, BatchBuilder builder = three_starts()) {
    try {
        (void)credit_of(std::move(builder), plan);
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "no error";
}

TEST(Plans, ThatCannotBeAreNamed) {
    const Comparison outcome = compared({Outcome{}}, Task{}, Mean{});
    EXPECT_EQ(error_of(plan_of({})), "an estimator has no terms; expected one");
    EXPECT_EQ(error_of(plan_of({term_of({})})), "a term compares nothing");
    Comparison whole = outcome;
    whole.peers = WholeBatch{};
    EXPECT_EQ(error_of(plan_of({term_of({outcome, whole})})),
              "Batch peers are one of several; expected them alone");
    EXPECT_EQ(error_of(plan_of({term_of({compared({Outcome{}}, PeerKeys{}, Mean{})})})),
              "peer_keys is None; expected one value per step, which PeerKeys needs");
    EXPECT_EQ(error_of(plan_of({term_of({compared({Outcome{}}, LastStates{0}, Mean{})})})),
              "count is 0; expected an int >= 1");
    const auto ddof_two = normaliser_of({}, Scale::absolute, 2);
    EXPECT_EQ(error_of(plan_of({term_of({compared({Outcome{}}, Task{}, ddof_two)})})),
              "ddof is 2; expected 0 or 1");
    const Array<double> short_values = {1};
    EXPECT_EQ(error_of(raw_plan(short_values)),
              "states has 3 rows but the values of a Given block 1");
    EXPECT_EQ(error_of(graft_plan({.gamma = 1})), "gamma is 1; expected 0 < gamma < 1");
}

}  // namespace
}  // namespace graphgpo
