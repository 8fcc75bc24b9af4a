// Regular expressions as constant functions: what a scanner matches reads like its expression, and
// is inlined like code.
//
// A pattern is called with a position, the text's end and what must match behind it; it returns
// where the whole match ends, or null. Order and greed are those of Python's `re`: the first
// alternative that lets the rest match counts, and an optional part is tried before it is left out.
#pragma once

#include <cstddef>

namespace graphgpo::pattern {

using Position = const char*;

constexpr auto one(auto is) {
    return [is](Position at, Position end, auto&& next) -> Position {
        return at != end && is(*at) ? next(at + 1) : nullptr;
    };
}

constexpr auto literal(char c) {
    return one([c](char other) { return other == c; });
}

constexpr auto range(char first, char last) {
    return one([first, last](char c) { return first <= c && c <= last; });
}

// A word, without its closing zero.
template <std::size_t size>
constexpr auto word(const char (&text)[size]) {
    struct Letters {
        char letters[size];
    } word{};
    for (std::size_t i = 0; i < size; ++i) word.letters[i] = text[i];
    return [word](Position at, Position end, auto&& next) -> Position {
        for (std::size_t i = 0; i + 1 < size; ++i, ++at) {
            if (at == end || *at != word.letters[i]) return nullptr;
        }
        return next(at);
    };
}

constexpr auto all(auto first) { return first; }
constexpr auto all(auto first, auto... rest) {
    return [first, tail = all(rest...)](Position at, Position end, auto&& next) -> Position {
        return first(at, end, [&](Position there) { return tail(there, end, next); });
    };
}

constexpr auto any(auto first) { return first; }
constexpr auto any(auto first, auto... rest) {
    return [first, others = any(rest...)](Position at, Position end, auto&& next) -> Position {
        const Position match = first(at, end, next);
        return match != nullptr ? match : others(at, end, next);
    };
}

constexpr auto maybe(auto part) {
    return [part](Position at, Position end, auto&& next) -> Position {
        const Position match = part(at, end, next);
        return match != nullptr ? match : next(at);
    };
}

// `fewest` to `most` characters, as many as let the rest match.
template <int fewest, int most = fewest>
constexpr auto times(auto is) {
    return [is](Position at, Position end, auto&& next) -> Position {
        int count = 0;
        for (; count < most && at != end && is(*at); ++count) ++at;
        for (; count >= fewest; --count, --at) {
            if (const Position match = next(at)) return match;
        }
        return nullptr;
    };
}

}  // namespace graphgpo::pattern
