#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include "batch_builder.hpp"

namespace graphgpo {
namespace {

// By step: its peers, itself among them.
std::vector<std::vector<StepId>> peers_by_step(const Peers& rule, BatchBuilder builder) {
    OneGroup group(std::move(builder));
    const Csr& found = group->peers(rule);
    std::vector<std::vector<StepId>> peers(group->num_steps());
    for (std::size_t row = 0; row < found.num_rows(); ++row) {
        const auto steps = found.row(id_of(row));
        for (const StepId step : steps) peers[index(step)] = {steps.begin(), steps.end()};
    }
    return peers;
}

using Steps = std::vector<StepId>;

// x y x, and y x z.
BatchBuilder two_rollouts() {
    return {.states = {"x", "y", "x", "y", "x", "z"},
            .trajectory_ids = {0, 0, 0, 1, 1, 1},
            .success = {{0, 0, 1, 0, 0, 0}},
            .actions = {{"go", "go", "go", "go", "stay", "go"}},
            .peer_keys = {{"p", "q", "p", "p", "r", "q"}}};
}

TEST(Peers, ShareAState) {
    const auto peers = peers_by_step(SameState{}, two_rollouts());
    EXPECT_EQ(peers[0], (Steps{0, 2, 4}));
    EXPECT_EQ(peers[5], Steps{5});
    EXPECT_EQ(peers, peers_by_step(LastStates{1}, two_rollouts()));
}

TEST(Peers, ShareTheLastStates) {
    const auto peers = peers_by_step(LastStates{2}, two_rollouts());
    EXPECT_EQ(peers[0], Steps{});  // nothing before it
    EXPECT_EQ(peers[2], (Steps{2, 4}));
    EXPECT_EQ(peers[5], Steps{5});
    EXPECT_EQ(peers_by_step(LastStates{4}, two_rollouts()), std::vector<Steps>(6));
}

TEST(Peers, ShareTheTaskATurnOrAKey) {
    EXPECT_EQ(peers_by_step(Task{}, two_rollouts())[3], (Steps{0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(peers_by_step(Turn{}, two_rollouts())[4], (Steps{1, 4}));
    EXPECT_EQ(peers_by_step(PeerKeys{}, two_rollouts())[0], (Steps{0, 2, 3}));
}

TEST(Peers, ShareATransition) {
    BatchBuilder builder = two_rollouts();
    builder.states = {"x", "y", "z", "x", "y", "z"};
    builder.success = {{0, 0, 1, 0, 0, 1}};
    builder.actions = {{"go", "go", "go", "go", "go", "stay"}};
    EXPECT_EQ(peers_by_step(SameTransition{0}, builder)[1], (Steps{1, 4}));
    EXPECT_EQ(peers_by_step(SameTransition{0}, builder)[2], Steps{2});
    EXPECT_EQ(peers_by_step(SameTransition{2}, builder)[0], (Steps{0, 3}));
    builder.actions = {{"run", "go", "go", "go", "go", "go"}};
    EXPECT_EQ(peers_by_step(SameTransition{0}, builder)[1], (Steps{1, 4}));
    EXPECT_EQ(peers_by_step(SameTransition{1}, builder)[1], Steps{1});
    EXPECT_EQ(peers_by_step(SameTransition{1}, builder)[2], (Steps{2, 5}));
}

TEST(Peers, NeedEveryKey) {
    BatchBuilder builder = two_rollouts();
    builder.peer_keys->at(3) = nullptr;
    builder.actions->at(4) = nullptr;
    const auto error_of = [&](const Peers& rule) {
        try {
            (void)peers_by_step(rule, builder);
        } catch (const std::invalid_argument& error) {
            return std::string(error.what());
        }
        return std::string("no error");
    };
    EXPECT_EQ(error_of(PeerKeys{}), "peer_keys[3] is null; expected a value");
    EXPECT_EQ(error_of(SameTransition{0}), "actions[4] is null; expected a value");
}

TEST(Peers, OfTheWholeBatchAreNoGroups) {
    EXPECT_THROW((void)peers_by_step(WholeBatch{}, two_rollouts()), std::logic_error);
}

}  // namespace
}  // namespace graphgpo
