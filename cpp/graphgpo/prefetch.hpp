// Asking for memory before it is needed: hints that change no result.
#pragma once

#include <algorithm>
#include <cstddef>

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
// it notices a long text by itself. The last one more often than it takes, because the end of a
// loop over texts of all lengths is a surprise each time: a tenth of the time of a call.
inline void prefetch(const Key& key) noexcept {
    constexpr std::size_t cache_line = 64;
    constexpr std::size_t most = 16 * cache_line;
    if (key.is_word() || key.bytes().empty()) return;
    const char* const first = key.bytes().data();
    const std::size_t last = key.bytes().size() - 1;
    prefetch(first);
    prefetch(first + std::min(cache_line, last));
    if (last < 2 * cache_line) return;
    for (std::size_t at = 2 * cache_line; at < most; at += cache_line) {
        prefetch(first + std::min(at, last));
    }
}

}  // namespace graphgpo
