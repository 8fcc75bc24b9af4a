// Stable keys of numeric rows, computed by the device: those of the core, bit for bit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cuda/pipeline.hpp"
#include "cuda_batches.hpp"
#include "graphgpo/columns.hpp"
#include "graphgpo/errors.hpp"

namespace graphgpo {
namespace {

// `cuda::state_keys` of rows in host memory.
std::vector<std::int64_t> keys_of(cuda::DeviceRows rows, std::size_t bytes) {
    DeviceMemory memory;
    std::vector<std::int64_t> keys(static_cast<std::size_t>(rows.num_rows), 99);
    rows.data = memory.copy(rows.data, bytes);
    std::int64_t* const on_device = memory.copy(keys);
    cuda::state_keys(rows, on_device, {});
    cuda::copy_to_host(keys.data(), on_device, keys.size() * sizeof(std::int64_t), {});
    return keys;
}

struct TypeCase {
    cuda::ElementType type;
    char kind;
    std::size_t item_size;
};

constexpr TypeCase types[] = {
    {cuda::ElementType::boolean, 'b', 1}, {cuda::ElementType::int8, 'i', 1},
    {cuda::ElementType::uint16, 'u', 2},  {cuda::ElementType::int32, 'i', 4},
    {cuda::ElementType::uint64, 'u', 8},  {cuda::ElementType::int64, 'i', 8},
    {cuda::ElementType::float16, 'f', 2}, {cuda::ElementType::float32, 'f', 4},
    {cuda::ElementType::float64, 'f', 8},
};

// Bytes of rows that are canonical: bools 0 or 1, floats without NaN and -0.0.
std::vector<char> canonical_bytes(const TypeCase& type, std::size_t size, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<char> bytes(size);
    for (std::size_t i = 0; i < size; ++i) {
        auto byte = static_cast<unsigned char>(random());
        if (type.kind == 'b') byte &= 1;
        // The highest byte of a float: no exponent of ones, and never a sign alone.
        if (type.kind == 'f' && i % type.item_size == type.item_size - 1) byte = (byte & 0x3f) | 1;
        bytes[i] = static_cast<char>(byte);
    }
    return bytes;
}

TEST(CudaRowKeys, AreTheCoresForEveryTypeAndLength) {
    constexpr std::int64_t num_rows = 5;
    for (const TypeCase& type : types) {
        for (std::int64_t width = 0; width <= 130; ++width) {
            const std::vector<std::int64_t> shape{width};
            const std::size_t row_bytes = type.item_size * static_cast<std::size_t>(width);
            const std::vector<char> bytes =
                canonical_bytes(type, row_bytes * num_rows, static_cast<std::uint64_t>(width));
            const std::vector<std::int64_t> keys = keys_of(
                {.data = bytes.data(), .type = type.type, .num_rows = num_rows, .row_shape = shape},
                bytes.size());
            const std::string header = array_header(type.kind, type.item_size, shape);
            const KeyColumn column = NumericRows{bytes.data(), num_rows, row_bytes, header};
            for (RowId row = 0; row < num_rows; ++row) {
                ASSERT_EQ(keys[index(row)], stable_key(column, row))
                    << type.kind << type.item_size << " x " << width;
            }
        }
    }
}

TEST(CudaRowKeys, NoRowsHaveNoKeys) {
    const std::vector<std::int64_t> shape{2};
    cuda::state_keys({.data = nullptr, .num_rows = 0, .row_shape = shape}, nullptr, {});
}

TEST(CudaRowKeys, ShapeIsPartOfAState) {
    const std::vector<float> values{1, 2, 3, 4};
    const auto key_of = [&](std::vector<std::int64_t> shape) {
        return keys_of({.data = values.data(), .num_rows = 1, .row_shape = shape},
                       values.size() * sizeof(float))[0];
    };
    EXPECT_NE(key_of({4}), key_of({2, 2}));
}

TEST(CudaRowKeys, NegativeZeroIsZeroAndAnyTrueIsOne) {
    const std::vector<std::int64_t> shape{3};
    const auto keys_as = [&](const auto& values, cuda::ElementType type) {
        return keys_of({.data = values.data(), .type = type, .num_rows = 2, .row_shape = shape},
                       values.size() * sizeof(values[0]));
    };
    const std::vector<float> singles{0.0F, 1, -0.0F, -0.0F, 1, 0.0F};
    const auto of_singles = keys_as(singles, cuda::ElementType::float32);
    EXPECT_EQ(of_singles[0], of_singles[1]);
    const std::vector<double> doubles{0.0, 1, -0.0, -0.0, 1, 0.0};
    const auto of_doubles = keys_as(doubles, cuda::ElementType::float64);
    EXPECT_EQ(of_doubles[0], of_doubles[1]);
    const std::vector<std::uint16_t> halves{0, 0x3c00, 0x8000, 0x8000, 0x3c00, 0};
    const auto of_halves = keys_as(halves, cuda::ElementType::float16);
    EXPECT_EQ(of_halves[0], of_halves[1]);
    const std::vector<std::uint8_t> flags{1, 0, 1, 255, 0, 2};
    const auto of_flags = keys_as(flags, cuda::ElementType::boolean);
    EXPECT_EQ(of_flags[0], of_flags[1]);
}

TEST(CudaRowKeys, ANanIsRefusedByItsRow) {
    const std::vector<std::int64_t> shape{2};
    std::vector<float> values{1, 2, 3, std::numeric_limits<float>::quiet_NaN(), 5, 6};
    const auto hash = [&] {
        return keys_of({.data = values.data(), .num_rows = 3, .row_shape = shape},
                       values.size() * sizeof(float));
    };
    try {
        (void)hash();
        FAIL() << "no error";
    } catch (const RowError& error) {
        EXPECT_EQ(error.row(), 1);
        EXPECT_STREQ(
            error.what(),
            "states[1] holds a NaN; expected numbers: NaN equals nothing, not even itself");
    }
    values[3] = -std::numeric_limits<float>::infinity();
    EXPECT_EQ(hash().size(), 3u);
}

}  // namespace
}  // namespace graphgpo
