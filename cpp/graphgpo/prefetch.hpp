// Asking for memory before it is needed: hints that change no result.
#pragma once

#include <algorithm>
#include <cstddef>

#include "graphgpo/columns.hpp"

namespace graphgpo {

inline void prefetch([[maybe_unused]] const void* address) noexcept {
#if defined(__GNUC__)
    __builtin_prefetch(address);
#endif
}

// The bytes of a key, as many as the processor would not fetch on its own: after a few cache lines
// it notices a long text by itself.
inline void prefetch(const KeyColumn& column, RowId row) noexcept {
    constexpr std::size_t cache_line = 64;
    constexpr std::size_t most = 8 * cache_line;
    if (std::holds_alternative<std::span<const std::int64_t>>(column)) return;
    const Key key = key_at(column, row);
    if (key.is_word()) return;
    const std::string_view bytes = key.bytes();
    for (std::size_t at = 0; at < std::min(bytes.size(), most); at += cache_line) {
        prefetch(bytes.data() + at);
    }
}

}  // namespace graphgpo
