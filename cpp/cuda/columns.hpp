// The caller's columns, of whatever numeric type and stride, as the stages read them.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "cuda/device.hpp"
#include "cuda/pipeline.hpp"
#include "cuda/portable.hpp"

namespace graphgpo::cuda {

// What a stage noticed. The host then finds out which row it was, and what to say about it.
enum Finding : std::uint32_t {
    nothing_found = 0,
    invalid_value = 1,  // one that no row may have
    invalid_batch = 2,  // rows that do not go together, numbers that overflow
};

// Null where a column was not given.
struct Columns {
    std::int64_t num_rows;
    const std::int64_t* state_keys;
    const std::int64_t* next_state_keys;
    const std::uint8_t* next_state_known;
    const std::int64_t* group_ids;
    const std::int64_t* trajectory_ids;
    const std::uint8_t* success;
    const std::int64_t* step_ids;
    const double* rewards;
    const double* episode_returns;
    const double* edge_costs;
    const std::uint8_t* action_valid;
    const std::uint8_t* mask;

    [[nodiscard]] GRAPHGPO_HD bool is_masked(std::int64_t row) const {
        return mask != nullptr && mask[row] == 0;
    }
};

// IEEE half precision; every half is a float.
GRAPHGPO_HD inline double double_of_half(std::uint16_t bits) {
    const int exponent = (bits >> 10) & 0x1f;
    const int mantissa = bits & 0x3ff;
    double magnitude = 0;
    if (exponent == 0x1f) {
        magnitude = mantissa == 0 ? infinity : nan;
    } else if (exponent == 0) {
        magnitude = ldexp(static_cast<double>(mantissa), -24);
    } else {
        magnitude = ldexp(static_cast<double>(mantissa + 0x400), exponent - 25);
    }
    return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

// The upper half of a float.
GRAPHGPO_HD inline double double_of_bfloat16(std::uint16_t bits) {
    const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
    float value = 0;
    memcpy(&value, &wide, sizeof(value));
    return value;
}

[[nodiscard]] inline std::size_t element_bytes(ElementType type) {
    switch (type) {
        case ElementType::boolean:
        case ElementType::int8:
        case ElementType::uint8:
            return 1;
        case ElementType::int16:
        case ElementType::uint16:
        case ElementType::float16:
        case ElementType::bfloat16:
            return 2;
        case ElementType::int32:
        case ElementType::uint32:
        case ElementType::float32:
            return 4;
        default:
            return 8;
    }
}

// `visit(element)` with the element in its own type; halves as doubles.
template <typename Visit>
GRAPHGPO_HD auto with_element(const Column& column, std::int64_t row, const Visit& visit) {
    const std::int64_t i = row * column.stride;
    switch (column.type) {
        case ElementType::boolean:
            return visit(static_cast<std::uint8_t>(
                static_cast<const std::uint8_t*>(column.data)[i] != 0 ? 1 : 0));
        case ElementType::int8:
            return visit(static_cast<const std::int8_t*>(column.data)[i]);
        case ElementType::int16:
            return visit(static_cast<const std::int16_t*>(column.data)[i]);
        case ElementType::int32:
            return visit(static_cast<const std::int32_t*>(column.data)[i]);
        case ElementType::int64:
            return visit(static_cast<const std::int64_t*>(column.data)[i]);
        case ElementType::uint8:
            return visit(static_cast<const std::uint8_t*>(column.data)[i]);
        case ElementType::uint16:
            return visit(static_cast<const std::uint16_t*>(column.data)[i]);
        case ElementType::uint32:
            return visit(static_cast<const std::uint32_t*>(column.data)[i]);
        case ElementType::uint64:
            return visit(static_cast<const std::uint64_t*>(column.data)[i]);
        case ElementType::float16:
            return visit(double_of_half(static_cast<const std::uint16_t*>(column.data)[i]));
        case ElementType::bfloat16:
            return visit(double_of_bfloat16(static_cast<const std::uint16_t*>(column.data)[i]));
        case ElementType::float32:
            return visit(static_cast<const float*>(column.data)[i]);
        default:
            return visit(static_cast<const double*>(column.data)[i]);
    }
}

struct ReadReal {
    template <typename T>
    GRAPHGPO_HD double operator()(T value) const {
        return static_cast<double>(value);
    }
};

struct ReadInteger {
    template <typename T>
    GRAPHGPO_HD std::int64_t operator()(T value) const {
        return static_cast<std::int64_t>(value);
    }
};

struct IsOutsideInt64 {
    template <typename T>
    GRAPHGPO_HD bool operator()(T value) const {
        return sizeof(T) == 8 && T(-1) > T(0) && value > static_cast<T>(INT64_MAX);
    }
};

struct IsFlag {
    template <typename T>
    GRAPHGPO_HD bool operator()(T value) const {
        return value == T(0) || value == T(1);
    }
};

// The columns whose values may be unreadable, in the order in which they are complained about.
enum Readable : std::uint8_t {
    mask_flags,
    state_integers,
    next_state_integers,
    next_state_known_flags,
    group_integers,
    trajectory_integers,
    success_flags,
    action_valid_flags,
    step_integers,
};
struct ReadableColumn {
    const char* name;  // the core's
    Column DeviceBatch::* column;
    bool is_flag;
};
inline constexpr std::array<ReadableColumn, 9> readable_columns{{
    {"mask", &DeviceBatch::mask, true},
    {"states", &DeviceBatch::state_keys, false},
    {"next_states", &DeviceBatch::next_state_keys, false},
    {"next_state_known", &DeviceBatch::next_state_known, true},
    {"group_ids", &DeviceBatch::group_ids, false},
    {"trajectory_ids", &DeviceBatch::trajectory_ids, false},
    {"success", &DeviceBatch::success, true},
    {"action_valid", &DeviceBatch::action_valid, true},
    {"step_ids", &DeviceBatch::step_ids, false},
}};

// What the stages found wrong; in device memory.
struct Findings {
    std::uint32_t bits;
    RowId unreadable_rows[readable_columns.size()];  // the first of every column
};

// Reads columns in place where it can, else into arrays of the device.
class ColumnReader {
  public:
    ColumnReader(Device& device, const DeviceBatch& batch, Findings* findings)
        : device_(&device), batch_(&batch), num_rows_(batch.num_rows), findings_(findings) {}

    // Read before the others: values of masked rows are not complained about.
    void read_mask() { mask_ = flags(mask_flags); }
    [[nodiscard]] const std::uint8_t* mask() const { return mask_; }

    [[nodiscard]] const std::int64_t* integers(Readable which) const {
        const Column column = batch_->*readable_columns[which].column;
        if (!column.is_given()) return nullptr;
        if (column.type == ElementType::int64 && column.stride == 1) {
            return static_cast<const std::int64_t*>(column.data);
        }
        auto* const values = device_->array<std::int64_t>(num_rows_);
        const auto* const mask = mask_;
        RowId* const unreadable_row = &findings_->unreadable_rows[which];
        device_->each(num_rows_, [=] GRAPHGPO_GPU(std::int64_t row) {
            values[row] = with_element(column, row, ReadInteger());
            const bool is_masked = mask != nullptr && mask[row] == 0;
            if (with_element(column, row, IsOutsideInt64()) && !is_masked) {
                atomic_min(unreadable_row, static_cast<RowId>(row));
            }
        });
        return values;
    }

    [[nodiscard]] const double* reals(const Column& column) const {
        if (!column.is_given()) return nullptr;
        if (column.type == ElementType::float64 && column.stride == 1) {
            return static_cast<const double*>(column.data);
        }
        auto* const values = device_->array<double>(num_rows_);
        device_->each(num_rows_, [=] GRAPHGPO_GPU(std::int64_t row) {
            values[row] = with_element(column, row, ReadReal());
        });
        return values;
    }

    [[nodiscard]] const std::uint8_t* flags(Readable which) const {
        const Column column = batch_->*readable_columns[which].column;
        if (!column.is_given()) return nullptr;
        if (column.type == ElementType::boolean && column.stride == 1) {
            return static_cast<const std::uint8_t*>(column.data);
        }
        auto* const values = device_->array<std::uint8_t>(num_rows_);
        const auto* const mask = mask_;
        RowId* const unreadable_row = &findings_->unreadable_rows[which];
        device_->each(num_rows_, [=] GRAPHGPO_GPU(std::int64_t row) {
            values[row] = with_element(column, row, ReadReal()) != 0 ? 1 : 0;
            const bool is_masked = mask != nullptr && mask[row] == 0;
            if (!with_element(column, row, IsFlag()) && !is_masked) {
                atomic_min(unreadable_row, static_cast<RowId>(row));
            }
        });
        return values;
    }

  private:
    Device* device_;
    const DeviceBatch* batch_;
    std::int64_t num_rows_;
    Findings* findings_;
    const std::uint8_t* mask_ = nullptr;
};

[[nodiscard]] inline Columns read_columns(Device& device, const DeviceBatch& batch,
                                          Findings* findings) {
    device.each(1, [=] GRAPHGPO_GPU(std::int64_t) {
        findings->bits = nothing_found;
        for (RowId& row : findings->unreadable_rows) row = INT32_MAX;
    });
    ColumnReader reader(device, batch, findings);
    reader.read_mask();
    return {.num_rows = batch.num_rows,
            .state_keys = reader.integers(state_integers),
            .next_state_keys = reader.integers(next_state_integers),
            .next_state_known = reader.flags(next_state_known_flags),
            .group_ids = reader.integers(group_integers),
            .trajectory_ids = reader.integers(trajectory_integers),
            .success = reader.flags(success_flags),
            .step_ids = reader.integers(step_integers),
            .rewards = reader.reals(batch.rewards),
            .episode_returns = reader.reals(batch.episode_returns),
            .edge_costs = reader.reals(batch.edge_costs),
            .action_valid = reader.flags(action_valid_flags),
            .mask = reader.mask()};
}

// What must hold for every row on its own (`check_batch` of the core).
inline void check_values(Device& device, const Columns& columns, std::uint32_t* findings) {
    if (columns.rewards == nullptr && columns.episode_returns == nullptr &&
        columns.edge_costs == nullptr) {
        return;
    }
    device.each(columns.num_rows, [=] GRAPHGPO_GPU(std::int64_t row) {
        if (columns.is_masked(row)) return;
        const bool is_valid =
            (columns.rewards == nullptr || is_finite(columns.rewards[row])) &&
            (columns.episode_returns == nullptr || is_finite(columns.episode_returns[row])) &&
            (columns.edge_costs == nullptr ||
             (is_finite(columns.edge_costs[row]) && columns.edge_costs[row] > 0));
        if (!is_valid) atomic_or(findings, invalid_value);
    });
}

}  // namespace graphgpo::cuda
