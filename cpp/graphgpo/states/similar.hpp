// Texts that are almost the same: connected components of near-duplicates.
//
// Two texts are neighbours if 2 LCS / (|a| + |b|) >= threshold, where LCS is the length of their
// longest common subsequence and sizes count code points; two empty texts are. A component is
// whatever neighbours lead to, so the answer does not depend on the order of texts, and a component
// may hold texts that are no neighbours. Decided in integers: the threshold is the exact fraction
// its double is.
//
// Exact, and hardly a pair is compared. Of two texts with LCS >= c, deleting |a| - c characters and
// inserting |b| - c others makes one of the other, so what follows only leaves out pairs that are
// none:
//   - pairs of one component already;
//   - c > min(|a|, |b|): texts are sorted by size, so that ends a row of pairs;
//   - fewer than 3 c - |a| - |b| - 1 bigrams in common: a deletion destroys at most two of them, an
//     insertion one. Bigrams are counted in 512 buckets, which may only overestimate.
// A common beginning and end of c characters proves a pair; `lcs.hpp` decides the others.
//
// O(pairs of similar size) steps of 30 ns, and |a| |b| / 64 word operations for each that is left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "graphgpo/memory.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

struct SimilarTexts {
    Array<std::int32_t> components;  // by text; numbered by their first text
    std::int32_t merged = 0;         // distinct texts that are not the first of their component
    std::int32_t largest = 0;        // distinct texts of the largest component
};

// The fewest common code points with which texts of `total` code points together are neighbours.
// `threshold` in (0, 1].
[[nodiscard]] std::size_t fewest_common(double threshold, std::size_t total) noexcept;

// Of the texts (UTF-8) of one group. Throws std::invalid_argument for a threshold outside (0, 1].
[[nodiscard]] SimilarTexts similar_components(std::span<const std::string_view> texts,
                                              double threshold);

// The same, group by group: components never span groups, and are numbered one group after the
// other. `groups` has one id per text, dense from 0.
[[nodiscard]] SimilarTexts similar_components(std::span<const std::string_view> texts,
                                              std::span<const GroupId> groups, double threshold);

}  // namespace graphgpo
