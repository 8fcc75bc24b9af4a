// How near a stage is to what the memory of this machine allows.
//
// The roofline of a stage is the time that its least traffic takes: every byte of its input read
// once, every byte of its result written once, nothing in between, at the bandwidth one thread has
// over a buffer of that size. So a small working set is held against the cache it fits in, and a
// large one against main memory. 100 % cannot be passed but by noise; how far below a stage is says
// what it pays for on top: instructions, tables, the intermediate arrays of its algorithm.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <ctime>

namespace graphgpo::bench {

// Bytes per second of one thread over a buffer of about this size: the better of a read sweep and
// of a triad (a = b + s * c, three streams counted), each the best of several tries. Measured at
// the first question about a size, rounded up to a power of two.
[[nodiscard]] double bandwidth(std::size_t buffer_bytes);

// What one iteration does.
struct Work {
    double amount;           // of `unit`
    const char* unit;        // counted per second: "steps", "edges", "keys"
    double least_bytes = 0;  // that any implementation moves; 0: no roofline
};

// Runs the timed loop and reports rates. The clock is the processor time of this process, so a busy
// machine does not lower the percentage; several threads would, and have no roofline.
void time_calls(benchmark::State& state, const Work& work, auto&& call) {
    const std::clock_t begin = std::clock();
    for (auto _ : state) call();
    const auto ticks = static_cast<double>(std::clock() - begin);
    const double seconds = ticks / CLOCKS_PER_SEC / static_cast<double>(state.iterations());

    const auto per_second = benchmark::Counter::kIsIterationInvariantRate;
    state.counters[work.unit] = benchmark::Counter(work.amount, per_second);
    if (work.least_bytes == 0) return;
    state.counters["bytes"] = benchmark::Counter(work.least_bytes, per_second);
    const double roofline =
        work.least_bytes / bandwidth(static_cast<std::size_t>(work.least_bytes));
    state.counters["roofline_%"] = 100 * roofline / seconds;
}

// Of all benchmarks that ran: the exit status. The library reports errors and exits with 0.
inline bool was_any_answer_wrong = false;

// Stops a benchmark whose answer is wrong before any time is taken.
[[nodiscard]] inline bool is_wrong(benchmark::State& state, bool answer_holds) {
    if (answer_holds) return false;
    was_any_answer_wrong = true;
    state.SkipWithError("wrong answer");
    return true;
}

}  // namespace graphgpo::bench
