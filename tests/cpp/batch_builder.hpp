// Columns a test owns, viewed as a Batch.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graphgpo/batch_facts.hpp"
#include "graphgpo/columns.hpp"
#include "graphgpo/group.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/pipeline.hpp"
#include "plans.hpp"

namespace graphgpo {

// nullptr is a null key.
inline std::vector<Key> text_keys(const std::vector<const char*>& texts) {
    std::vector<Key> keys;
    for (const char* text : texts) {
        keys.push_back(text == nullptr ? Key() : Key::view(KeyKind::text, text));
    }
    return keys;
}

inline std::span<const Key> as_column(const std::vector<Key>& keys) { return keys; }

struct BatchBuilder {
    std::vector<const char*> states = {};
    std::optional<std::vector<const char*>> next_states = {};
    Array<std::int64_t> group_ids = {};  // empty: one group
    Array<std::int64_t> trajectory_ids = {};
    std::optional<Array<std::uint8_t>> success = {};
    std::optional<Array<std::int64_t>> step_ids = {};
    std::optional<Array<double>> rewards = {};
    std::optional<Array<double>> episode_returns = {};
    std::optional<Array<double>> edge_costs = {};
    std::optional<Array<std::uint8_t>> action_valid = {};
    std::optional<Array<std::uint8_t>> mask = {};
    std::optional<std::vector<const char*>> actions = {};
    std::optional<std::vector<const char*>> peer_keys = {};

    // Views this object: keep it alive and unchanged.
    [[nodiscard]] Batch view() {
        state_keys = text_keys(states);
        if (group_ids.empty()) group_ids.assign(states.size(), 0);
        Batch batch{.states = as_column(state_keys),
                    .group_ids = std::span<const std::int64_t>(group_ids),
                    .trajectory_ids = std::span<const std::int64_t>(trajectory_ids),
                    .success = success,
                    .step_ids = step_ids,
                    .rewards = rewards,
                    .episode_returns = episode_returns,
                    .edge_costs = edge_costs,
                    .action_valid = action_valid,
                    .mask = mask};
        if (next_states) {
            next_state_keys = text_keys(*next_states);
            batch.next_states = as_column(next_state_keys);
        }
        if (actions) {
            action_keys = text_keys(*actions);
            batch.actions = as_column(action_keys);
        }
        if (peer_keys) {
            peer_key_keys = text_keys(*peer_keys);
            batch.peer_keys = as_column(peer_key_keys);
        }
        return batch;
    }

    // What `view` needs beside the columns.
    std::vector<Key> state_keys = {};
    std::vector<Key> next_state_keys = {};
    std::vector<Key> action_keys = {};
    std::vector<Key> peer_key_keys = {};
};

// The first group of a batch, with all that it views.
class OneGroup {
  public:
    explicit OneGroup(BatchBuilder builder)
        : builder_(std::move(builder)),
          batch_(builder_.view()),
          groups_(group_rows(batch_)),
          group_(batch_, groups_.rows.row(0), facts_) {}
    OneGroup(const OneGroup&) = delete;
    OneGroup& operator=(const OneGroup&) = delete;

    [[nodiscard]] Group& operator*() noexcept { return group_; }
    [[nodiscard]] Group* operator->() noexcept { return &group_; }

  private:
    BatchBuilder builder_;
    Batch batch_;
    Groups groups_;
    BatchFacts facts_{.groups = 1, .groups_nobody_won = 1, .standings = {}};
    Group group_;
};

// By step.
inline Array<double> scores_of(const Score& score, Group& group) {
    Array<double> scores(group.num_steps());
    write_scores(score, group, scores);
    return scores;
}
inline Array<double> scores_of(const Score& score, BatchBuilder builder) {
    OneGroup group(std::move(builder));
    return scores_of(score, *group);
}

// Three rollouts of one task: the first and the third put the mug in the sink, the second gives up.
inline BatchBuilder mug_rollouts() {
    return {
        .states = {"hall", "kitchen", "kitchen, mug",     // t1
                   "hall", "bedroom", "hall", "kitchen",  // t2
                   "hall", "kitchen", "fridge open", "kitchen", "kitchen, mug"},
        .next_states = {{"kitchen", "kitchen, mug", "sink", "bedroom", "hall", "kitchen",
                         "fridge open", "kitchen", "fridge open", "kitchen", "kitchen, mug",
                         "sink"}},
        .trajectory_ids = {1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3},
        .success = {{1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1}},
    };
}

// omega 0.5 and success_reward 1, so returns are powers of one half.
inline PlanOptions mug_options() { return {.omega = 0.5, .success_reward = 1}; }

inline StepAdvantages credit_of(BatchBuilder builder, const Plan& plan,
                                std::size_t num_threads = 1) {
    return compute_advantages(builder.view(), plan, num_threads);
}

}  // namespace graphgpo
