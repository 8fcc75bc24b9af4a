// Whether two texts have a common subsequence of a given length.
//
// Takes texts as symbols 0, 1, ... of one alphabet. Bit-parallel (Crochemore et al. 2001; Hyyro,
// "Bit-parallel LCS-length computation revisited", 2004): a row of the table of common lengths is a
// string of bits, a zero where the length grows by one, and the next row is
// (v + (v & m)) | (v & ~m), 64 columns a step. Only columns that a long enough subsequence can pass
// are computed: with `at_least` of it in common, it leaves the diagonal by at most
// |pattern| - at_least one way and |other| - at_least the other. Outside of it lengths are too
// small, never too large, so the answer stays exact. Every 64 rows a bound on what can still be
// reached ends the search early.
//
// O(|other| * band / 64) time at most.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "graphgpo/stop.hpp"

namespace graphgpo {

using Symbol = std::uint32_t;

// One text, prepared to be compared with many. Its memory is used again by the next.
class CommonSubsequence {
  public:
    // The symbols are viewed, and below `alphabet_size`.
    void prepare(std::span<const Symbol> pattern, std::size_t alphabet_size);

    // Whether it and `other` have a subsequence of `at_least` symbols in common.
    [[nodiscard]] bool has(std::size_t at_least, std::span<const Symbol> other);

  private:
    using Word = std::uint64_t;
    static constexpr std::size_t word_bits = 64;
    static constexpr std::uint32_t rare = 0xffffffff;

    struct Occurrences {
        std::uint32_t begin = 0;  // in `positions_`
        std::uint32_t end = 0;
        std::uint32_t row = rare;  // in `matches_`; rare symbols have none
    };

    [[nodiscard]] bool can_reach(std::size_t at_least, std::size_t rows_left, std::size_t first,
                                 std::size_t last) const;
    void advance(const Occurrences& symbol, std::size_t first, std::size_t last);

    std::span<const Symbol> pattern_;
    std::size_t num_words_ = 0;
    std::vector<Occurrences> occurrences_;  // by symbol
    std::vector<std::uint32_t> positions_;  // of every symbol, ascending
    std::vector<Word> matches_;             // a row of bits per frequent symbol
    std::vector<Word> scratch_;             // such a row of a rare one, zero between uses
    std::vector<Word> lengths_;             // the row of the table
    StopMeter meter_;                       // its calls are short, and many
};

}  // namespace graphgpo
