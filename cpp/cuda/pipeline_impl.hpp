// The stages in order. Included once by `pipeline.cu` and once by `on_cpu/pipeline.cpp`.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "cuda/arrange.hpp"
#include "cuda/columns.hpp"
#include "cuda/credit.hpp"
#include "cuda/device.hpp"
#include "cuda/merge.hpp"
#include "cuda/pipeline.hpp"
#include "cuda/refuse.hpp"
#include "cuda/results.hpp"
#include "cuda/row_keys.hpp"
#include "graphgpo/metrics.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo::cuda {

[[nodiscard]] inline RunReport report(const Device& device, const Metrics& metrics) {
    return {metrics, device.peak_bytes(), device.launches(), device.synchronisations()};
}

// What the host has to know before it can size anything.
struct Start {
    Counts totals;
    Findings findings;
};

[[nodiscard]] inline Start read_start(Device& device, const SortedRows& sorted,
                                      std::int64_t num_rows, const Findings* findings) {
    const Device::Scope scope(device);
    auto* const start = device.array<Start>(1);
    device.each(1, [=] GRAPHGPO_GPU(std::int64_t) {
        start->totals = sorted.counts[num_rows - 1];
        start->findings = *findings;
    });
    return device.read(start);
}

inline void write_masked(Device& device, std::int64_t num_rows, const DeviceAdvantages& results) {
    Rollouts nobody{};
    nobody.step_of_row = device.filled<StepId>(num_rows, none);
    write_results(device, num_rows, nobody, {}, {}, nullptr, {}, results);
}

[[nodiscard]] inline RunReport run(const DeviceBatch& batch, const Options& options,
                                   const DeviceAdvantages& results, const Queue& queue,
                                   std::int32_t large) {
    Device device(queue, options.num_threads);
    auto* const findings = device.array<Findings>(1);
    const Columns columns = read_columns(device, batch, findings);
    check_values(device, columns, &findings->bits);
    const SortedRows sorted = sort_rows(device, columns);
    const Start start = read_start(device, sorted, batch.num_rows, findings);
    refuse_unreadable(device, batch, start.findings);
    if (start.findings.bits != nothing_found) refuse(device, columns, options);
    try {
        check_options(options, outline(batch));
    } catch (const std::invalid_argument&) {
        refuse(device, columns, options);
    }
    const Counts& totals = start.totals;
    if (totals.rows == 0) {
        write_masked(device, batch.num_rows, results);
        device.wait();
        return report(device, graphgpo::metrics_of({}, batch.num_rows));
    }

    std::uint32_t* const found = &findings->bits;
    const Rollouts rollouts = number_steps(device, columns, sorted, totals);
    judge_rollouts(device, columns, rollouts, found);
    const Targets targets = classify_targets(device, columns, rollouts);
    const GraphSizes sizes = read_sizes(device, rollouts, targets);
    const Graph graph = merge_states(device, columns, rollouts, targets, sizes);
    const Edges edges = sort_edges(device, columns, rollouts, graph);
    const Distances distances =
        measure_distances(device, columns, rollouts, graph, edges, sizes, large, found);
    const StepScores scores =
        score_steps(device, columns, rollouts, graph, distances, options, found);
    const double* const of_episodes = episode_advantages(device, columns, rollouts, options, found);
    const StepCredit credit =
        combine(device, totals.steps, scores.advantages, of_episodes, options, found);
    write_results(device, batch.num_rows, rollouts, graph, distances, scores.returns, credit,
                  results);
    const Outcome outcome =
        read_outcome(device, columns, rollouts, targets, graph, edges, distances, credit, found);
    if (outcome.findings != nothing_found) refuse(device, columns, options);
    return report(device, metrics_of(outcome, totals, batch.num_rows));
}

RunReport compute_advantages(const DeviceBatch& batch, const Options& options,
                             const DeviceAdvantages& results, const Queue& queue) {
    if (batch.num_rows > max_device_rows) {
        throw std::invalid_argument("states has " + std::to_string(batch.num_rows) +
                                    " rows; expected at most 1073741824 (2**30) on a device");
    }
    if (batch.num_rows == 0) {
        check_options(options, outline(batch));
        return {.metrics = graphgpo::metrics_of({}, 0)};
    }
    try {
        return run(batch, options, results, queue, large_group);
    } catch (const thrust::system_error& error) {
        throw device_error(error);
    }
}

void* allocate(std::size_t bytes, const Queue& queue) {
    return Device(queue, 1).allocate(std::max<std::size_t>(bytes, 1));
}
void copy_to_host(void* to, const void* from, std::size_t bytes, const Queue& queue) {
    Device(queue, 1).copy_to_host(to, from, bytes);
}
void copy_to_device(void* to, const void* from, std::size_t bytes, const Queue& queue) {
    Device(queue, 1).copy_to_device(to, from, bytes);
}

void wait(const Queue& queue) { Device(queue, 1).wait(); }

}  // namespace graphgpo::cuda
