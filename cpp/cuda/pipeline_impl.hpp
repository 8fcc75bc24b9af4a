// The stages in order. Included once by `pipeline.cu` and once by `on_cpu/pipeline.cpp`.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/arrange.hpp"
#include "cuda/columns.hpp"
#include "cuda/credit.hpp"
#include "cuda/device.hpp"
#include "cuda/merge.hpp"
#include "cuda/pipeline.hpp"
#include "cuda/results.hpp"
#include "cuda/row_keys.hpp"
#include "graphgpo/columns.hpp"
#include "graphgpo/errors.hpp"
#include "graphgpo/pipeline.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo::cuda {

// A batch of which only the shape is known: what the checks of options look at.
[[nodiscard]] inline Batch outline(const DeviceBatch& batch) {
    constexpr std::span<const std::int64_t> nothing;
    Batch outline{.states = nothing, .group_ids = nothing, .trajectory_ids = nothing};
    if (batch.success.is_given()) outline.success.emplace();
    if (batch.rewards.is_given()) outline.rewards.emplace();
    if (batch.episode_returns.is_given()) outline.episode_returns.emplace();
    return outline;
}

// As Python's repr: the shortest digits that read back, an exponent only for the very small and
// large.
[[nodiscard]] inline std::string python_float(double value) {
    const double size = std::abs(value);
    const bool is_plain = size == 0 || (size >= 1e-4 && size < 1e16);
    std::array<char, 64> text{};
    const auto format = is_plain ? std::chars_format::fixed : std::chars_format::scientific;
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value, format).ptr;
    std::string digits(text.data(), end);
    if (is_plain && digits.find('.') == std::string::npos) digits += ".0";
    return digits;
}

// A number as Python writes it, and its type there.
[[nodiscard]] inline std::string describe_element(const Column& column, std::int64_t row) {
    if (kind_of(column.type) == 'f') {
        return python_float(with_element(column, row, ReadReal())) + " (float)";
    }
    const std::int64_t value = with_element(column, row, ReadInteger());
    return (with_element(column, row, IsOutsideInt64())
                ? std::to_string(static_cast<std::uint64_t>(value))
                : std::to_string(value)) +
           " (int)";
}

// A flag that is neither 0 nor 1, or an integer outside int64: what the core never gets to see.
inline void refuse_unreadable(Device& device, const DeviceBatch& batch, const Findings& findings) {
    for (std::size_t i = 0; i < readable_columns.size(); ++i) {
        const RowId row = findings.unreadable_rows[i];
        if (row == INT32_MAX) continue;
        Column column = batch.*readable_columns[i].column;
        const std::size_t bytes = element_bytes(column.type);
        alignas(8) char element[8] = {};
        device.copy_to_host(element,
                            static_cast<const char*>(column.data) +
                                row * column.stride * static_cast<std::int64_t>(bytes),
                            bytes);
        column.data = element;
        const bool is_integer = column.type == ElementType::uint64 && i != 0;
        throw RowError(row, cell(readable_columns[i].name, row) + " is " +
                                describe_element(column, 0) + "; expected " +
                                (is_integer && with_element(column, 0, IsOutsideInt64())
                                     ? "an int an int64 can hold"
                                     : "a bool, or exactly 0 or 1"));
    }
}

// Something is wrong with the batch: the core, given all of it, says what.
[[noreturn]] inline void refuse(Device& device, const Columns& columns, const Options& options) {
    const auto to_host = [&]<typename T>(const T* values) -> std::optional<std::vector<T>> {
        if (values == nullptr) return std::nullopt;
        return device.read(values, columns.num_rows);
    };
    const auto states = *to_host(columns.state_keys);
    const auto next_states = to_host(columns.next_state_keys);
    const auto next_state_known = to_host(columns.next_state_known);
    const auto group_ids = *to_host(columns.group_ids);
    const auto trajectory_ids = *to_host(columns.trajectory_ids);
    const auto success = to_host(columns.success);
    const auto step_ids = to_host(columns.step_ids);
    const auto rewards = to_host(columns.rewards);
    const auto episode_returns = to_host(columns.episode_returns);
    const auto edge_costs = to_host(columns.edge_costs);
    const auto action_valid = to_host(columns.action_valid);
    const auto mask = to_host(columns.mask);

    Batch batch{.states = std::span(states),
                .group_ids = std::span(group_ids),
                .trajectory_ids = std::span(trajectory_ids),
                .success = success,
                .step_ids = step_ids,
                .rewards = rewards,
                .episode_returns = episode_returns,
                .edge_costs = edge_costs,
                .action_valid = action_valid,
                .mask = mask};
    std::vector<Key> next_keys;
    if (next_states) {
        for (std::size_t row = 0; row < next_states->size(); ++row) {
            const bool is_known = !next_state_known || (*next_state_known)[row] != 0;
            next_keys.push_back(is_known ? Key::integer((*next_states)[row]) : Key());
        }
        batch.next_states = std::span<const Key>(next_keys);
    }
    (void)graphgpo::compute_advantages(batch, options);
    throw DeviceError(Status::failed,
                      "the device refused a batch that the CPU accepts; please report this");
}

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
    device.each(
        1, GRAPHGPO_EACH(std::int64_t) {
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
