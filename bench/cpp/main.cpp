// graphgpo_bench: every stage of the method, timed alone. See README.md.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <string>

#include "bandwidth.hpp"

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    for (const std::size_t kib : {32U, 256U, 4096U, 262144U}) {
        char rate[32];
        std::snprintf(rate, sizeof(rate), "%.1f GB/s", graphgpo::bench::bandwidth(kib << 10) / 1e9);
        benchmark::AddCustomContext("bandwidth over " + std::to_string(kib) + " KiB", rate);
    }
    benchmark::RunSpecifiedBenchmarks();
    return graphgpo::bench::was_any_answer_wrong ? 1 : 0;
}
