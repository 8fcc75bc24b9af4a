// Unicode text as the core wants it: UTF-8, with a lone surrogate as three bytes like any other
// code point (WTF-8 without its joining rule), so that every Python str has one form.
#pragma once

#include <cstddef>
#include <cstdint>

namespace graphgpo::bindings {

inline constexpr std::size_t longest_code_point = 4;

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

}  // namespace graphgpo::bindings
