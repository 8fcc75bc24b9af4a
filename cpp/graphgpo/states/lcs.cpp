#include "graphgpo/states/lcs.hpp"

#include <algorithm>
#include <bit>

namespace graphgpo {

void CommonSubsequence::prepare(std::span<const Symbol> pattern, std::size_t alphabet_size) {
    pattern_ = pattern;
    num_words_ = (pattern.size() + word_bits - 1) / word_bits;
    scratch_.assign(num_words_, 0);

    occurrences_.assign(alphabet_size, {});
    for (const Symbol symbol : pattern) ++occurrences_[symbol].end;
    std::uint32_t begin = 0;
    for (Occurrences& symbol : occurrences_) {
        const std::uint32_t count = symbol.end;
        symbol.begin = symbol.end = begin;
        begin += count;
    }
    positions_.resize(pattern.size());
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        positions_[occurrences_[pattern[at]].end++] = static_cast<std::uint32_t>(at);
    }

    // A row is worth it for a symbol more frequent than every eighth word has one: all rows
    // together are then at most 64 bytes a symbol of the pattern, whatever the alphabet.
    std::uint32_t num_rows = 0;
    for (Occurrences& symbol : occurrences_) {
        if ((symbol.end - symbol.begin) * 8 > num_words_) symbol.row = num_rows++;
    }
    matches_.assign(num_rows * num_words_, 0);
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        const std::uint32_t row = occurrences_[pattern[at]].row;
        if (row == rare) continue;
        matches_[row * num_words_ + at / word_bits] |= Word{1} << (at % word_bits);
    }
}

bool CommonSubsequence::has(std::size_t at_least, std::span<const Symbol> other) {
    if (at_least == 0) return true;
    if (at_least > std::min(pattern_.size(), other.size())) return false;
    const std::size_t ahead = pattern_.size() - at_least;  // columns before a row's diagonal one
    const std::size_t behind = other.size() - at_least;    // and after it

    lengths_.assign(num_words_, ~Word{0});
    for (std::size_t row = 0; row < other.size(); ++row) {
        const std::size_t first = row > behind ? (row - behind) / word_bits : 0;
        const std::size_t last = std::min(num_words_, (row + ahead) / word_bits + 1);
        if (first >= last) break;  // all of the pattern is behind
        meter_(1 + (last - first) / 8);
        const Occurrences& symbol = occurrences_[other[row]];
        if (symbol.begin != symbol.end) advance(symbol, first, last);
        if (row % word_bits == word_bits - 1 &&
            !can_reach(at_least, other.size() - row - 1, first, last)) {
            return false;
        }
    }
    std::size_t length = 0;
    for (std::size_t word = 0; word < num_words_; ++word) {
        length += static_cast<std::size_t>(std::popcount(~lengths_[word]));
    }
    return length >= at_least;
}

// The next row, of words [first, last).
void CommonSubsequence::advance(const Occurrences& symbol, std::size_t first, std::size_t last) {
    const auto add_row = [&](const Word* matches) {
        unsigned char carry = 0;
        for (std::size_t word = first; word < last; ++word) {
            const Word row = lengths_[word];
            const Word matching = row & matches[word];
            const Word sum = row + matching;
            const Word with_carry = sum + carry;
            carry = static_cast<unsigned char>((sum < row) | (with_carry < sum));
            lengths_[word] = with_carry | (row & ~matches[word]);
        }
    };
    if (symbol.row != rare) {
        add_row(matches_.data() + symbol.row * num_words_);
        return;
    }
    const auto each_occurrence = [&](auto&& visit) {
        for (std::uint32_t i = symbol.begin; i != symbol.end; ++i) visit(positions_[i]);
    };
    each_occurrence(
        [&](std::uint32_t at) { scratch_[at / word_bits] |= Word{1} << (at % word_bits); });
    add_row(scratch_.data());
    each_occurrence([&](std::uint32_t at) { scratch_[at / word_bits] = 0; });
}

// A subsequence that passes the row in some column has at most what is common up to the end of
// that column's word, and no more to come than rows or columns are left.
bool CommonSubsequence::can_reach(std::size_t at_least, std::size_t rows_left, std::size_t first,
                                  std::size_t last) const {
    std::size_t length = 0;
    for (std::size_t word = 0; word < last; ++word) {
        length += static_cast<std::size_t>(std::popcount(~lengths_[word]));
        const std::size_t columns_left = pattern_.size() - word * word_bits;
        if (word >= first && length + std::min(rows_left, columns_left) >= at_least) return true;
    }
    return false;
}

}  // namespace graphgpo
