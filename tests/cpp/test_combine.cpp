#include <gtest/gtest.h>

#include <stdexcept>

#include "batch_builder.hpp"
#include "graphgpo/combine.hpp"

namespace graphgpo {
namespace {

TEST(Combine, WeighsStepAndEpisode) {
    Options options = mug_options();
    options.step_weight = 0.5;
    options.episode_weight = 2;
    const StepCredit credit = combine(Array<double>{1, -3}, Array<double>{0.25, 0.25}, options);
    EXPECT_EQ(credit.joint, (Array<float>{1, -1}));
    EXPECT_EQ(credit.step, (Array<float>{1, -3}));
    EXPECT_EQ(credit.episode, (Array<float>{0.25, 0.25}));
}

TEST(Combine, WhatAFloatCannotHoldIsAnError) {
    Options options = mug_options();
    options.step_weight = 1e300;
    EXPECT_THROW((void)combine(Array<double>{1}, Array<double>{0}, options), std::invalid_argument);
}

}  // namespace
}  // namespace graphgpo
