#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include "batch_builder.hpp"
#include "graphgpo/combine.hpp"

namespace graphgpo {
namespace {

TEST(Combine, WeighsStepAndEpisode) {
    Options options = mug_options();
    options.step_weight = 0.5;
    options.episode_weight = 2;
    const StepCredit credit =
        combine(std::vector<double>{1, -3}, std::vector<double>{0.25, 0.25}, options);
    EXPECT_EQ(credit.joint, (std::vector<float>{1, -1}));
    EXPECT_EQ(credit.step, (std::vector<float>{1, -3}));
    EXPECT_EQ(credit.episode, (std::vector<float>{0.25, 0.25}));
}

TEST(Combine, WhatAFloatCannotHoldIsAnError) {
    Options options = mug_options();
    options.step_weight = 1e300;
    EXPECT_THROW((void)combine(std::vector<double>{1}, std::vector<double>{0}, options),
                 std::invalid_argument);
}

}  // namespace
}  // namespace graphgpo
