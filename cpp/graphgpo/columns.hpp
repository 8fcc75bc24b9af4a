// The views in which input arrives: nothing here owns or copies a caller's data.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "graphgpo/graph_memory.hpp"
#include "graphgpo/key.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

// A numeric (N, ...) array, C-contiguous: row i is a state. Floats hold no NaN and no -0.0.
struct NumericRows {
    const char* data;
    std::size_t num_rows;
    std::size_t row_bytes;
    std::string_view header;  // dtype and row shape, as `array_header` writes them
};

// Keys that were compared before, group by group: rows of one group have one number where their
// keys are equal, and another where they are not. The numbers of a group start from 0 and leave
// none out. States and next states share them: both are numbered, or neither.
struct NumberedKeys {
    std::span<const std::int32_t> numbers;  // by row; `none`: null
};

using KeyColumn =
    std::variant<std::span<const Key>, std::span<const std::int64_t>, NumericRows, NumberedKeys>;

[[nodiscard]] std::size_t num_rows(const KeyColumn& column) noexcept;

[[nodiscard]] inline Key key_at(std::span<const Key> column, RowId row) noexcept {
    return column[index(row)];
}
[[nodiscard]] inline Key key_at(std::span<const std::int64_t> column, RowId row) noexcept {
    return Key::integer(column[index(row)]);
}
[[nodiscard]] inline Key key_at(const NumericRows& column, RowId row) noexcept {
    return Key::view(KeyKind::row, {column.data + index(row) * column.row_bytes, column.row_bytes});
}
// Stands for the key: it is equal to those of equal keys in its group.
[[nodiscard]] inline Key key_at(const NumberedKeys& column, RowId row) noexcept {
    const std::int32_t number = column.numbers[index(row)];
    return number == none ? Key() : Key::integer(number);
}
[[nodiscard]] inline Key key_at(const KeyColumn& column, RowId row) noexcept {
    return std::visit([row](const auto& typed) { return key_at(typed, row); }, column);
}

// Whether two rows have one key.
[[nodiscard]] inline bool is_same_key(const auto& column, RowId a, RowId b) noexcept {
    return key_at(column, a) == key_at(column, b);
}
[[nodiscard]] inline bool is_same_key(std::span<const std::int64_t> column, RowId a,
                                      RowId b) noexcept {
    return column[index(a)] == column[index(b)];
}

// Whether a row has no key.
[[nodiscard]] inline bool is_null_at(const auto& column, RowId row) noexcept {
    return key_at(column, row).is_null();
}
[[nodiscard]] inline bool is_null_at(const NumberedKeys& column, RowId row) noexcept {
    return column.numbers[index(row)] == none;
}

// dtype and shape in canonical bytes: kind letter (b, i, u, f), item size, number of axes, axes.
[[nodiscard]] std::string array_header(char kind, std::size_t item_size,
                                       std::span<const std::int64_t> shape);

// The stable 64-bit key of a state: the same on every machine, in every process and version.
// An integer inside int64 is hashed like any other state, so keys may be mixed with text.
[[nodiscard]] std::int64_t stable_key(const Key& key) noexcept;
[[nodiscard]] std::int64_t stable_key(const NumericRows& column, RowId row) noexcept;
[[nodiscard]] inline std::int64_t stable_key(const auto& column, RowId row) noexcept {
    return stable_key(key_at(column, row));
}
[[nodiscard]] inline std::int64_t stable_key(const KeyColumn& column, RowId row) noexcept {
    return std::visit([row](const auto& typed) { return stable_key(typed, row); }, column);
}

// In a column of successes: nobody knows whether the rollout reached the goal.
inline constexpr std::uint8_t no_verdict = 2;

// One batch of rollouts, a row per step, in any order. An empty optional column was not given; a
// given one has a value for every row, and `check_batch` checks that it does.
struct Batch {
    KeyColumn states;
    std::optional<KeyColumn> next_states = {};  // null: unknown, on a trajectory's last step only
    KeyColumn group_ids;
    KeyColumn trajectory_ids;
    std::optional<std::span<const std::uint8_t>> success = {};  // 0, 1 or `no_verdict`
    std::optional<std::span<const std::int64_t>> step_ids = {};
    std::optional<std::span<const double>> rewards = {};
    std::optional<std::span<const double>> episode_returns = {};
    std::optional<std::span<const double>> edge_costs = {};
    std::optional<std::span<const std::uint8_t>> action_valid = {};
    std::optional<std::span<const std::uint8_t>> mask = {};  // 0: the row does not exist
    std::optional<KeyColumn> actions = {};
    std::optional<KeyColumn> peer_keys = {};
    // As they came, if `states` are what was made of them: only to count what that merges wrongly.
    std::optional<KeyColumn> given_states = {};
    std::optional<Remembering> remembering = {};  // with it every step costs 1
};

}  // namespace graphgpo
