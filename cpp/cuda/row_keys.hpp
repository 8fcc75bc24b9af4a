// Stable keys of numeric rows, computed where the rows lie.
#pragma once

#include <cstdint>
#include <string>

#include "cuda/columns.hpp"
#include "cuda/device.hpp"
#include "cuda/pipeline.hpp"
#include "cuda/portable.hpp"
#include "graphgpo/columns.hpp"
#include "graphgpo/errors.hpp"
#include "graphgpo/key.hpp"
#include "graphgpo/state_hash.hpp"
#include "graphgpo/types.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo::cuda {

GRAPHGPO_HD inline std::uint64_t rotate_left(std::uint64_t word, unsigned bits) {
    return word << bits | word >> (64 - bits);
}

GRAPHGPO_HD inline std::uint64_t fold_words(std::uint64_t a, std::uint64_t b) {
#ifdef __CUDA_ARCH__
    return a ^ b ^ (a * b) ^ __umul64hi(a, b);
#else
    return fold(a, b);
#endif
}

// The bytes of one row in canonical form, at any offset: -0.0 as 0.0, bools as 0 or 1.
struct CanonicalRow {
    const unsigned char* bytes;
    std::uint32_t item_size;  // 1, 2, 4 or 8; elements are aligned to it
    bool is_float;
    bool is_boolean;

    [[nodiscard]] GRAPHGPO_HD std::uint64_t element(std::uint64_t i) const {
        std::uint64_t value = 0;
        switch (item_size) {
            case 1:
                value = bytes[i];
                break;
            case 2:
                value = reinterpret_cast<const std::uint16_t*>(bytes)[i];
                break;
            case 4:
                value = reinterpret_cast<const std::uint32_t*>(bytes)[i];
                break;
            default:
                value = reinterpret_cast<const std::uint64_t*>(bytes)[i];
        }
        if (is_boolean) return value != 0 ? 1 : 0;
        const bool is_negative_zero = is_float && value == std::uint64_t{1} << (8 * item_size - 1);
        return is_negative_zero ? 0 : value;
    }

    [[nodiscard]] GRAPHGPO_HD bool is_nan(std::uint64_t i) const {
        const int mantissa_bits = item_size == 2 ? 10 : item_size == 4 ? 23 : 52;
        const std::uint64_t sign = std::uint64_t{1} << (8 * item_size - 1);
        const std::uint64_t infinite = ((sign - 1) >> mantissa_bits) << mantissa_bits;
        return (element(i) & (sign - 1)) > infinite;
    }

    // `size` bytes from `offset` on, the first one lowest.
    [[nodiscard]] GRAPHGPO_HD std::uint64_t load(std::uint64_t offset, int size) const {
        std::uint64_t word = 0;
        for (int loaded = 0; loaded < size;) {
            const std::uint64_t at = offset + static_cast<std::uint64_t>(loaded);
            const auto skipped = static_cast<int>(at % item_size);
            word |= element(at / item_size) >> (8 * skipped) << (8 * loaded);
            loaded += static_cast<int>(item_size) - skipped;
        }
        return size == 8 ? word : word & ((std::uint64_t{1} << (8 * size)) - 1);
    }
};

// `HashSecret` as device code can read it.
struct Secret {
    std::uint64_t words[5];

    explicit Secret(const HashSecret& secret) {
        for (std::size_t i = 0; i < 5; ++i) words[i] = secret.words[i];
    }
};

// `graphgpo::hash_bytes` over a row that is made canonical while it is read.
GRAPHGPO_HD inline std::uint64_t hash_row(const CanonicalRow& row, std::uint64_t size,
                                          std::uint64_t seed, const Secret& by) {
    const std::uint64_t* const secret = by.words;
    const auto absorb = [&](std::uint64_t offset, std::uint64_t state) {
        return fold_words(row.load(offset, 8) ^ state,
                          row.load(offset + 8, 8) ^ rotate_left(state, 32));
    };
    std::uint64_t state = fold_words(seed ^ secret[0], size ^ secret[1]);
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    if (size > 16) {
        std::uint64_t at = 0;
        if (size > 48) {
            std::uint64_t second_chain = state ^ secret[2];
            std::uint64_t third_chain = state ^ secret[3];
            for (; size - at > 48; at += 48) {
                state = absorb(at, state);
                second_chain = absorb(at + 16, second_chain);
                third_chain = absorb(at + 32, third_chain);
            }
            state ^= rotate_left(second_chain, 21) ^ rotate_left(third_chain, 42);
        }
        for (; size - at > 16; at += 16) state = absorb(at, state);
        first = row.load(size - 16, 8);
        last = row.load(size - 8, 8);
    } else if (size >= 8) {
        first = row.load(0, 8);
        last = row.load(size - 8, 8);
    } else if (size >= 4) {
        first = row.load(0, 4);
        last = row.load(size - 4, 4);
    } else if (size > 0) {
        first = row.load(0, 1) | row.load(size / 2, 1) << 8 | row.load(size - 1, 1) << 16;
    }
    return fold_words(fold_words(first ^ state, last ^ rotate_left(state, 32)), secret[4] ^ size);
}

// NumPy's letter for the kind of a type.
[[nodiscard]] inline char kind_of(ElementType type) {
    switch (type) {
        case ElementType::boolean:
            return 'b';
        case ElementType::int8:
        case ElementType::int16:
        case ElementType::int32:
        case ElementType::int64:
            return 'i';
        case ElementType::uint8:
        case ElementType::uint16:
        case ElementType::uint32:
        case ElementType::uint64:
            return 'u';
        default:
            return 'f';
    }
}

// Takes   numeric rows, the hash of their dtype and shape as a seed.
// Gives   the stable key of every row; the first row with a NaN.
// Idea    A thread per row: it reads its row front to back, in the three chains of `hash_bytes`.
// Memory  Every byte of every row once from DRAM; 8 bytes of key. Neighbouring threads read
//         `row_bytes` apart, so rows of more than a sector (32 bytes) live from the caches: a
//         sector that a thread has begun to read is there for its next loads.
// Cost    One 64 x 64 -> 128 bit multiplication per 16 bytes; bound by memory for short rows.
inline void hash_rows(Device& device, const DeviceRows& rows, std::size_t row_bytes,
                      std::uint64_t seed, std::int64_t* keys, RowId* nan_row) {
    const auto* const data = static_cast<const unsigned char*>(rows.data);
    const char kind = kind_of(rows.type);
    const auto item_size = static_cast<std::uint32_t>(element_bytes(rows.type));
    const Secret secret(kStableSecret);
    device.each(rows.num_rows, [=] GRAPHGPO_GPU(std::int64_t i) {
        const CanonicalRow row{data + static_cast<std::uint64_t>(i) * row_bytes, item_size,
                               kind == 'f', kind == 'b'};
        if (kind == 'f') {
            for (std::uint64_t at = 0; at < row_bytes / item_size; ++at) {
                if (row.is_nan(at)) atomic_min(nan_row, static_cast<RowId>(i));
            }
        }
        keys[i] = static_cast<std::int64_t>(hash_row(row, row_bytes, seed, secret));
    });
}

void state_keys(const DeviceRows& rows, std::int64_t* keys, const Queue& queue) {
    const std::size_t item_size = element_bytes(rows.type);
    std::size_t row_bytes = item_size;
    for (const std::int64_t axis : rows.row_shape) row_bytes *= static_cast<std::size_t>(axis);
    const std::string header = array_header(kind_of(rows.type), item_size, rows.row_shape);
    const std::uint64_t seed = hash_bytes(
        header.data(), header.size(), static_cast<std::uint64_t>(KeyKind::array), kStableSecret);
    if (rows.num_rows == 0) return;
    Device device(queue, 1);
    auto* const nan_row = device.filled<RowId>(1, INT32_MAX);
    hash_rows(device, rows, row_bytes, seed, keys, nan_row);
    const RowId row = device.read(nan_row);
    if (row == INT32_MAX) return;
    throw RowError(row, cell("states", row) +
                            " holds a NaN; expected numbers: NaN equals nothing, not even itself");
}

}  // namespace graphgpo::cuda
