// Asking for memory before it is needed: hints that change no result.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "graphgpo/key.hpp"

namespace graphgpo {

inline void prefetch([[maybe_unused]] const void* address) noexcept {
#if defined(__GNUC__)
    __builtin_prefetch(address);
    // To GCC a function that only prefetches has no effect, and it drops the calls. This is one.
    asm volatile("");
#endif
}

// The bytes of a key, as many as the processor would not fetch on its own: after some cache lines
// it notices a long text by itself.
inline void prefetch(const Key& key) noexcept {
    constexpr std::size_t cache_line = 64;
    constexpr std::size_t most = 16 * cache_line;
    if (key.is_word()) return;
    const std::string_view bytes = key.bytes();
    for (std::size_t at = 0; at < std::min(bytes.size(), most); at += cache_line) {
        prefetch(bytes.data() + at);
    }
}

}  // namespace graphgpo
