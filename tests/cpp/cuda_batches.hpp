// Batches of integer states for the device pipeline, and the core's word on them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cuda/pipeline.hpp"
#include "graphgpo/pipeline.hpp"

namespace graphgpo {

// Columns of integer states a test owns, seen by the core and by the device.
struct Rows {
    std::vector<std::int64_t> states;
    std::optional<std::vector<std::int64_t>> next_states = {};
    std::optional<std::vector<std::uint8_t>> next_state_known = {};
    std::vector<std::int64_t> group_ids;
    std::vector<std::int64_t> trajectory_ids;
    std::optional<std::vector<std::uint8_t>> success = {};
    std::optional<std::vector<std::int64_t>> step_ids = {};
    std::optional<std::vector<double>> rewards = {};
    std::optional<std::vector<double>> episode_returns = {};
    std::optional<std::vector<double>> edge_costs = {};
    std::optional<std::vector<std::uint8_t>> action_valid = {};
    std::optional<std::vector<std::uint8_t>> mask = {};

    // Views this object: keep it alive and unchanged.
    [[nodiscard]] Batch on_host() {
        Batch batch{.states = std::span<const std::int64_t>(states),
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
            next_keys.clear();
            for (std::size_t row = 0; row < next_states->size(); ++row) {
                const bool is_known = !next_state_known || (*next_state_known)[row] != 0;
                next_keys.push_back(is_known ? Key::integer((*next_states)[row]) : Key());
            }
            batch.next_states = std::span<const Key>(next_keys);
        }
        return batch;
    }

    [[nodiscard]] cuda::DeviceBatch on_device() const {
        using cuda::ElementType;
        const auto column = [](const auto& values, ElementType type) -> cuda::Column {
            return {.data = values.data(), .type = type};
        };
        const auto optional = [&](const auto& values, ElementType type) -> cuda::Column {
            return values ? column(*values, type) : cuda::Column{};
        };
        return {.num_rows = std::ssize(states),
                .state_keys = column(states, ElementType::int64),
                .next_state_keys = optional(next_states, ElementType::int64),
                .next_state_known = optional(next_state_known, ElementType::boolean),
                .group_ids = column(group_ids, ElementType::int64),
                .trajectory_ids = column(trajectory_ids, ElementType::int64),
                .success = optional(success, ElementType::boolean),
                .step_ids = optional(step_ids, ElementType::int64),
                .rewards = optional(rewards, ElementType::float64),
                .episode_returns = optional(episode_returns, ElementType::float64),
                .edge_costs = optional(edge_costs, ElementType::float64),
                .action_valid = optional(action_valid, ElementType::boolean),
                .mask = optional(mask, ElementType::boolean)};
    }

    std::vector<Key> next_keys = {};
};

struct DeviceRun {
    StepAdvantages credit;
    cuda::RunReport report;
};

[[nodiscard]] inline std::size_t size_of(cuda::ElementType type) {
    using enum cuda::ElementType;
    switch (type) {
        case boolean:
        case int8:
        case uint8:
            return 1;
        case int16:
        case uint16:
        case float16:
        case bfloat16:
            return 2;
        case int32:
        case uint32:
        case float32:
            return 4;
        default:
            return 8;
    }
}

// Device memory for as long as a test needs it.
class DeviceMemory {
  public:
    DeviceMemory() = default;
    ~DeviceMemory() {
        for (void* memory : held_) cuda::release(memory, {});
    }
    DeviceMemory(const DeviceMemory&) = delete;
    DeviceMemory& operator=(const DeviceMemory&) = delete;

    [[nodiscard]] void* copy(const void* values, std::size_t bytes) {
        held_.push_back(cuda::allocate(bytes, {}));
        if (bytes > 0) cuda::copy_to_device(held_.back(), values, bytes, {});
        return held_.back();
    }
    template <typename T>
    [[nodiscard]] T* copy(const std::vector<T>& values) {
        return static_cast<T*>(copy(values.data(), values.size() * sizeof(T)));
    }

  private:
    std::vector<void*> held_;
};

// `batch` views host memory.
inline DeviceRun run_on_device(cuda::DeviceBatch batch, const Options& options) {
    const auto rows = static_cast<std::size_t>(batch.num_rows);
    DeviceMemory memory;
    for (cuda::Column cuda::DeviceBatch::* name :
         {&cuda::DeviceBatch::state_keys, &cuda::DeviceBatch::next_state_keys,
          &cuda::DeviceBatch::next_state_known, &cuda::DeviceBatch::group_ids,
          &cuda::DeviceBatch::trajectory_ids, &cuda::DeviceBatch::success,
          &cuda::DeviceBatch::step_ids, &cuda::DeviceBatch::rewards,
          &cuda::DeviceBatch::episode_returns, &cuda::DeviceBatch::edge_costs,
          &cuda::DeviceBatch::action_valid, &cuda::DeviceBatch::mask}) {
        cuda::Column& column = batch.*name;
        const auto stride = static_cast<std::size_t>(column.stride);
        if (column.is_given() && rows > 0) {
            column.data = memory.copy(column.data, rows * stride * size_of(column.type));
        }
    }
    // Whatever is not written shows.
    const std::vector<float> singles(rows, 99);
    const std::vector<double> doubles(rows, 99);
    const std::vector<std::int64_t> ids(rows, 99);
    const cuda::DeviceAdvantages results{.advantages = memory.copy(singles),
                                         .step_advantages = memory.copy(singles),
                                         .episode_advantages = memory.copy(singles),
                                         .edge_returns = memory.copy(doubles),
                                         .distances = memory.copy(doubles),
                                         .next_distances = memory.copy(doubles),
                                         .state_ids = memory.copy(ids),
                                         .next_state_ids = memory.copy(ids)};
    DeviceRun run;
    run.report = cuda::compute_advantages(batch, options, results, {});
    const auto to_host = [&]<typename T>(const T* values) {
        std::vector<T> copy(rows);
        if (rows > 0) cuda::copy_to_host(copy.data(), values, rows * sizeof(T), {});
        return copy;
    };
    run.credit = {.advantages = to_host(results.advantages),
                  .step_advantages = to_host(results.step_advantages),
                  .episode_advantages = to_host(results.episode_advantages),
                  .edge_returns = to_host(results.edge_returns),
                  .distances = to_host(results.distances),
                  .next_distances = to_host(results.next_distances),
                  .state_ids = to_host(results.state_ids),
                  .next_state_ids = to_host(results.next_state_ids),
                  .metrics = run.report.metrics};
    return run;
}

// On the CPU the device's arithmetic is the core's, in the same order, and floats agree to the bit.
// A GPU's `pow` is another.
#ifdef GRAPHGPO_TEST_GPU
inline constexpr double tolerance = 1e-6;
#else
inline constexpr double tolerance = 0;
#endif

template <typename T>
void expect_column(const std::vector<T>& values, const std::vector<T>& expected,
                   const char* column) {
    ASSERT_EQ(values.size(), expected.size());
    for (std::size_t row = 0; row < values.size(); ++row) {
        if (values[row] == expected[row]) continue;
        if (values[row] != values[row] && expected[row] != expected[row]) continue;
        const auto difference = std::abs(static_cast<double>(values[row] - expected[row]));
        const auto size = std::max(1.0, std::abs(static_cast<double>(expected[row])));
        ASSERT_TRUE(!std::is_integral_v<T> && difference <= tolerance * size)
            << column << "[" << row << "]: " << values[row] << " against " << expected[row];
    }
}

inline void expect_same(const StepAdvantages& credit, const StepAdvantages& expected) {
    expect_column(credit.state_ids, expected.state_ids, "state_ids");
    expect_column(credit.next_state_ids, expected.next_state_ids, "next_state_ids");
    expect_column(credit.distances, expected.distances, "distances");
    expect_column(credit.next_distances, expected.next_distances, "next_distances");
    expect_column(credit.edge_returns, expected.edge_returns, "edge_returns");
    expect_column(credit.step_advantages, expected.step_advantages, "step_advantages");
    expect_column(credit.episode_advantages, expected.episode_advantages, "episode_advantages");
    expect_column(credit.advantages, expected.advantages, "advantages");
    for (std::size_t i = 0; i < expected.metrics.size(); ++i) {
        const auto& [name, value] = expected.metrics[i];
        // Sums are added in another order than the core's.
        EXPECT_NEAR(credit.metrics[i].second, value, 1e-6 * std::max(1.0, std::abs(value))) << name;
    }
}

inline Options options_of(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    const auto pick = [&](auto... choices) {
        const std::array values{choices...};
        return values[random() % values.size()];
    };
    return {.estimator =
                pick(Estimator::graphgpo, Estimator::graphgpo, Estimator::gigpo, Estimator::grpo),
            .omega = pick(0.1, 0.5, 0.9),
            .success_reward = pick(1.0, 10.0),
            .exponent = pick(Exponent::paper, Exponent::recipe, Exponent::progress),
            .normalization = pick(Normalization::mean_std, Normalization::mean),
            .epsilon = 1e-6,
            .epsilon_scale = pick(EpsilonScale::relative, EpsilonScale::absolute),
            .step_weight = pick(1.0, 0.5),
            .episode_weight = pick(1.0, 0.0),
            .episode_weighting = pick(EpisodeWeighting::trajectory, EpisodeWeighting::step),
            .invalid_action_penalty = pick(0.0, 0.1),
            .gamma = 0.95,
            .num_threads = 1};
}

// Random walks over few states: every branch often. Rows come in any order where step ids are
// given, some of them twice, some masked.
inline Rows random_rows(std::uint64_t seed, std::int64_t num_groups) {
    std::mt19937_64 random(seed);
    const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random() % n); };
    const auto chance = [&](std::uint64_t percent) { return random() % 100 < percent; };
    struct Row {
        std::int64_t state, next_state, group, trajectory, step;
        bool known, success, valid, kept;
        double reward, episode_return, cost;
    };
    std::vector<Row> rows;
    const bool has_step_ids = chance(70);
    const std::int64_t num_states = 1 + below(12);
    const std::int64_t success_percent = below(101);
    for (std::int64_t g = 0; g < num_groups; ++g) {
        const std::int64_t trajectories = 1 + below(6);
        for (std::int64_t t = 0; t < trajectories; ++t) {
            const std::int64_t length = 1 + below(9);
            const bool succeeds = chance(static_cast<std::uint64_t>(success_percent));
            const bool is_flagged_throughout = chance(50);
            const auto episode_return = static_cast<double>(below(3));
            const std::int64_t first_step = below(7) - 3;
            const std::int64_t group_id = (g * 7919 + 13) % 101 - 50;
            std::int64_t state = below(static_cast<std::uint64_t>(num_states)) - 3;
            for (std::int64_t i = 0; i < length; ++i) {
                const bool is_last = i == length - 1;
                const std::int64_t following = below(static_cast<std::uint64_t>(num_states)) - 3;
                const bool is_broken = chance(10);
                rows.push_back({.state = state,
                                .next_state = is_broken ? following + 1 : following,
                                .group = group_id,
                                .trajectory = 5 - t,
                                .step = first_step + i,
                                .known = !is_last || chance(60),
                                .success = succeeds && (is_last || is_flagged_throughout),
                                .valid = chance(70),
                                .kept = true,
                                .reward = static_cast<double>(below(5)) - 1.5,
                                .episode_return = episode_return,
                                .cost = 0.1 * static_cast<double>(1 + below(12))});
                state = following;
            }
        }
    }
    if (has_step_ids) {
        const std::size_t originals = rows.size();
        for (std::size_t i = 0; i < originals; ++i) {
            if (chance(10)) rows.push_back(rows[i]);
        }
        std::shuffle(rows.begin(), rows.end(), random);
    }
    const bool has_mask = chance(40);
    if (has_mask) {
        // Whole trajectories, so that those left have no gap; garbage in between.
        const std::int64_t masked_trajectory = below(7);
        for (Row& row : rows) row.kept = row.trajectory != masked_trajectory;
        for (std::size_t i = 0; i < rows.size(); i += 5) {
            Row garbage = rows[i];
            garbage.kept = false;
            garbage.cost = std::numeric_limits<double>::quiet_NaN();
            garbage.reward = garbage.cost;
            rows.insert(rows.begin() + static_cast<std::ptrdiff_t>(i), garbage);
        }
    }

    Rows columns;
    if (chance(60)) {
        columns.next_states.emplace();
        if (chance(70)) columns.next_state_known.emplace();
    }
    if (has_step_ids) columns.step_ids.emplace();
    if (has_mask) columns.mask.emplace();
    columns.success.emplace();
    if (chance(50)) columns.rewards.emplace();
    if (chance(50)) columns.episode_returns.emplace();
    if (chance(50)) columns.edge_costs.emplace();
    if (chance(50)) columns.action_valid.emplace();
    for (const Row& row : rows) {
        columns.states.push_back(row.state);
        columns.group_ids.push_back(row.group);
        columns.trajectory_ids.push_back(row.trajectory);
        columns.success->push_back(row.success ? 1 : 0);
        if (columns.next_states) columns.next_states->push_back(row.next_state);
        if (columns.next_state_known) columns.next_state_known->push_back(row.known ? 1 : 0);
        if (columns.step_ids) columns.step_ids->push_back(row.step);
        if (columns.rewards) columns.rewards->push_back(row.reward);
        if (columns.episode_returns) columns.episode_returns->push_back(row.episode_return);
        if (columns.edge_costs) columns.edge_costs->push_back(row.cost);
        if (columns.action_valid) columns.action_valid->push_back(row.valid ? 1 : 0);
        if (columns.mask) columns.mask->push_back(row.kept ? 1 : 0);
    }
    return columns;
}

// What came of a batch: credit, or the text of an error.
struct Word {
    std::optional<StepAdvantages> credit = {};
    std::string error = {};
    std::size_t workspace_bytes = 0;
};

inline Word word_of(auto&& call) {
    Word word;
    try {
        call(word);
    } catch (const std::invalid_argument& error) {
        word.error = error.what();
    }
    return word;
}

// Whether the batch is accepted; by both, or by none and with the same words.
inline bool expect_agreement(Rows& rows, const Options& options) {
    const Word expected =
        word_of([&](Word& word) { word.credit = compute_advantages(rows.on_host(), options); });
    const Word word = word_of([&](Word& device) {
        DeviceRun run = run_on_device(rows.on_device(), options);
        device.credit = std::move(run.credit);
        device.workspace_bytes = run.report.workspace_bytes;
    });
    EXPECT_EQ(word.error, expected.error);
    if (!word.credit || !expected.credit) return false;
    expect_same(*word.credit, *expected.credit);
    EXPECT_LE(word.workspace_bytes,
              cuda::workspace_bytes_fixed + rows.states.size() * cuda::workspace_bytes_per_row);
    return true;
}

}  // namespace graphgpo
