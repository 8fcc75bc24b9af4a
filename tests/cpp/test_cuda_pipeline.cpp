// The device pipeline, played by the CPU, against the core: the same integers, the same bits, the
// same words for what is wrong.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cuda_batches.hpp"

namespace graphgpo {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

TEST(CudaPipeline, AgreesWithTheCoreOnRandomBatches) {
    int accepted = 0;
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Rows rows = random_rows(seed, 1 + static_cast<std::int64_t>(seed % 5));
        accepted += expect_agreement(rows, options_of(seed)) ? 1 : 0;
        if (testing::Test::HasFailure()) break;
    }
    EXPECT_GE(accepted, 300);
}

TEST(CudaPipeline, AgreesOnAnyNumberOfThreads) {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Rows rows = random_rows(seed, 4);
        Options options = options_of(seed);
        options.num_threads = 2 + seed % 3;
        expect_agreement(rows, options);
    }
}

// hall 0, kitchen 1, kitchen with mug 2, sink 3, bedroom 4, fridge open 5.
Rows mug_rows() {
    return {
        .states = {0, 1, 2, 0, 4, 0, 1, 0, 1, 5, 1, 2},
        .next_states = {{1, 2, 3, 4, 0, 1, 5, 1, 5, 1, 2, 3}},
        .group_ids = std::vector<std::int64_t>(12, 7),
        .trajectory_ids = {1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3},
        .success = {{1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1}},
    };
}

Options mug_options() {
    Options options = options_of(0);
    options.estimator = Estimator::graphgpo;
    options.omega = 0.5;
    options.success_reward = 1;
    options.exponent = Exponent::paper;
    options.normalization = Normalization::mean_std;
    options.epsilon_scale = EpsilonScale::relative;
    options.step_weight = options.episode_weight = 1;
    options.episode_weighting = EpisodeWeighting::trajectory;
    options.invalid_action_penalty = 0;
    return options;
}

TEST(CudaPipeline, GivesTheWorkedExample) {
    const DeviceRun run = run_on_device(mug_rows().on_device(), mug_options());
    EXPECT_EQ(run.credit.distances, (std::vector<double>{3, 2, 1, 3, 4, 3, 2, 3, 2, 3, 2, 1}));
    EXPECT_EQ(run.credit.next_distances, (std::vector<double>{2, 1, 0, 4, 3, 2, 3, 2, 3, 2, 1, 0}));
    const std::vector<float> expected{0.5F,   0.866F, 0,      -1.5F, 0,      0.5F,
                                      -.866F, 0.5F,   -.866F, 0,     0.866F, 0};
    for (std::size_t row = 0; row < 12; ++row) {
        EXPECT_NEAR(run.credit.step_advantages[row], expected[row], 1e-3) << row;
    }
}

TEST(CudaPipeline, WaitsThreeTimes) {
    const DeviceRun run = run_on_device(mug_rows().on_device(), mug_options());
    EXPECT_EQ(run.report.synchronisations, 3);
    EXPECT_GT(run.report.launches, 3);
}

TEST(CudaPipeline, AnEmptyBatchIsAResultOfLengthZero) {
    Rows rows;
    rows.success.emplace();
    EXPECT_TRUE(expect_agreement(rows, mug_options()));
}

TEST(CudaPipeline, RowsBeyondThirtyBitsAreRefusedUnread) {
    cuda::DeviceBatch batch = mug_rows().on_device();
    batch.num_rows = (std::int64_t{1} << 30) + 1;
    const auto text =
        word_of([&](Word&) { (void)cuda::compute_advantages(batch, mug_options(), {}, {}); }).error;
    EXPECT_EQ(text, "states has 1073741825 rows; expected at most 1073741824 (2**30) on a device");
}

TEST(CudaPipeline, ABatchOfMaskedRowsHasNoCredit) {
    Rows rows = mug_rows();
    rows.mask = std::vector<std::uint8_t>(12, 0);
    EXPECT_TRUE(expect_agreement(rows, mug_options()));
}

TEST(CudaPipeline, KeysAndIdsMayBeAnyInt64) {
    Rows rows = mug_rows();
    for (auto* column : {&rows.states, &*rows.next_states}) {
        for (std::int64_t& key : *column) key = key % 2 == 0 ? INT64_MIN + key : INT64_MAX - key;
    }
    for (std::int64_t& id : rows.group_ids) id = INT64_MIN;
    for (std::int64_t& id : rows.trajectory_ids) id = id == 1 ? INT64_MAX : -id;
    EXPECT_TRUE(expect_agreement(rows, mug_options()));
}

// A walk of groups of thousands of steps, which the whole grid searches, among small ones.
Rows large_groups(bool has_costs) {
    std::mt19937_64 random(3);
    Rows rows;
    rows.success.emplace();
    if (has_costs) rows.edge_costs.emplace();
    std::int64_t g = 0;
    // 8192 is the most that a block searches.
    for (const std::int64_t steps : {12000, 50, 8192, 8193, 8194, 50}) {
        // A corridor with doors: some nodes are thousands of steps away.
        std::int64_t state = 0;
        for (std::int64_t i = 0; i < steps; ++i) {
            rows.states.push_back(state);
            rows.group_ids.push_back(g);
            rows.trajectory_ids.push_back(i / 1500);
            rows.success->push_back(i % 1500 == 1499 || i == steps - 1 ? 1 : 0);
            if (has_costs) {
                rows.edge_costs->push_back(0.1 * static_cast<double>(1 + random() % 30));
            }
            state = random() % 8 == 0 ? static_cast<std::int64_t>(random() % 4000) : state + 1;
        }
        ++g;
    }
    return rows;
}

TEST(CudaPipeline, LargeGroupsAreSearchedByTheWholeGrid) {
    for (const bool has_costs : {false, true}) {
        for (const std::size_t threads : {1u, 3u}) {
            Rows rows = large_groups(has_costs);
            Options options = mug_options();
            options.num_threads = threads;
            EXPECT_TRUE(expect_agreement(rows, options));
        }
    }
}

TEST(CudaPipeline, ColumnsOfAnyTypeAndStrideAreRead) {
    Rows rows = mug_rows();
    rows.rewards = std::vector<double>{0, 0.5, 1, -2, 3, 0, 0, 0.25, 1, 1, 1, -0.125};
    rows.step_ids = std::vector<std::int64_t>{0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4};
    const DeviceRun expected = run_on_device(rows.on_device(), mug_options());

    const std::vector<std::int32_t> states(rows.states.begin(), rows.states.end());
    const std::vector<std::uint64_t> groups(rows.group_ids.begin(), rows.group_ids.end());
    const std::vector<std::int8_t> steps(rows.step_ids->begin(), rows.step_ids->end());
    const std::vector<float> success(rows.success->begin(), rows.success->end());
    std::vector<std::uint16_t> trajectories;
    for (const std::int64_t id : rows.trajectory_ids) {
        trajectories.push_back(static_cast<std::uint16_t>(id));
        trajectories.push_back(999);
    }
    std::vector<std::uint16_t> halves;
    std::vector<std::uint16_t> bfloats;
    for (const double reward : *rows.rewards) {
        const auto single = static_cast<float>(reward);
        std::uint32_t bits = 0;
        std::memcpy(&bits, &single, sizeof(bits));
        bfloats.push_back(static_cast<std::uint16_t>(bits >> 16));
        const auto exponent = static_cast<std::uint32_t>((bits >> 23 & 0xff) - 127 + 15);
        const std::uint32_t half = (bits >> 16 & 0x8000) | exponent << 10 | (bits >> 13 & 0x3ff);
        halves.push_back(static_cast<std::uint16_t>(reward == 0 ? 0 : half));
    }
    using cuda::ElementType;
    cuda::DeviceBatch batch = rows.on_device();
    batch.state_keys = {.data = states.data(), .type = ElementType::int32};
    batch.group_ids = {.data = groups.data(), .type = ElementType::uint64};
    batch.trajectory_ids = {.data = trajectories.data(), .type = ElementType::uint16, .stride = 2};
    batch.step_ids = {.data = steps.data(), .type = ElementType::int8};
    batch.success = {.data = success.data(), .type = ElementType::float32};
    for (const auto& [values, type] :
         {std::pair(&halves, ElementType::float16), std::pair(&bfloats, ElementType::bfloat16)}) {
        batch.rewards = {.data = values->data(), .type = type};
        expect_same(run_on_device(batch, mug_options()).credit, expected.credit);
    }
}

std::string error_of(const cuda::DeviceBatch& batch, const Options& options = mug_options()) {
    return word_of([&](Word&) { (void)run_on_device(batch, options); }).error;
}

TEST(CudaPipeline, ValuesNoFlagOrKeyCanHaveAreNamed) {
    Rows rows = mug_rows();
    std::vector<float> success(12, 0);
    success[4] = 0.5;
    success[7] = 2;
    cuda::DeviceBatch batch = rows.on_device();
    batch.success = {.data = success.data(), .type = cuda::ElementType::float32};
    EXPECT_EQ(error_of(batch), "success[4] is 0.5 (float); expected a bool, or exactly 0 or 1");
    std::vector<std::uint8_t> mask(12, 1);
    mask[4] = 0;
    batch.mask = {.data = mask.data(), .type = cuda::ElementType::boolean};
    EXPECT_EQ(error_of(batch), "success[7] is 2.0 (float); expected a bool, or exactly 0 or 1");
    for (const auto& [value, text] : {std::pair(nan, "nan"),
                                      {-infinity, "-inf"},
                                      {1e5, "100000.0"},
                                      {1e16, "1e+16"},
                                      {-2.5e-5, "-2.5e-05"}}) {
        std::vector<double> flags(12, 0);
        flags[7] = value;
        batch.success = {.data = flags.data(), .type = cuda::ElementType::float64};
        EXPECT_EQ(error_of(batch), "success[7] is " + std::string(text) +
                                       " (float); expected a bool, or exactly 0 or 1");
    }
    std::vector<std::int16_t> valid(12, -1);
    batch = rows.on_device();
    batch.action_valid = {.data = valid.data(), .type = cuda::ElementType::int16};
    EXPECT_EQ(error_of(batch), "action_valid[0] is -1 (int); expected a bool, or exactly 0 or 1");

    batch = rows.on_device();
    std::vector<std::uint64_t> keys(rows.states.begin(), rows.states.end());
    keys[3] = UINT64_MAX;
    batch.state_keys = {.data = keys.data(), .type = cuda::ElementType::uint64};
    EXPECT_EQ(error_of(batch),
              "states[3] is 18446744073709551615 (int); expected an int an int64 can hold");
}

TEST(CudaPipeline, RefusesWhatTheCoreRefusesInTheSameWords) {
    std::mt19937_64 random(11);
    const auto below = [&](std::size_t n) { return random() % n; };
    int refused = 0;
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Rows rows = random_rows(seed, 1 + static_cast<std::int64_t>(seed % 4));
        Options options = options_of(seed);
        const std::size_t num_rows = rows.states.size();
        for (std::size_t faults = 1 + below(3); faults > 0 && num_rows > 0; --faults) {
            const std::size_t row = below(num_rows);
            switch (below(13)) {
                case 0:
                    if (rows.rewards) (*rows.rewards)[row] = below(2) == 0 ? nan : infinity;
                    break;
                case 1:
                    if (rows.episode_returns) (*rows.episode_returns)[row] = -infinity;
                    break;
                case 2:
                    if (rows.edge_costs) (*rows.edge_costs)[row] = below(2) == 0 ? 0 : -1;
                    break;
                case 3:
                    if (rows.step_ids) (*rows.step_ids)[row] += 100;
                    break;
                case 4:
                    (*rows.success)[row] = 1;
                    break;
                case 5:
                    if (rows.next_state_known) (*rows.next_state_known)[row] = 0;
                    break;
                case 6:
                    if (rows.episode_returns) (*rows.episode_returns)[row] += 1;
                    break;
                case 7:
                    rows.states[row] += 1;
                    break;
                case 8:
                    if (rows.action_valid) (*rows.action_valid)[row] ^= 1;
                    break;
                case 9:
                    if (rows.edge_costs) (*rows.edge_costs)[row] = 1.7e308;
                    break;
                case 10:
                    if (rows.rewards) (*rows.rewards)[row] = below(2) == 0 ? 1.7e308 : 1e200;
                    break;
                case 11:
                    if (rows.episode_returns) {
                        const auto trajectory = rows.trajectory_ids[row];
                        for (std::size_t r = 0; r < num_rows; ++r) {
                            if (rows.trajectory_ids[r] != trajectory) continue;
                            (*rows.episode_returns)[r] = 1e300;
                        }
                    }
                    break;
                default:
                    if (below(4) == 0) options.step_weight = 1e60;
                    if (below(8) == 0) rows.success.emplace(num_rows, std::uint8_t{1});
                    if (below(8) == 0) options.omega = 1.5;
            }
        }
        refused += expect_agreement(rows, options) ? 0 : 1;
        if (testing::Test::HasFailure()) break;
    }
    EXPECT_GE(refused, 200);
}

TEST(CudaPipeline, NumbersThatOverflowAreRefused) {
    // One trajectory: its return is compared with none.
    Rows rows = mug_rows();
    rows.trajectory_ids.assign(12, 1);
    rows.success.emplace(12, std::uint8_t{1});
    rows.next_states.reset();
    EXPECT_TRUE(expect_agreement(rows, mug_options()));
    rows.rewards = std::vector<double>(12, 1.7e308);
    EXPECT_FALSE(expect_agreement(rows, mug_options()));

    // success_reward * omega ** (0 + 0.001 - 1), where no state has two edges.
    rows = {.states = {1, 1},
            .group_ids = {0, 1},
            .trajectory_ids = {0, 0},
            .success = {{1, 1}},
            .edge_costs = {{1, 1}}};
    Options options = mug_options();
    options.exponent = Exponent::recipe;
    options.omega = 1e-308;
    options.success_reward = 1e3;
    EXPECT_TRUE(expect_agreement(rows, options));
    (*rows.edge_costs)[1] = 0.001;
    EXPECT_FALSE(expect_agreement(rows, options));
}

TEST(CudaPipeline, CopiesThatDisagreeInAnyColumnAreRefused) {
    const auto copied = [] {
        Rows rows = mug_rows();
        rows.step_ids = std::vector<std::int64_t>{0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4};
        rows.next_state_known = std::vector<std::uint8_t>(12, 1);
        rows.rewards = std::vector<double>(12, 1);
        rows.episode_returns = std::vector<double>(12, 1);
        rows.edge_costs = std::vector<double>(12, 1);
        rows.action_valid = std::vector<std::uint8_t>(12, 1);
        const auto repeat_last = [](auto& values) { values.push_back(values.back()); };
        repeat_last(rows.states);
        repeat_last(*rows.next_states);
        repeat_last(*rows.next_state_known);
        repeat_last(rows.group_ids);
        repeat_last(rows.trajectory_ids);
        repeat_last(*rows.success);
        repeat_last(*rows.step_ids);
        repeat_last(*rows.rewards);
        repeat_last(*rows.episode_returns);
        repeat_last(*rows.edge_costs);
        repeat_last(*rows.action_valid);
        return rows;
    };
    Rows agreeing = copied();
    EXPECT_TRUE(expect_agreement(agreeing, mug_options()));
    for (const std::size_t row : {11u, 12u}) {
        const auto expect_refusal = [&](auto&& change) {
            Rows rows = copied();
            change(rows);
            EXPECT_FALSE(expect_agreement(rows, mug_options()));
        };
        expect_refusal([&](Rows& rows) { rows.states[row] = 77; });
        expect_refusal([&](Rows& rows) { (*rows.next_states)[row] = 77; });
        expect_refusal([&](Rows& rows) { (*rows.next_state_known)[row] = 0; });
        expect_refusal([&](Rows& rows) { (*rows.success)[row] = 0; });
        expect_refusal([&](Rows& rows) { (*rows.rewards)[row] = 2; });
        expect_refusal([&](Rows& rows) { (*rows.episode_returns)[row] = 2; });
        expect_refusal([&](Rows& rows) { (*rows.edge_costs)[row] = 2; });
        expect_refusal([&](Rows& rows) { (*rows.action_valid)[row] = 0; });
    }
}

TEST(CudaPipeline, SuccessMayBeAbsentForGrpoOnly) {
    Rows rows = mug_rows();
    rows.success.reset();
    Options options = mug_options();
    EXPECT_FALSE(expect_agreement(rows, options));
    options.estimator = Estimator::grpo;
    EXPECT_FALSE(expect_agreement(rows, options));
    rows.rewards = std::vector<double>(12, 0.5);
    EXPECT_TRUE(expect_agreement(rows, options));
}

}  // namespace
}  // namespace graphgpo
