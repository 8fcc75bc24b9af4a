#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <stdexcept>

#include "graphgpo/distances.hpp"
#include "graphgpo/memory.hpp"

namespace graphgpo {
namespace {

TransitionGraph graph_of(Array<StateId> source, Array<StateId> target, std::size_t num_nodes,
                         StateId goal) {
    return {.source = std::move(source),
            .target = std::move(target),
            .num_nodes = num_nodes,
            .goal = goal};
}

TEST(Distances, CountStepsToTheGoal) {
    // 0 -> 1 -> 2 (GOAL), and 3 -> 0 the long way round.
    const auto graph = graph_of({0, 1, 3}, {1, 2, 0}, 4, 2);
    EXPECT_EQ(distances_to_goal(graph, {}).to_goal, (Array<double>{2, 1, 0, 3}));
}

TEST(Distances, WhatNeverReachesTheGoalIsOneFurtherThanTheFurthest) {
    const auto graph = graph_of({0, 1, 3}, {1, 2, 4}, 5, 2);
    const Distances distances = distances_to_goal(graph, {});
    EXPECT_EQ(distances.to_goal, (Array<double>{2, 1, 0, 3, 3}));
    for (std::size_t node = 0; node < 5; ++node) {
        EXPECT_EQ(distances.is_finite(distances.to_goal[node]), node < 3) << node;
    }
}

TEST(Distances, WithoutAGoalEverythingIsOneAway) {
    const auto graph = graph_of({0, 1}, {1, 0}, 2, none);
    EXPECT_EQ(distances_to_goal(graph, {}).to_goal, (Array<double>{1, 1}));
    EXPECT_EQ(distances_to_goal(graph, Array<double>{2, 5}).to_goal, (Array<double>{5, 5}));
}

TEST(Distances, TheCheapestOfParallelEdgesCounts) {
    const auto graph = graph_of({0, 0, 0}, {1, 1, 1}, 2, 1);
    EXPECT_EQ(distances_to_goal(graph, Array<double>{3, 0.5, 2}).to_goal, (Array<double>{0.5, 0}));
}

TEST(Distances, ADetourMayBeCheaper) {
    const auto graph = graph_of({0, 0, 1}, {2, 1, 2}, 3, 2);
    EXPECT_EQ(distances_to_goal(graph, Array<double>{5, 1, 1}).to_goal, (Array<double>{2, 1, 0}));
}

TEST(Distances, UnreachableIsNeverBetterThanAnEdgeThatReaches) {
    const auto graph = graph_of({0, 1}, {2, 1}, 3, 2);
    EXPECT_EQ(distances_to_goal(graph, Array<double>{0.25, 8}).to_goal,
              (Array<double>{0.25, 8.25, 0}));
}

TEST(Distances, CostsBeyondADoubleAreAnError) {
    const double huge = std::numeric_limits<double>::max();
    const auto graph = graph_of({0, 1}, {1, 2}, 3, 2);
    EXPECT_THROW((void)distances_to_goal(graph, Array<double>{huge, huge}), std::invalid_argument);
}

// The shortest path by relaxing every edge as often as there are nodes (Bellman-Ford).
Array<double> relaxed(const TransitionGraph& graph, const Array<double>& costs) {
    const double infinity = std::numeric_limits<double>::infinity();
    Array<double> distance(graph.num_nodes, infinity);
    distance[index(graph.goal)] = 0;
    for (std::size_t round = 0; round < graph.num_nodes; ++round) {
        for (std::size_t edge = 0; edge < graph.source.size(); ++edge) {
            double& source = distance[index(graph.source[edge])];
            source = std::min(source, distance[index(graph.target[edge])] + costs[edge]);
        }
    }
    return distance;
}

TEST(Distances, AgreeWithRelaxationOnRandomGraphs) {
    std::mt19937_64 random(3);
    for (int trial = 0; trial < 300; ++trial) {
        const std::size_t nodes = 1 + random() % 30;
        const bool unit = trial % 2 == 0;
        TransitionGraph graph = graph_of({}, {}, nodes, id_of(random() % nodes));
        Array<double> costs;
        for (std::size_t edge = random() % 60; edge > 0; --edge) {
            graph.source.push_back(id_of(random() % nodes));
            graph.target.push_back(id_of(random() % nodes));
            costs.push_back(unit ? 1 : 0.1 * static_cast<double>(1 + random() % 9));
        }
        const Array<double> expected = relaxed(graph, costs);
        const Distances found = distances_to_goal(graph, costs);
        for (std::size_t node = 0; node < nodes; ++node) {
            const bool is_reached = expected[node] < std::numeric_limits<double>::infinity();
            ASSERT_EQ(found.is_finite(found.to_goal[node]), is_reached);
            ASSERT_EQ(found.to_goal[node], is_reached ? expected[node] : found.unreachable);
        }
        for (std::size_t edge = 0; edge < costs.size(); ++edge) {
            ASSERT_LE(found[graph.source[edge]], found[graph.target[edge]] + costs[edge]);
        }
    }
}

TEST(Distances, AChainOfAMillionStatesIsLinear) {
    const std::size_t length = 1000000;
    TransitionGraph graph = graph_of({}, {}, length + 1, id_of(length));
    for (std::size_t node = 0; node < length; ++node) {
        graph.source.push_back(id_of(node));
        graph.target.push_back(id_of(node + 1));
    }
    EXPECT_EQ(distances_to_goal(graph, {}).to_goal[0], static_cast<double>(length));
}

}  // namespace
}  // namespace graphgpo
