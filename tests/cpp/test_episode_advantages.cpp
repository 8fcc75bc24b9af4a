#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "batch_builder.hpp"
#include "graphgpo/episode_advantages.hpp"

namespace graphgpo {
namespace {

Array<double> advantages(BatchBuilder builder, const Options& options) {
    const Batch batch = builder.view();
    const Groups groups = group_rows(batch);
    const Rollouts rollouts = arrange_rollouts(batch, groups.rows.row(0));
    const EpisodeAdvantages found(batch, rollouts, options);
    Array<double> by_step;
    for (std::size_t step = 0; step < rollouts.num_steps(); ++step) by_step.push_back(found[step]);
    return by_step;
}

// Returns 1, 0, 1: the mean over trajectories is 2/3, the standard deviation 1/sqrt(3).
TEST(EpisodeAdvantages, CountEachTrajectoryOnce) {
    const auto found = advantages(mug_rollouts(), mug_options());
    const double std = 1 / std::sqrt(3.0) + 1e-6;
    for (std::size_t row = 0; row < 12; ++row) {
        const bool failed = 3 <= row && row < 7;
        EXPECT_DOUBLE_EQ(found[row], ((failed ? 0.0 : 1.0) - 2.0 / 3) / std) << row;
    }
}

// Eight steps with 1, four with 0.
TEST(EpisodeAdvantages, CountEachStepOnceUnderStepWeighting) {
    Options options = mug_options();
    options.episode_weighting = EpisodeWeighting::step;
    const double std = std::sqrt((8.0 / 9 + 16.0 / 9) / 11) + 1e-6;
    const auto found = advantages(mug_rollouts(), options);
    EXPECT_DOUBLE_EQ(found[0], (1.0 / 3) / std);
    EXPECT_DOUBLE_EQ(found[3], (-2.0 / 3) / std);
}

TEST(EpisodeAdvantages, PenaliseInvalidActionsUnderStepWeightingOnly) {
    BatchBuilder builder = mug_rollouts();
    builder.action_valid = Array<std::uint8_t>(12, 1);
    builder.action_valid->at(1) = 0;
    Options options = mug_options();
    options.invalid_action_penalty = 0.5;
    EXPECT_EQ(advantages(builder, options), advantages(mug_rollouts(), mug_options()));
    options.episode_weighting = EpisodeWeighting::step;
    const auto found = advantages(builder, options);
    EXPECT_LT(found[1], found[0]);
    // Seven steps with 1, one with 1/2, four with 0.
    const double mean = 7.5 / 12;
    const double squares =
        7 * std::pow(1 - mean, 2) + std::pow(0.5 - mean, 2) + 4 * std::pow(mean, 2);
    EXPECT_NEAR(found[1], (0.5 - mean) / (std::sqrt(squares / 11) + 1e-6), 1e-12);
}

TEST(EpisodeAdvantages, TakeReturnsBeforeRewardsBeforeSuccess) {
    BatchBuilder builder = mug_rollouts();
    builder.rewards = {{0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0}};
    EXPECT_GT(advantages(builder, mug_options())[3], 0);
    builder.episode_returns = {{5, 5, 5, 1, 1, 1, 1, 5, 5, 5, 5, 5}};
    EXPECT_LT(advantages(builder, mug_options())[3], 0);
}

TEST(EpisodeAdvantages, EqualReturnsHaveNone) {
    BatchBuilder builder = mug_rollouts();
    builder.episode_returns = Array<double>(12, 0.1);
    EXPECT_EQ(advantages(builder, mug_options()), Array<double>(12, 0));
}

TEST(EpisodeAdvantages, RewardsBeyondADoubleAreAnError) {
    BatchBuilder builder = mug_rollouts();
    builder.rewards = Array<double>(12, std::numeric_limits<double>::max());
    EXPECT_THROW((void)advantages(builder, mug_options()), std::invalid_argument);
}

}  // namespace
}  // namespace graphgpo
