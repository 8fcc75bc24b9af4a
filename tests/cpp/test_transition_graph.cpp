#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <span>
#include <vector>

#include "batch_builder.hpp"
#include "graphgpo/transition_graph.hpp"

namespace graphgpo {
namespace {

TransitionGraph merge(BatchBuilder builder) {
    const Batch batch = builder.view();
    const Groups groups = group_rows(batch);
    return merge_states(batch, arrange_rollouts(batch, groups.rows.row(0)));
}

BatchBuilder one_trajectory(std::vector<const char*> states, bool success) {
    BatchBuilder builder = mug_rollouts();
    const std::size_t size = states.size();
    builder.states = std::move(states);
    builder.next_states.reset();
    builder.trajectory_ids.assign(size, 0);
    builder.success.emplace(size, 0);
    builder.success->back() = success ? 1 : 0;
    return builder;
}

TEST(TransitionGraph, MergesEqualStatesAndKeepsRepeatedEdges) {
    const TransitionGraph graph = merge(mug_rollouts());
    EXPECT_EQ(graph.num_nodes, 6u);
    EXPECT_EQ(graph.goal, 3);
    EXPECT_EQ(graph.source, (Array<StateId>{0, 1, 2, 0, 4, 0, 1, 0, 1, 5, 1, 2}));
    EXPECT_EQ(graph.target, (Array<StateId>{1, 2, 3, 4, 0, 1, 5, 1, 5, 1, 2, 3}));
    EXPECT_EQ(graph.broken_links, 0);
}

TEST(TransitionGraph, NumberedStatesMakeTheGraphOfTheirKeys) {
    BatchBuilder builder = one_trajectory({"a", "b", "a", "c"}, false);
    builder.next_states = {{"b", "d", "c", nullptr}};  // the second link is broken
    builder.trajectory_ids = {0, 0, 0, 1};
    const TransitionGraph expected = merge(builder);

    Batch batch = builder.view();
    const std::vector<std::int32_t> states = {0, 2, 0, 3};
    const std::vector<std::int32_t> next_states = {2, 1, 3, none};
    batch.states = NumberedKeys{states};
    batch.next_states = NumberedKeys{next_states};
    const Groups groups = group_rows(batch);
    const Rollouts rollouts = arrange_rollouts(builder.view(), groups.rows.row(0));
    const TransitionGraph graph = merge_states(batch, rollouts);
    EXPECT_EQ(graph.source, expected.source);
    EXPECT_EQ(graph.target, expected.target);
    EXPECT_EQ(graph.num_nodes, expected.num_nodes);
    EXPECT_EQ(graph.broken_links, 1);
}

// Walks over `num_states` integers, one in three of whose links is broken.
struct IntegerWalks {
    explicit IntegerWalks(std::size_t rows, std::int64_t num_states) {
        std::mt19937_64 random(rows);
        for (std::size_t row = 0; row < rows; ++row) {
            // Multiples of 2^40 and their negatives: a table by the low bits would meet them in one
            // slot.
            states.push_back(static_cast<std::int64_t>(random() % index(num_states)) *
                             (row % 2 == 0 ? 1 : -1) * (std::int64_t{1} << 40));
            trajectory_ids.push_back(static_cast<std::int64_t>(row / 10));
        }
        next_states = {states.begin() + 1, states.end()};
        next_states.push_back(7);
        for (std::size_t row = 0; row < rows; row += 3) next_states[row] += 1;
        for (const auto& column : {states, next_states}) {
            for (const std::int64_t state : column) keys.push_back(Key::integer(state));
        }
        group_ids.assign(rows, 0);
    }

    [[nodiscard]] Batch batch() const {
        return {.states = std::span(states),
                .next_states = std::span(next_states),
                .group_ids = std::span(group_ids),
                .trajectory_ids = std::span(trajectory_ids)};
    }
    [[nodiscard]] Batch batch_of_keys() const {
        Batch batch = this->batch();
        batch.states = std::span(keys).first(states.size());
        batch.next_states = std::span(keys).subspan(states.size());
        return batch;
    }

    std::vector<std::int64_t> states;
    std::vector<std::int64_t> next_states;
    std::vector<std::int64_t> group_ids;
    std::vector<std::int64_t> trajectory_ids;
    std::vector<Key> keys;
};

void expect_equal_graphs(const Batch& batch, const Batch& expected_batch) {
    const Groups groups = group_rows(batch);
    const Rollouts rollouts = arrange_rollouts(batch, groups.rows.row(0));
    const TransitionGraph graph = merge_states(batch, rollouts);
    const TransitionGraph expected = merge_states(expected_batch, rollouts);
    EXPECT_EQ(graph.source, expected.source);
    EXPECT_EQ(graph.target, expected.target);
    EXPECT_EQ(graph.num_nodes, expected.num_nodes);
    EXPECT_EQ(graph.broken_links, expected.broken_links);
}

// Two steps of one trajectory, more states than steps (the table grows), and a table beyond the
// cache.
TEST(TransitionGraph, IntegersMakeTheGraphOfTheirKeys) {
    for (const std::size_t rows : {2U, 9U, 500U, 70'000U}) {
        for (const std::int64_t num_states : {3, 1'000'000}) {
            const IntegerWalks walks(rows, num_states);
            Batch batch = walks.batch();
            Batch of_keys = walks.batch_of_keys();
            expect_equal_graphs(batch, of_keys);
            batch.next_states = of_keys.next_states = std::nullopt;
            expect_equal_graphs(batch, of_keys);
        }
    }
}

// Leaves take the places of states that are never looked for.
TEST(TransitionGraph, ManyLeavesMakeTheTableOfIntegersGrow) {
    IntegerWalks walks(64, 1'000'000);
    for (std::size_t row = 0; row < walks.states.size(); ++row) {
        walks.trajectory_ids[row] = static_cast<std::int64_t>(row);
    }
    Batch batch = walks.batch();
    Batch of_keys = walks.batch_of_keys();
    batch.next_states = of_keys.next_states = std::nullopt;
    expect_equal_graphs(batch, of_keys);
}

TEST(TransitionGraph, ASuccessLeadsToGoalWhateverItsNextStateSays) {
    BatchBuilder builder = one_trajectory({"a", "b"}, true);
    builder.next_states = {{"b", "a"}};
    EXPECT_EQ(merge(builder).target, (Array<StateId>{1, 2}));
    builder.next_states = {{"b", nullptr}};
    EXPECT_EQ(merge(builder).target, (Array<StateId>{1, 2}));
}

TEST(TransitionGraph, NoUserStateIsTheGoal) {
    const TransitionGraph graph = merge(one_trajectory({"success", "GOAL", ""}, true));
    EXPECT_EQ(graph.num_nodes, 4u);
    EXPECT_EQ(graph.goal, 3);
}

TEST(TransitionGraph, AFailureWithoutNextStateEndsInALeafOfItsOwn) {
    BatchBuilder builder = one_trajectory({"a", "a"}, false);
    builder.trajectory_ids = {0, 1};
    const TransitionGraph graph = merge(builder);
    EXPECT_EQ(graph.source, (Array<StateId>{0, 0}));
    EXPECT_EQ(graph.target, (Array<StateId>{1, 2}));
    EXPECT_FALSE(graph.has_goal());
}

TEST(TransitionGraph, AFailureWithANextStateMayEndOnAnotherPath) {
    BatchBuilder builder = one_trajectory({"a", "b", "c"}, true);
    builder.trajectory_ids = {0, 0, 1};
    builder.success = {{0, 1, 0}};
    builder.next_states = {{"b", "won", "b"}};
    EXPECT_EQ(merge(builder).target, (Array<StateId>{1, 2, 1}));
}

TEST(TransitionGraph, ANextStateThatIsNotTheFollowingStateIsABrokenLink) {
    BatchBuilder builder = one_trajectory({"a", "b"}, false);
    builder.next_states = {{"x", "c"}};
    const TransitionGraph graph = merge(builder);
    EXPECT_EQ(graph.broken_links, 1);
    EXPECT_EQ(graph.target, (Array<StateId>{1, 3}));  // the data is believed, and counted
    EXPECT_EQ(graph.source, (Array<StateId>{0, 2}));
}

TEST(TransitionGraph, ASelfLoopIsOneNode) {
    const TransitionGraph graph = merge(one_trajectory({"a", "a", "a"}, true));
    EXPECT_EQ(graph.source, (Array<StateId>{0, 0, 0}));
    EXPECT_EQ(graph.target, (Array<StateId>{0, 0, 1}));
}

}  // namespace
}  // namespace graphgpo
