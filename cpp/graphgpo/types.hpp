// The integers the rooms pass to each other. Ids are signed, as in NumPy and torch.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace graphgpo {

using RowId = std::int32_t;         // row of the caller's columns
using GroupId = std::int32_t;       // group of the batch, dense by first unmasked row
using TrajectoryId = std::int32_t;  // trajectory of one group, dense by first row
using StepId = std::int32_t;        // step of one group (a row without its copies), by first row
using StateId = std::int32_t;       // node of one group's graph, dense by first appearance
using Distance = double;            // sum of edge costs

inline constexpr std::int32_t none = -1;             // no such step, state or row
inline constexpr std::size_t max_rows = 2147483646;  // 2^31 - 2: every row can be a node, plus GOAL

// Subscript of an id: the one place where signed ids become unsigned sizes.
[[nodiscard]] constexpr std::size_t index(std::signed_integral auto id) noexcept {
    return static_cast<std::size_t>(id);
}

// Id of a subscript; sizes were checked against max_rows on the way in.
[[nodiscard]] constexpr std::int32_t id_of(std::size_t subscript) noexcept {
    return static_cast<std::int32_t>(subscript);
}

}  // namespace graphgpo
