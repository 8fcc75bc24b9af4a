#include "graphgpo/states/similar.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "graphgpo/csr.hpp"
#include "graphgpo/interner.hpp"
#include "graphgpo/states/lcs.hpp"
#include "graphgpo/stop.hpp"

namespace graphgpo {

namespace {

// --- texts as symbols ---------------------------------------------------------------------------

// The code point at `at`, which moves behind it. Of well-formed UTF-8, surrogates included.
std::uint32_t next_code_point(const char*& at) {
    const auto byte = [&] { return static_cast<std::uint32_t>(static_cast<unsigned char>(*at++)); };
    const auto tail = [&](std::uint32_t head) { return (head << 6) | (byte() & 0x3F); };
    const std::uint32_t first = byte();
    if (first < 0x80) return first;
    if (first < 0xE0) return tail(first & 0x1F);
    if (first < 0xF0) return tail(tail(first & 0x0F));
    return tail(tail(tail(first & 0x07)));
}

// Code points as symbols 0, 1, ..., by first use.
class Alphabet {
  public:
    Alphabet() { ascii_.fill(unknown); }

    [[nodiscard]] Symbol symbol(std::uint32_t code_point) {
        if (code_point < ascii_.size()) {
            Symbol& known = ascii_[code_point];
            return known != unknown ? known : known = size_++;
        }
        const auto [entry, is_new] = others_.try_emplace(code_point, size_);
        if (is_new) ++size_;
        return entry->second;
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

  private:
    static constexpr Symbol unknown = 0xffffffff;
    std::array<Symbol, 128> ascii_{};
    std::unordered_map<std::uint32_t, Symbol> others_;
    Symbol size_ = 0;
};

// The texts one behind the other.
struct SymbolTexts {
    std::vector<Symbol> symbols;
    std::vector<std::size_t> offsets;
    std::size_t alphabet_size;

    [[nodiscard]] std::size_t count() const noexcept { return offsets.size() - 1; }
    [[nodiscard]] std::size_t size(std::size_t text) const {
        return offsets[text + 1] - offsets[text];
    }
    [[nodiscard]] std::span<const Symbol> operator[](std::size_t text) const {
        return {symbols.data() + offsets[text], size(text)};
    }
};

SymbolTexts symbol_texts(std::span<const std::string_view> texts) {
    SymbolTexts result{{}, {0}, 0};
    Alphabet alphabet;
    for (const std::string_view text : texts) {
        for (const char* at = text.data(); at != text.data() + text.size();) {
            result.symbols.push_back(alphabet.symbol(next_code_point(at)));
        }
        result.offsets.push_back(result.symbols.size());
    }
    result.alphabet_size = alphabet.size();
    return result;
}

// --- bigrams ------------------------------------------------------------------------------------

// How often bigrams of each bucket occur. What a byte cannot count is counted for all buckets
// together, so that `common` may be too large, never too small.
struct Bigrams {
    static constexpr std::size_t num_buckets = 512;
    std::array<std::uint8_t, num_buckets> counts{};
    std::uint32_t overflow = 0;

    explicit Bigrams(std::span<const Symbol> text) {
        for (std::size_t i = 0; i + 1 < text.size(); ++i) {
            const std::uint32_t hash = text[i] * 0x9E3779B1U + text[i + 1] * 0x85EBCA77U;
            std::uint8_t& count = counts[(hash ^ (hash >> 15)) % num_buckets];
            if (count == 255) {
                ++overflow;
            } else {
                ++count;
            }
        }
    }
};

std::size_t common(const Bigrams& a, const Bigrams& b) {
    std::size_t sum = std::min(a.overflow, b.overflow);
    // Sums of 64 bytes in 16 bits: the compiler makes one vector loop of it.
    for (std::size_t block = 0; block < Bigrams::num_buckets; block += 64) {
        std::uint16_t block_sum = 0;
        for (std::size_t i = block; i < block + 64; ++i) {
            block_sum = static_cast<std::uint16_t>(block_sum + std::min(a.counts[i], b.counts[i]));
        }
        sum += block_sum;
    }
    return sum;
}

// --- components ---------------------------------------------------------------------------------

class Components {
  public:
    explicit Components(std::size_t size) : parents_(size) {
        std::iota(parents_.begin(), parents_.end(), std::size_t{0});
    }
    [[nodiscard]] std::size_t root(std::size_t of) {
        while (parents_[of] != of) of = parents_[of] = parents_[parents_[of]];
        return of;
    }
    void join(std::size_t a, std::size_t b) { parents_[root(a)] = root(b); }

  private:
    std::vector<std::size_t> parents_;
};

std::size_t common_ends(std::span<const Symbol> a, std::span<const Symbol> b) {
    const std::size_t shorter = std::min(a.size(), b.size());
    std::size_t head = 0;
    while (head < shorter && a[head] == b[head]) ++head;
    std::size_t tail = 0;
    while (head + tail < shorter && a[a.size() - 1 - tail] == b[b.size() - 1 - tail]) ++tail;
    return head + tail;
}

Components components_of(const SymbolTexts& texts, double threshold) {
    std::vector<std::size_t> by_size(texts.count());
    std::iota(by_size.begin(), by_size.end(), std::size_t{0});
    std::ranges::stable_sort(by_size, {}, [&](std::size_t text) { return texts.size(text); });
    std::vector<Bigrams> bigrams;
    bigrams.reserve(texts.count());
    for (const std::size_t text : by_size) bigrams.emplace_back(texts[text]);

    Components components(texts.count());
    CommonSubsequence subsequence;
    StopMeter meter;
    for (std::size_t i = 0; i < by_size.size(); ++i) {
        const auto shorter = texts[by_size[i]];
        bool is_prepared = false;
        for (std::size_t j = i + 1; j < by_size.size(); ++j) {
            meter(16);
            const auto longer = texts[by_size[j]];
            const std::size_t total = shorter.size() + longer.size();
            const std::size_t fewest = fewest_common(threshold, total);
            if (fewest > shorter.size()) break;  // and all further ones are longer still
            if (components.root(by_size[i]) == components.root(by_size[j])) continue;
            if (common(bigrams[i], bigrams[j]) + total + 1 < 3 * fewest) continue;
            if (common_ends(shorter, longer) < fewest) {
                if (!is_prepared) subsequence.prepare(shorter, texts.alphabet_size);
                is_prepared = true;
                if (!subsequence.has(fewest, longer)) continue;
            }
            components.join(by_size[i], by_size[j]);
        }
    }
    return components;
}

// Adds what is found to `result`, whose components are numbered on.
void merge_group(std::span<const std::string_view> texts, std::span<const std::int32_t> rows,
                 double threshold, std::int32_t& num_components, SimilarTexts& result) {
    Interner interner(rows.size());
    std::vector<std::string_view> distinct;
    std::vector<std::size_t> distinct_of_row;
    distinct_of_row.reserve(rows.size());
    for (const std::int32_t row : rows) {
        const std::string_view text = texts[index(row)];
        const auto id = index(interner.intern(Key::view(KeyKind::text, text)));
        if (id == distinct.size()) distinct.push_back(text);
        distinct_of_row.push_back(id);
    }

    Components components = components_of(symbol_texts(distinct), threshold);
    std::vector<std::int32_t> sizes(distinct.size(), 0);
    for (std::size_t text = 0; text < distinct.size(); ++text) ++sizes[components.root(text)];
    for (const std::int32_t size : sizes) {
        result.merged += std::max(size - 1, 0);
        result.largest = std::max(result.largest, size);
    }
    std::vector<std::int32_t> numbers(distinct.size(), none);  // by root
    for (std::size_t i = 0; i < rows.size(); ++i) {
        std::int32_t& number = numbers[components.root(distinct_of_row[i])];
        if (number == none) number = num_components++;
        result.components[index(rows[i])] = number;
    }
}

void check(double threshold) {
    if (threshold > 0 && threshold <= 1) return;
    throw std::invalid_argument("similar is " + std::to_string(threshold) +
                                "; expected a number in (0, 1], 0.95 for example");
}

}  // namespace

std::size_t fewest_common(double threshold, std::size_t total) noexcept {
    // threshold = mantissa / 2^shift, and LCS >= mantissa * total / 2^(shift + 1), rounded up.
    int exponent = 0;
    const double mantissa = std::ldexp(std::frexp(threshold, &exponent), 53);
    const int shift = 53 - exponent + 1;
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(mantissa) * total;
    if (product == 0) return 0;
    if (shift >= 127) return 1;
    return static_cast<std::size_t>((product + ((Wide{1} << shift) - 1)) >> shift);
}

SimilarTexts similar_components(std::span<const std::string_view> texts, double threshold) {
    const Array<GroupId> one_group(texts.size(), 0);
    return similar_components(texts, one_group, threshold);
}

SimilarTexts similar_components(std::span<const std::string_view> texts,
                                std::span<const GroupId> groups, double threshold) {
    check(threshold);
    SimilarTexts result{Array<std::int32_t>(texts.size(), none)};
    const GroupId num_groups = groups.empty() ? 0 : *std::ranges::max_element(groups) + 1;
    const Csr rows = group_by_row(groups, index(num_groups));
    std::int32_t num_components = 0;
    for (GroupId group = 0; group < num_groups; ++group) {
        merge_group(texts, rows.row(group), threshold, num_components, result);
    }
    return result;
}

}  // namespace graphgpo
