// Values compared with their peers, by number of peers and of different values among them.
//
// Least traffic: 4 bytes of item and 8 of value read, 8 of standing written.
#include <algorithm>
#include <cmath>
#include <vector>

#include "bandwidth.hpp"
#include "graphgpo/csr.hpp"
#include "graphgpo/normalisers/standing.hpp"
#include "shapes.hpp"

namespace graphgpo::bench {
namespace {

// (x - mean) / (std + epsilon) as it is written in the paper, in wider floats.
bool are_standings(const Csr& peers, std::span<const double> values,
                   std::span<const double> standings, double epsilon) {
    for (std::size_t row = 0; row < peers.num_rows(); ++row) {
        const auto items = peers.row(id_of(row));
        const auto count = static_cast<long double>(items.size());
        long double sum = 0;
        long double squares = 0;
        for (const auto item : items) sum += values[index(item)];
        for (const auto item : items) {
            const long double deviation = values[index(item)] - sum / count;
            squares += deviation * deviation;
        }
        for (const auto item : items) {
            const long double expected = squares == 0
                                             ? 0
                                             : (values[index(item)] - sum / count) /
                                                   (std::sqrt(squares / (count - 1)) + epsilon);
            if (std::abs(static_cast<double>(expected) - standings[index(item)]) > 1e-6)
                return false;
        }
    }
    return true;
}

// `size` steps, every `per_state` of them in one state; returns are one of `distinct` values.
void normalise(benchmark::State& state) {
    const auto size = static_cast<std::size_t>(state.range(0));
    const auto per_state = static_cast<std::size_t>(state.range(1));
    const auto distinct = static_cast<std::size_t>(state.range(2));
    Random random(seed);
    std::vector<StateId> states(size);
    Array<double> returns(size);
    for (std::size_t step = 0; step < size; ++step) {
        states[step] = id_of(below(random, size / per_state));
        returns[step] = static_cast<double>(below(random, distinct)) / 7;
    }
    const Csr peers = group_by_row(states, size / per_state);
    constexpr double epsilon = 1e-6;
    const Normaliser normaliser = MeanStd{
        .ddof = 1, .epsilon = epsilon, .inside = false, .scale = Scale::absolute, .off_below = 0};
    const auto standings = [&] {
        Array<double> values = returns;
        compare_among(peers, values, {.normaliser = &normaliser});
        return values;
    };
    if (is_wrong(state, are_standings(peers, returns, standings(), epsilon))) return;
    const auto steps = static_cast<double>(size);
    time_calls(state, {steps, "steps", 20 * steps}, [&] { benchmark::DoNotOptimize(standings()); });
}
BENCHMARK(normalise)
    ->ArgNames({"steps", "per_state", "distinct"})
    ->Args({8192, 2, 3})
    ->Args({8192, 8, 3})
    ->Args({8192, 8, 100})
    ->Args({8192, 256, 3})
    ->Args({1 << 20, 8, 3})
    ->Args({1 << 20, 1 << 20, 3})
    ->Args({1 << 20, 1 << 20, 1000000});

}  // namespace
}  // namespace graphgpo::bench
