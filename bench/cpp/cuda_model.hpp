// What the device pipeline moves, counted on paper, and how long that would take.
//
// Bytes per row and per node of every stage, for a batch without `step_ids`, `next_states` and
// optional columns, as its source reads and writes them: arrays in order count by their bytes,
// reads and writes at random by the 32 bytes of a sector. A sort of n pairs with a key of k bytes
// reads the keys once for the histograms and moves the pairs, read and write, once per byte of the
// key: k + 2 k (k + 4) bytes a pair; a scan of v bytes reads and writes them: 2 v.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace graphgpo::bench {

struct StageTraffic {
    const char* stage;
    double bytes_per_row;
    double bytes_per_node;
};

inline constexpr double sort_64 = 8 + 2 * 8 * (8 + 4);
inline constexpr double sort_32 = 4 + 2 * 4 * (4 + 4);
inline constexpr double sector = 32;
// A search among n sorted values: its last steps, those that neighbours do not share.
inline constexpr double binary_search = 3 * sector;

inline constexpr std::array<StageTraffic, 9> stages{{
    // Two sorts with their keys gathered, the places counted and added up.
    {"sort rows", 4 + 2 * (4 + 8 + 8 + sort_64) + (4 + 2 * 16 + 16) + 2 * 16, 0},
    // First rows, two scans over rows, one sort by group, four passes that renumber.
    {"number steps", 24 + 2 * (4 + 8) + 40 + 20 + sort_32 + 16 + 40 + 20 + 40 + 41, 0},
    // Keys and groups sorted, names given, first positions marked and added up.
    {"merge states",
     25 + 20 + sort_64 + (12 + 4) + sort_32 + (12 + sector) + 8 + (8 + sector) + 21 +
         (8 + 2 * sector) + 24 + (16 + 4 * sector),
     sector},
    {"sort edges", 12 + sort_32 + (12 + sector) + sort_32, 2 * (4 + binary_search)},
    {"search", 4 + sector, 8 + 4 + 2 * 8 + 16},
    // What stands for no way, the edge returns, and those relative to the best peer's.
    {"edge returns", (12 + 2 * sector) + (20 + 2 * sector) + (28 + 3 * sector) + (20 + sector), 8},
    // Values sorted, then by node; equal ones folded; mean and spread; every step's own.
    {"compare peers",
     30 + 20 + sort_64 + (8 + sector) + sort_32 + (12 + sector) + 8 + (24 + 2 * sector) +
         (20 + sector),
     24 + 2 * binary_search},
    {"episodes and sum", 40 + 28, 0},
    // Results, 52 bytes of them, and the metrics.
    {"results", (4 + 60 + 2 * sector + 52) + (60 + 3 * sector) + 4, 0},
}};

[[nodiscard]] constexpr double traffic(double rows, double nodes) {
    double bytes = 0;
    for (const StageTraffic& stage : stages) {
        bytes += rows * stage.bytes_per_row + nodes * stage.bytes_per_node;
    }
    return bytes;
}

// A GPU as far as the model knows it.
struct Gpu {
    const char* name;
    double peak_bytes_per_second;  // of its memory, from the data sheet
    double share_of_peak;          // that sorts and gathers get: assumed
    double seconds_per_launch;     // of one kernel after another on a stream: assumed
    double seconds_per_wait;       // for the stream, a small copy included: assumed
    double seconds_per_round;      // of a search, a barrier of a block included: assumed
};

inline constexpr Gpu h100{.name = "H100 SXM",
                          .peak_bytes_per_second = 3.35e12,
                          .share_of_peak = 0.5,
                          .seconds_per_launch = 3e-6,
                          .seconds_per_wait = 15e-6,
                          .seconds_per_round = 1.5e-6};

// Kernels behind `launches` of the pipeline: five sorts of 64-bit keys are ten kernels each (a
// histogram, a scan, a pass per byte), six of 32-bit keys six, eight scans two.
[[nodiscard]] constexpr double kernels(double launches) { return launches + 5 * 9 + 6 * 5 + 8; }

[[nodiscard]] constexpr double expected_seconds(const Gpu& gpu, double rows, double nodes,
                                                double launches, double waits, double rounds) {
    return traffic(rows, nodes) / (gpu.peak_bytes_per_second * gpu.share_of_peak) +
           kernels(launches) * gpu.seconds_per_launch + waits * gpu.seconds_per_wait +
           rounds * gpu.seconds_per_round;
}

}  // namespace graphgpo::bench
