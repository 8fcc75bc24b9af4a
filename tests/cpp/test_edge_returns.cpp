#include <gtest/gtest.h>

#include <stdexcept>

#include "batch_builder.hpp"
#include "graphgpo/discounted_returns.hpp"
#include "graphgpo/edge_returns.hpp"

namespace graphgpo {
namespace {

// 0 -> 1 -> 2 (GOAL), and 0 -> 0.
const TransitionGraph graph{.source = {0, 1, 0}, .target = {1, 2, 0}, .num_nodes = 3, .goal = 2};

Array<double> edge_returns(std::span<const double> costs, const Options& options) {
    const Distances distances = distances_to_goal(graph, costs);
    Array<double> returns(graph.source.size());
    write_edge_returns(graph, costs, distances, Powers(options.omega, distances.unreachable),
                       options, returns);
    return returns;
}

TEST(EdgeReturns, DecayWithTheDistanceThatIsLeft) {
    Options options = mug_options();
    options.success_reward = 8;
    EXPECT_EQ(edge_returns({}, options), (Array<double>{2, 4, 1}));
    options.exponent = Exponent::recipe;
    EXPECT_EQ(edge_returns({}, options), (Array<double>{4, 8, 2}));
    options.exponent = Exponent::progress;
    EXPECT_EQ(edge_returns({}, options), (Array<double>{8, 8, 4}));
}

TEST(EdgeReturns, CostsAreDistance) {
    const Array<double> costs = {2, 1, 0.5};
    EXPECT_EQ(edge_returns(costs, mug_options()),
              (Array<double>{0.125, 0.5, 0.5 * 0.5 * 0.5 * 0.70710678118654752}));
}

TEST(EdgeReturns, AreAnErrorWhereTheyOverflow) {
    Options options = mug_options();
    options.exponent = Exponent::recipe;
    options.omega = 1e-300;
    options.success_reward = 1e200;
    const Array<double> costs = {0.1, 0.1, 0.1};
    EXPECT_THROW((void)edge_returns(costs, options), std::invalid_argument);
}

TEST(RelativeEdgeReturns, GiveTheBestPeerOneAtAnyDistance) {
    for (const double far : {1.0, 1e3, 1e6}) {
        const Array<double> costs = {1, far, 1};
        const Distances distances = distances_to_goal(graph, costs);
        const Powers powers(mug_options().omega, distances.unreachable);
        EXPECT_EQ(relative_edge_returns(graph, costs, distances, powers),
                  (Array<double>{1, 1, 0.5}));
    }
}

TEST(DiscountedReturns, AreRewardsToGo) {
    BatchBuilder builder = mug_rollouts();
    Options options = mug_options();
    options.gamma = 0.5;
    options.success_reward = 8;
    const auto returns = [&] {
        const Batch batch = builder.view();
        const Groups groups = group_rows(batch);
        const Rollouts rollouts = arrange_rollouts(batch, groups.rows.row(0));
        Array<double> by_step(rollouts.num_steps());
        write_discounted_returns(batch, rollouts, options, by_step);
        return by_step;
    };
    EXPECT_EQ(returns(), (Array<double>{2, 4, 8, 0, 0, 0, 0, 0.5, 1, 2, 4, 8}));
    builder.rewards = {{1, 2, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0}};
    EXPECT_EQ(returns(), (Array<double>{3, 4, 4, 0.125, 0.25, 0.5, 1, 0, 0, 0, 0, 0}));
}

}  // namespace
}  // namespace graphgpo
