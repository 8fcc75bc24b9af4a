#include <gtest/gtest.h>

#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "batch_builder.hpp"
#include "graphgpo/metrics.hpp"

namespace graphgpo {
namespace {

TEST(Moments, AreThoseOfTheWholeHoweverItIsCut) {
    const std::vector<float> values = {1, 2, 4, 8, -3, 0.5, 7};
    const Moments whole = Moments::of(values);
    EXPECT_EQ(whole.count, 7);
    EXPECT_NEAR(whole.mean, 19.5 / 7, 1e-12);
    EXPECT_EQ(whole.smallest, -3);
    EXPECT_EQ(whole.largest, 8);
    for (std::size_t cut = 0; cut <= values.size(); ++cut) {
        Moments parts = Moments::of(std::span(values).first(cut));
        parts.append(Moments::of(std::span(values).subspan(cut)));
        EXPECT_EQ(parts.count, whole.count);
        EXPECT_NEAR(parts.mean, whole.mean, 1e-12);
        EXPECT_NEAR(parts.squares, whole.squares, 1e-12);
        EXPECT_EQ(parts.smallest, whole.smallest);
        EXPECT_EQ(parts.largest, whole.largest);
    }
}

TEST(Metrics, AShareOfNothingIsZero) {
    for (const auto& [name, value] : metrics_of(GraphTally{}, CreditTally{}, 0))
        EXPECT_EQ(value, 0) << name;
}

double metric(const BatchBuilder& builder, std::string_view name, const Plan& plan = grpo_plan()) {
    for (const auto& [key, value] : credit_of(builder, plan).metrics) {
        if (key == "graphgpo/" + std::string(name)) return value;
    }
    ADD_FAILURE() << "no metric " << name;
    return 0;
}

TEST(Metrics, SayWhereStatesRecur) {
    // a at one position, b at two, c alone.
    const BatchBuilder builder{.states = {"a", "b", "b", "a", "c", "b"},
                               .group_ids = {0, 0, 0, 0, 0, 0},
                               .trajectory_ids = {0, 0, 0, 1, 1, 1},
                               .success = {{1, 1, 1, 0, 0, 0}}};
    EXPECT_EQ(metric(builder, "revisited_positions"), 1. / 2);
    EXPECT_EQ(metric(builder, "lone_state_share"), 1. / 3);
    EXPECT_EQ(metric(builder, "ambiguous_actions"), 0);
    EXPECT_EQ(metric(builder, "merge_conflicts"), 0);
}

TEST(Metrics, CountOutcomesOfGroups) {
    // One solved, one mixed, one lost, one of which nobody knows.
    const BatchBuilder builder{.states = {"a", "b", "a", "b", "a", "a", "a"},
                               .group_ids = {0, 0, 1, 1, 2, 2, 3},
                               .trajectory_ids = {0, 1, 0, 1, 0, 1, 0},
                               .success = {{1, 1, 1, 0, 0, 0, no_verdict}}};
    EXPECT_EQ(metric(builder, "success_rate"), 3. / 6);
    EXPECT_EQ(metric(builder, "groups_solved"), 1);
    EXPECT_EQ(metric(builder, "groups_mixed"), 1);
    EXPECT_EQ(metric(builder, "groups_without_success"), 2);
    EXPECT_EQ(metric(builder, "equal_outcome_groups"), 2);
    EXPECT_EQ(metric(builder, "rollouts_without_verdict"), 1);
    EXPECT_EQ(metric(builder, "mean_return"), 3. / 6);
    EXPECT_EQ(metric(builder, "group_size_min"), 1);
    EXPECT_EQ(metric(builder, "group_size_mean"), 7. / 4);
    EXPECT_EQ(metric(builder, "group_size_max"), 2);
    EXPECT_EQ(metric(builder, "distinct_starts"), 6. / 4);
}

TEST(Metrics, CountFailuresThatEndAtAStart) {
    BatchBuilder builder{.states = {"a", "b", "a"},
                         .next_states = {{"b", "a", "c"}},
                         .trajectory_ids = {0, 0, 1},
                         .success = {{0, 0, 0}}};
    EXPECT_EQ(metric(builder, "ends_at_a_start"), 1);
    builder.success = {{0, 1, 0}};
    EXPECT_EQ(metric(builder, "ends_at_a_start"), 0);
}

TEST(Metrics, CountMaskedRowsInsideTrajectories) {
    BatchBuilder builder{.states = {"a", "b", "c", "d"},
                         .trajectory_ids = {0, 0, 0, 0},
                         .success = {{0, 0, 0, 0}},
                         .mask = {{1, 0, 0, 1}}};
    EXPECT_EQ(metric(builder, "masked_inside"), 2);
    builder.step_ids = {{0, 1, 2, 1}};
    EXPECT_EQ(metric(builder, "masked_inside"), 0);
    builder.step_ids.reset();
    builder.mask = {{1, 1, 0, 0}};
    EXPECT_EQ(metric(builder, "masked_inside"), 0);
}

TEST(Metrics, WithoutStepTermsCreditIsThatOfEpisodes) {
    const BatchBuilder builder{.states = {"a", "a"}, .trajectory_ids = {0, 1}, .success = {{1, 0}}};
    EXPECT_EQ(metric(builder, "zero_advantage_share"), 0);
    EXPECT_EQ(metric(builder, "inert"), 0);
    Plan plan = grpo_plan();
    plan.terms.front().weight = 1e-7;
    EXPECT_EQ(metric(builder, "inert", plan), 1);
}

}  // namespace
}  // namespace graphgpo
