#include <gtest/gtest.h>

#include <stdexcept>

#include "batch_builder.hpp"
#include "graphgpo/combine.hpp"

namespace graphgpo {
namespace {

// The two steps of one trajectory in a group of two, one of which succeeded.
struct Credit {
    explicit Credit(const Options& options, double step_advantage) {
        BatchBuilder builder{
            .states = {"a", "b", "a"}, .trajectory_ids = {0, 0, 1}, .success = {{1, 1, 0}}};
        const Batch batch = builder.view();
        const Groups groups = group_rows(batch);
        const Rollouts rollouts = arrange_rollouts(batch, groups.rows.row(0));
        const AdvantageColumns columns{.advantages = joint,
                                       .step_advantages = step,
                                       .episode_advantages = episode,
                                       .edge_returns = {},
                                       .distances = {},
                                       .next_distances = {},
                                       .state_ids = {},
                                       .next_state_ids = {}};
        combine(Array<double>{step_advantage, -3, 0}, EpisodeAdvantages(batch, rollouts, options),
                options, columns);
    }
    Array<float> joint = Array<float>(3);
    Array<float> step = Array<float>(3);
    Array<float> episode = Array<float>(3);
};

TEST(Combine, WeighsStepAndEpisode) {
    Options options = mug_options();
    options.step_weight = 0.5;
    options.episode_weight = 2;
    options.normalization = Normalization::mean;
    const Credit credit(options, 1);
    EXPECT_EQ(credit.joint, (Array<float>{1.5, -0.5, -1}));
    EXPECT_EQ(credit.step, (Array<float>{1, -3, 0}));
    EXPECT_EQ(credit.episode, (Array<float>{0.5, 0.5, -0.5}));
}

TEST(Combine, WhatAFloatCannotHoldIsAnError) {
    Options options = mug_options();
    EXPECT_THROW(Credit(options, 1e300), std::invalid_argument);
    options.step_weight = 1e300;
    EXPECT_THROW(Credit(options, 1), std::invalid_argument);
}

}  // namespace
}  // namespace graphgpo
