// Microbenchmarks of the core. Every answer is checked before it is timed.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <random>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "graphgpo/interner.hpp"
#include "graphgpo/pipeline.hpp"

namespace {

using namespace graphgpo;

constexpr std::uint64_t seed = 20260;

void require(bool holds) {
    if (!holds) std::abort();
}

// Rollouts of random walks over rooms in a ring: the shape of text-game batches.
struct Workload {
    std::vector<std::string> rooms;
    std::vector<Key> states;
    std::vector<std::int64_t> group_ids;
    std::vector<std::int64_t> trajectory_ids;
    std::vector<std::uint8_t> success;

    Workload(std::size_t groups, std::size_t trajectories, std::size_t steps) {
        constexpr std::size_t num_rooms = 60;
        for (std::size_t room = 0; room < num_rooms; ++room) {
            rooms.push_back("-= Room " + std::to_string(room) +
                            " =- You've entered a room that looks like any other room here. There "
                            "are exits to the east and to the west, and nothing to take.");
        }
        std::mt19937_64 random(seed);
        for (std::size_t group = 0; group < groups; ++group) {
            for (std::size_t trajectory = 0; trajectory < trajectories; ++trajectory) {
                std::size_t room = num_rooms / 2;
                const bool succeeds = random() % 3 == 0;
                for (std::size_t step = 0; step < steps; ++step) {
                    states.push_back(Key::view(KeyKind::text, rooms[room]));
                    group_ids.push_back(static_cast<std::int64_t>(group));
                    trajectory_ids.push_back(static_cast<std::int64_t>(trajectory));
                    success.push_back(succeeds ? 1 : 0);
                    room = (room + num_rooms + random() % 3 - 1) % num_rooms;
                }
            }
        }
    }
    [[nodiscard]] Batch batch() const {
        return {.states = std::span<const Key>(states),
                .group_ids = std::span<const std::int64_t>(group_ids),
                .trajectory_ids = std::span<const std::int64_t>(trajectory_ids),
                .success = success};
    }
};

Options options(std::size_t num_threads) {
    return {.estimator = Estimator::graphgpo,
            .omega = 0.1,
            .success_reward = 10,
            .exponent = Exponent::paper,
            .normalization = Normalization::mean_std,
            .epsilon = 1e-6,
            .epsilon_scale = EpsilonScale::relative,
            .step_weight = 1,
            .episode_weight = 1,
            .episode_weighting = EpisodeWeighting::trajectory,
            .invalid_action_penalty = 0,
            .gamma = 0.95,
            .num_threads = num_threads};
}

void hash_of_text(benchmark::State& state) {
    const std::string text(static_cast<std::size_t>(state.range(0)), 'x');
    for (auto _ : state) {
        benchmark::DoNotOptimize(hash_bytes(text.data(), text.size(), 4, process_secret()));
    }
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(hash_of_text)->Arg(8)->Arg(64)->Arg(512)->Arg(4096);

void intern_states(benchmark::State& state) {
    const Workload workload(1, 8, static_cast<std::size_t>(state.range(0)) / 8);
    {
        Interner interner(0);
        std::unordered_map<std::string_view, std::int32_t> expected;
        for (const Key& key : workload.states) {
            const auto id = static_cast<std::int32_t>(expected.size());
            require(interner.intern(key) == expected.emplace(key.bytes(), id).first->second);
        }
    }
    for (auto _ : state) {
        Interner interner(workload.states.size());
        for (const Key& key : workload.states) benchmark::DoNotOptimize(interner.intern(key));
    }
    state.SetItemsProcessed(state.iterations() * std::ssize(workload.states));
}
BENCHMARK(intern_states)->Arg(512)->Arg(8192);

// The opponent on the same keys: what one would write first.
void intern_states_unordered_map(benchmark::State& state) {
    const Workload workload(1, 8, static_cast<std::size_t>(state.range(0)) / 8);
    for (auto _ : state) {
        std::unordered_map<std::string_view, std::int32_t> ids;
        for (const Key& key : workload.states) {
            const auto next = static_cast<std::int32_t>(ids.size());
            benchmark::DoNotOptimize(ids.emplace(key.bytes(), next).first->second);
        }
    }
    state.SetItemsProcessed(state.iterations() * std::ssize(workload.states));
}
BENCHMARK(intern_states_unordered_map)->Arg(512)->Arg(8192);

void whole_pipeline(benchmark::State& state) {
    const Workload workload(static_cast<std::size_t>(state.range(0)), 8, 32);
    const Batch batch = workload.batch();
    const auto threads = static_cast<std::size_t>(state.range(1));
    const StepAdvantages expected = compute_advantages(batch, options(1));
    require(compute_advantages(batch, options(threads)).advantages == expected.advantages);
    require(expected.metrics[0].second == static_cast<double>(state.range(0)));
    for (auto _ : state) {
        benchmark::DoNotOptimize(compute_advantages(batch, options(threads)));
    }
    state.SetItemsProcessed(state.iterations() * std::ssize(workload.states));
}
BENCHMARK(whole_pipeline)
    ->ArgNames({"groups", "threads"})
    ->Args({1, 1})
    ->Args({16, 1})
    ->Args({128, 1})
    ->Args({128, 2})
    ->UseRealTime();

}  // namespace
