// What is wrong with a batch, in words. Only the device's notice of it comes from the device.
#pragma once

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cuda/columns.hpp"
#include "cuda/device.hpp"
#include "cuda/pipeline.hpp"
#include "cuda/row_keys.hpp"
#include "graphgpo/columns.hpp"
#include "graphgpo/errors.hpp"
#include "graphgpo/options.hpp"
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
        const bool is_flag = readable_columns[i].is_flag;
        throw RowError(row,
                       cell(readable_columns[i].name, row) + " is " + describe_element(column, 0) +
                           "; expected " +
                           (is_flag ? "a bool, or exactly 0 or 1" : "an int an int64 can hold"));
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

}  // namespace graphgpo::cuda
