#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "graphgpo/graph_memory.hpp"

namespace graphgpo {
namespace {

constexpr std::int64_t goal_key = -1;  // of these tests

void see(TaskMemory& task, std::int64_t source, std::int64_t target, std::int64_t now) {
    const TaskMemory::NodeId from = task.state(source);
    task.see(from, target == goal_key ? TaskMemory::goal : task.state(target), now);
}

// By relaxing every edge until nothing changes.
std::vector<std::int32_t> distances(const std::set<std::pair<std::int64_t, std::int64_t>>& edges,
                                    std::size_t num_states) {
    std::vector<std::int32_t> found(num_states, none);
    for (bool changes = true; changes;) {
        changes = false;
        for (const auto& [source, target] : edges) {
            const std::int32_t after = target == goal_key ? 0 : found[index(target)];
            std::int32_t& known = found[index(source)];
            if (after == none || (known != none && known <= after + 1)) continue;
            known = after + 1;
            changes = true;
        }
    }
    return found;
}

TEST(TaskMemory, HasTheDistancesOfAllItsEdgesWhateverOrderTheyCameIn) {
    constexpr std::size_t num_states = 12;
    std::mt19937 random(0);
    for (int round = 0; round < 50; ++round) {
        TaskMemory task;
        std::set<std::pair<std::int64_t, std::int64_t>> edges;
        for (std::int64_t now = 1; now <= 20; ++now) {
            const auto source = static_cast<std::int64_t>(random() % num_states);
            const auto target = static_cast<std::int64_t>(random() % (num_states + 1)) - 1;
            edges.emplace(source, target);
            see(task, source, target, now);
            if (random() % 2 == 0) continue;  // several are settled at once
            task.settle();
            const auto expected = distances(edges, num_states);
            std::int32_t largest = 0;
            for (std::size_t state = 0; state < num_states; ++state) {
                const auto key = static_cast<std::int64_t>(state);
                EXPECT_EQ(task.distance(task.state(key)), expected[state]);
                largest = std::max(largest, expected[state]);
            }
            EXPECT_EQ(task.largest_distance(), largest);
            EXPECT_EQ(task.knows_goal(), largest > 0);
            EXPECT_EQ(task.num_edges(), edges.size());
        }
    }
}

TEST(TaskMemory, ForgetsWhatWasSeenLongAgoAndWaysLast) {
    TaskMemory task;
    see(task, 0, 1, 1);
    see(task, 1, goal_key, 1);
    for (std::int64_t i = 2; i < 20; ++i) see(task, 0, i, i);
    task.settle();
    task.shrink(8);
    EXPECT_EQ(task.num_states(), 7U);
    EXPECT_EQ(task.distance(task.state(0)), 2);
    EXPECT_EQ(task.num_states(), 7U);  // 0 was known
    std::vector<RememberedEdge> edges;
    task.append_to(edges, 5);
    std::set<std::int64_t> targets;
    for (const RememberedEdge& edge : edges) targets.insert(edge.is_goal ? goal_key : edge.target);
    EXPECT_EQ(targets, (std::set<std::int64_t>{goal_key, 1, 15, 16, 17, 18, 19}));
}

TEST(TaskMemory, ForgetsByAge) {
    TaskMemory task;
    see(task, 0, 1, 1);
    see(task, 1, goal_key, 5);
    task.settle();
    task.forget_before(1);
    EXPECT_EQ(task.num_edges(), 2U);
    task.forget_before(5);
    EXPECT_EQ(task.num_edges(), 1U);
    EXPECT_EQ(task.distance(task.state(0)), none);
    EXPECT_EQ(task.distance(task.state(1)), 1);
}

TEST(GraphMemory, KeepsTheLaterOfTwoTimes) {
    GraphMemory memory(10, std::nullopt);
    const RememberedEdge edge{.task = 1, .source = 2, .target = 0, .is_goal = true, .last_seen = 3};
    RememberedEdge earlier = edge;
    earlier.last_seen = 2;
    memory.add(std::array{edge}, 3);
    memory.add(std::array{earlier}, 2);
    EXPECT_EQ(memory.edges(), std::vector{edge});
    EXPECT_EQ(memory.num_batches(), 3);
    EXPECT_TRUE(memory.forget(1));
    EXPECT_FALSE(memory.forget(1));
}

}  // namespace
}  // namespace graphgpo
