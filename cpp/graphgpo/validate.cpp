#include "graphgpo/validate.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <vector>

#include "graphgpo/errors.hpp"
#include "graphgpo/text.hpp"

namespace graphgpo {

namespace {

using std::string_literals::operator""s;

bool is_masked(const Batch& batch, std::size_t row) noexcept {
    return batch.mask && (*batch.mask)[row] == 0;
}

void check_length(std::string_view column, std::size_t length, std::size_t num_rows) {
    if (length == num_rows) return;
    throw std::invalid_argument("states has " + std::to_string(num_rows) + " rows but " +
                                std::string(column) + " has " + std::to_string(length) +
                                "; every column needs one value per step");
}

template <typename T>
void check_length(std::string_view column, const std::optional<T>& values, std::size_t num_rows) {
    if (values) check_length(column, values->size(), num_rows);
}

void check_no_null(const Batch& batch, std::string_view name, const KeyColumn& column) {
    const auto check = [&](const auto& values, auto&& is_null) {
        for (std::size_t row = 0; row < values.size(); ++row) {
            if (!is_null(values[row]) || is_masked(batch, row)) continue;
            throw RowError(id_of(row), cell(name, id_of(row)) + " is null; expected a value");
        }
    };
    if (const auto* keys = std::get_if<std::span<const Key>>(&column)) {
        check(*keys, [](const Key& key) { return key.is_null(); });
    } else if (const auto* numbered = std::get_if<NumberedKeys>(&column)) {
        check(numbered->numbers, [](std::int32_t number) { return number == none; });
    }
}

template <typename Predicate>
void check_values(const Batch& batch, std::string_view name,
                  const std::optional<std::span<const double>>& column, Predicate is_valid,
                  std::string_view expected) {
    if (!column) return;
    for (std::size_t row = 0; row < column->size(); ++row) {
        if (!is_valid((*column)[row]) && !is_masked(batch, row)) {
            throw RowError(id_of(row), cell(name, id_of(row)) + " is " + describe((*column)[row]) +
                                           "; expected " + std::string(expected));
        }
    }
}

// The beginning of a UTF-8 text.
std::string quoted(std::string_view utf8) {
    constexpr std::size_t longest = 40;
    std::size_t size = std::min(utf8.size(), longest);
    // Not in the middle of a character.
    while (size < utf8.size() && size > 0 && (utf8[size] & 0xC0) == 0x80) --size;
    std::string text = "'";
    text += utf8.substr(0, size);
    if (size < utf8.size()) text += "...";
    return text += "'";
}

template <typename Unit>
std::string quoted_units(std::string_view bytes) {
    std::vector<Unit> units(bytes.size() / sizeof(Unit));
    if (!units.empty()) std::memcpy(units.data(), bytes.data(), bytes.size());
    return quoted(TextEncoder().encode(std::span<const Unit>(units)));
}

void check_episode_returns(const Batch& batch) {
    if (!batch.episode_returns) return;
    for (std::size_t row = 0; row < batch.episode_returns->size(); ++row) {
        const double value = (*batch.episode_returns)[row];
        if (std::isfinite(value) || is_masked(batch, row)) continue;
        if (std::isnan(value) && batch.success && (*batch.success)[row] == no_verdict) continue;
        const std::string what = std::isnan(value) ? "null or NaN" : describe(value);
        throw RowError(
            id_of(row),
            cell("episode_returns", id_of(row)) + " is " + what + "; expected a finite number" +
                (std::isnan(value) ? ", or success None on every row of its trajectory" : ""));
    }
}

}  // namespace

void require(bool is_valid, std::string_view option, double value, std::string_view expected) {
    if (is_valid) return;
    throw std::invalid_argument(std::string(option) + " is " + describe(value) + "; expected " +
                                std::string(expected));
}

void check_cost(RowId row, double cost) {
    if (std::isfinite(cost) && cost > 0) return;
    throw RowError(
        row, cell("edge_costs", row) + " is " + describe(cost) + "; expected a finite number > 0");
}

std::string describe(double value) {
    std::array<char, 32> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    return {text.data(), end};
}

std::string describe(const Key& key) {
    switch (key.kind()) {
        case KeyKind::null:
            return "None";
        case KeyKind::integer:
            return std::to_string(static_cast<std::int64_t>(key.value()));
        case KeyKind::text:
            return quoted(key.bytes());
        case KeyKind::ucs1_text:
            return quoted_units<std::uint8_t>(key.bytes());
        case KeyKind::ucs2_text:
            return quoted_units<std::uint16_t>(key.bytes());
        case KeyKind::ucs4_text:
            return quoted_units<std::uint32_t>(key.bytes());
        default:
            return "another value";
    }
}

std::string cell(std::string_view column, RowId row) {
    return std::string(column) + "[" + std::to_string(row) + "]";
}

void check_batch(const Batch& batch) {
    const std::size_t rows = num_rows(batch.states);
    if (rows > max_rows) {
        throw std::invalid_argument("states has " + std::to_string(rows) +
                                    " rows; expected at most 2147483646 (2**31 - 2)");
    }
    if (batch.next_states) check_length("next_states", num_rows(*batch.next_states), rows);
    check_length("group_ids", num_rows(batch.group_ids), rows);
    check_length("trajectory_ids", num_rows(batch.trajectory_ids), rows);
    check_length("success", batch.success, rows);
    check_length("step_ids", batch.step_ids, rows);
    check_length("rewards", batch.rewards, rows);
    check_length("episode_returns", batch.episode_returns, rows);
    check_length("edge_costs", batch.edge_costs, rows);
    check_length("action_valid", batch.action_valid, rows);
    check_length("mask", batch.mask, rows);
    if (batch.actions) check_length("actions", num_rows(*batch.actions), rows);
    if (batch.peer_keys) check_length("peer_keys", num_rows(*batch.peer_keys), rows);
    if (batch.given_states) check_length("given_states", num_rows(*batch.given_states), rows);

    check_no_null(batch, "states", batch.states);
    check_no_null(batch, "group_ids", batch.group_ids);
    check_no_null(batch, "trajectory_ids", batch.trajectory_ids);

    const auto is_finite = [](double value) { return std::isfinite(value); };
    check_values(batch, "rewards", batch.rewards, is_finite, "a finite number");
    check_episode_returns(batch);
}

}  // namespace graphgpo
