// Start here: the method on three rollouts, small enough to check by hand.
//
//   hall -> kitchen -> kitchen, mug -> GOAL        t1
//   hall -> bedroom -> hall -> kitchen -> fridge open     t2 gives up
//   hall -> kitchen -> fridge open -> kitchen -> kitchen, mug -> GOAL        t3
#include <gtest/gtest.h>

#include <vector>

#include "batch_builder.hpp"
#include "graphgpo/pipeline.hpp"

namespace graphgpo {
namespace {

TEST(WorkedExample, IsWhatAHandComputes) {
    const BatchBuilder rollouts = mug_rollouts();
    const StepAdvantages credit = credit_of(rollouts, graphgpo_plan(mug_options()));

    EXPECT_EQ(credit.distances, (std::vector<double>{3, 2, 1, 3, 4, 3, 2, 3, 2, 3, 2, 1}));
    EXPECT_EQ(credit.next_distances, (std::vector<double>{2, 1, 0, 4, 3, 2, 3, 2, 3, 2, 1, 0}));
    EXPECT_EQ(credit.scores,
              (std::vector<double>{1. / 8, 1. / 4, 1. / 2, 1. / 32, 1. / 16, 1. / 8, 1. / 16,
                                   1. / 8, 1. / 16, 1. / 8, 1. / 4, 1. / 2}));
    EXPECT_EQ(credit.state_ids, (std::vector<std::int64_t>{0, 1, 2, 0, 4, 0, 1, 0, 1, 5, 1, 2}));
    EXPECT_EQ(credit.next_state_ids,
              (std::vector<std::int64_t>{1, 2, 3, 4, 0, 1, 5, 1, 5, 1, 2, 3}));

    EXPECT_EQ(credit.num_peers, (std::vector<std::int32_t>{4, 4, 2, 4, 1, 4, 4, 4, 4, 1, 4, 2}));

    // hall: scaled returns 1, 1, 1, 1/4, mean 13/16, std 3/8. kitchen: 1, 1/4, 1/4, 1.
    const std::vector<float> step = {+0.5f,   +0.866f, 0,       -1.5f, 0,       +0.5f,
                                     -0.866f, +0.5f,   -0.866f, 0,     +0.866f, 0};
    const float won = +0.577f;
    const float lost = -1.155f;
    const std::vector<float> episode = {won,  won, won, lost, lost, lost,
                                        lost, won, won, won,  won,  won};
    for (std::size_t row = 0; row < step.size(); ++row) {
        EXPECT_NEAR(credit.step_advantages[row], step[row], 5e-4) << row;
        EXPECT_NEAR(credit.episode_advantages[row], episode[row], 5e-4) << row;
        EXPECT_NEAR(credit.advantages[row], step[row] + episode[row], 1e-3) << row;
    }
}

}  // namespace
}  // namespace graphgpo
