// A value compared with its peers: (x - mean) / (std + epsilon), std with ddof = 1.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "cuda/columns.hpp"
#include "cuda/device.hpp"
#include "graphgpo/options.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo::cuda {

// Integers ordered as the values are, but for -0.0, which comes before 0.0.
GRAPHGPO_HD inline std::int64_t sortable(double value) {
    std::int64_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    return bits < 0 ? bits ^ INT64_MAX : bits;
}

// How far a value is above its peers (`graphgpo::Standing`).
struct Standing {
    double mean;
    double denominator;
    bool is_flat;  // no two different values

    [[nodiscard]] GRAPHGPO_HD double of(double value) const {
        return is_flat ? 0 : (value - mean) / denominator;
    }
};

struct Compared {
    std::int64_t size;
    std::int32_t* peers;  // by value: which set it is compared in; the number of sets: in none
    double* value;
    std::int32_t* weight;  // by value: how often it counts, > 0; null: once
};

// By set of peers. Values are sorted and equal ones folded; then one thread per set adds up its
// different values in ascending order, in two passes, as the core does: the same sums, in the same
// order, whatever order the values came in and whatever the weights were split into. Sets mostly
// hold two or three different values; one that holds a million keeps its thread busy for long.
[[nodiscard]] inline Standing* compare(Device& device, const Compared& compared,
                                       std::int64_t num_sets, const Options& options,
                                       std::uint32_t* findings) {
    const std::int64_t size = compared.size;
    const bool divides = options.normalization == Normalization::mean_std;
    const double epsilon = options.epsilon;
    auto* const standings = device.array<Standing>(num_sets);
    const Device::Scope scope(device);
    auto* const values = device.array<std::int64_t>(size);
    auto* const items = device.array<std::int32_t>(size);
    auto* const sets = device.array<std::int32_t>(size);
    device.each(size, [=] GRAPHGPO_GPU(std::int64_t i) {
        values[i] = sortable(compared.value[i]);
        items[i] = static_cast<std::int32_t>(i);
    });
    device.sort_by_key(values, items, size);
    device.each(size, [=] GRAPHGPO_GPU(std::int64_t i) { sets[i] = compared.peers[items[i]]; });
    device.sort_by_key(sets, items, size);

    // Equal neighbours as one. `begun[i]`: how many different values there are up to i.
    auto* const begun = device.array<std::int32_t>(size);
    device.each(size, [=] GRAPHGPO_GPU(std::int64_t i) {
        const bool is_same = i > 0 && sets[i - 1] == sets[i] &&
                             compared.value[items[i - 1]] == compared.value[items[i]];
        begun[i] = is_same ? 0 : 1;
    });
    device.inclusive_scan(begun, size, AddInts());
    auto* const different = device.array<double>(size);
    auto* const weights = device.filled<std::int64_t>(size, 0);
    device.each(size, [=] GRAPHGPO_GPU(std::int64_t i) {
        const std::int32_t at = begun[i] - 1;
        if (i == 0 || begun[i - 1] != begun[i]) different[at] = compared.value[items[i]];
        atomic_add(&weights[at],
                   std::int64_t{compared.weight == nullptr ? 1 : compared.weight[items[i]]});
    });

    device.each(num_sets, [=] GRAPHGPO_GPU(std::int64_t set) {
        const auto position = [=](std::int64_t of) {
            const std::int32_t i = lower_bound(sets, size, static_cast<std::int32_t>(of));
            return i == 0 ? 0 : begun[i - 1];
        };
        const std::int32_t begin = position(set);
        const std::int32_t end = position(set + 1);
        if (end - begin < 2) {
            standings[set] = {0, 1, true};
            return;
        }
        double count = 0;
        double sum = 0;
        for (std::int32_t i = begin; i < end; ++i) {
            count += static_cast<double>(weights[i]);
            sum += static_cast<double>(weights[i]) * different[i];
        }
        const double mean = sum / count;
        double squares = 0;
        for (std::int32_t i = begin; i < end; ++i) {
            const double deviation = different[i] - mean;
            squares += static_cast<double>(weights[i]) * (deviation * deviation);
        }
        if (!is_finite(squares)) atomic_or(findings, invalid_batch);
        standings[set] = {mean, divides ? sqrt(squares / (count - 1)) + epsilon : 1.0, false};
    });
    return standings;
}

}  // namespace graphgpo::cuda
