// Unicode text as the core wants it: UTF-8, with a lone surrogate as three bytes like any other
// code point (WTF-8 without its joining rule), so that every Python str has one form.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace graphgpo {

// Writes one code point and returns the position after it.
inline char* append_code_point(char* out, std::uint32_t code_point) noexcept {
    const auto byte = [](std::uint32_t bits) { return static_cast<char>(bits); };
    const auto tail = [&](unsigned shift) { return byte(0x80 | ((code_point >> shift) & 0x3F)); };
    if (code_point < 0x80) {
        *out++ = byte(code_point);
    } else if (code_point < 0x800) {
        *out++ = byte(0xC0 | (code_point >> 6));
        *out++ = tail(0);
    } else if (code_point < 0x10000) {
        *out++ = byte(0xE0 | (code_point >> 12));
        *out++ = tail(6);
        *out++ = tail(0);
    } else {
        *out++ = byte(0xF0 | (code_point >> 18));
        *out++ = tail(12);
        *out++ = tail(6);
        *out++ = tail(0);
    }
    return out;
}

// Encodes one text after the other in memory it uses again.
class TextEncoder {
  public:
    // One code point per unit, as Python and NumPy hold text. The result is valid until the next.
    template <typename Unit>
    [[nodiscard]] std::string_view encode(std::span<const Unit> units) {
        // A unit of 1, 2 or 4 bytes holds a code point of at most 2, 3 or 4 bytes.
        constexpr std::size_t longest = std::min<std::size_t>(sizeof(Unit) + 1, 4);
        if (memory_.size() < units.size() * longest) memory_.resize(units.size() * longest);
        char* end = memory_.data();
        std::size_t i = 0;
        // ASCII, most of most texts, eight at a time.
        constexpr std::size_t block = 8;
        while (units.size() - i >= block) {
            Unit any = 0;
            for (std::size_t j = 0; j < block; ++j) any = static_cast<Unit>(any | units[i + j]);
            if (any < 0x80) {
                for (std::size_t j = 0; j < block; ++j) end[j] = static_cast<char>(units[i + j]);
                end += block;
            } else {
                for (std::size_t j = 0; j < block; ++j) end = append_code_point(end, units[i + j]);
            }
            i += block;
        }
        for (; i < units.size(); ++i) end = append_code_point(end, units[i]);
        return {memory_.data(), static_cast<std::size_t>(end - memory_.data())};
    }

  private:
    std::vector<char> memory_;
};

}  // namespace graphgpo
