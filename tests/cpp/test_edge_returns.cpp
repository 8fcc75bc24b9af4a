#include <gtest/gtest.h>

#include <stdexcept>

#include "batch_builder.hpp"
#include "graphgpo/discounted_returns.hpp"
#include "graphgpo/edge_returns.hpp"

namespace graphgpo {
namespace {

// 0 -> 1 -> 2 (GOAL), and 0 -> 0.
const TransitionGraph graph{.source = {0, 1, 0}, .target = {1, 2, 0}, .num_nodes = 3, .goal = 2};

TEST(EdgeReturns, DecayWithTheDistanceThatIsLeft) {
    Options options = mug_options();
    options.success_reward = 8;
    const Distances distances = distances_to_goal(graph, {});
    EXPECT_EQ(edge_returns(graph, {}, distances, options), (Array<double>{2, 4, 1}));
    options.exponent = Exponent::recipe;
    EXPECT_EQ(edge_returns(graph, {}, distances, options), (Array<double>{4, 8, 2}));
    options.exponent = Exponent::progress;
    EXPECT_EQ(edge_returns(graph, {}, distances, options), (Array<double>{8, 8, 4}));
}

TEST(EdgeReturns, CostsAreDistance) {
    const Array<double> costs = {2, 1, 0.5};
    const Distances distances = distances_to_goal(graph, costs);
    EXPECT_EQ(edge_returns(graph, costs, distances, mug_options()),
              (Array<double>{0.125, 0.5, 0.5 * 0.5 * 0.5 * 0.70710678118654752}));
}

TEST(EdgeReturns, AreAnErrorWhereTheyOverflow) {
    Options options = mug_options();
    options.exponent = Exponent::recipe;
    options.omega = 1e-300;
    options.success_reward = 1e200;
    const Array<double> costs = {0.1, 0.1, 0.1};
    EXPECT_THROW((void)edge_returns(graph, costs, distances_to_goal(graph, costs), options),
                 std::invalid_argument);
}

TEST(RelativeEdgeReturns, GiveTheBestPeerOneAtAnyDistance) {
    for (const double far : {1.0, 1e3, 1e6}) {
        const Array<double> costs = {1, far, 1};
        const Distances distances = distances_to_goal(graph, costs);
        const Csr peers = steps_by_source(graph);
        EXPECT_EQ(relative_edge_returns(graph, costs, distances, peers, mug_options()),
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
        return discounted_returns(batch, arrange_rollouts(batch, groups.rows.row(0)), options);
    };
    EXPECT_EQ(returns(), (Array<double>{2, 4, 8, 0, 0, 0, 0, 0.5, 1, 2, 4, 8}));
    builder.rewards = {{1, 2, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0}};
    EXPECT_EQ(returns(), (Array<double>{3, 4, 4, 0.125, 0.25, 0.5, 1, 0, 0, 0, 0, 0}));
}

}  // namespace
}  // namespace graphgpo
