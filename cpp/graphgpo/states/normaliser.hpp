// Noise in texts, made a tag: clocks, ids, addresses, counters.
//
// One pass, left to right. Where a class matches, its stretch becomes the tag and the pass goes on
// behind it; where several do, the first of this order counts:
//
//   urls        <url>    http:// or https:// and what follows up to a blank, quote or bracket
//   timestamps  <time>   dates and times with seconds, as logs, mails and ISO 8601 write them
//   uuids       <uuid>   8-4-4-4-12 hexadecimal digits
//   hex         <hex>    0x..., or at least 8 hexadecimal digits with a letter and a digit in them
//   numbers     <num>    runs of digits
//   whitespace           blanks before a line's end and whitespace at the text's end go, a line
//                        ends in \n. Inside a line nothing changes: blanks draw boards
//
// python/graphgpo/states/patterns.py says the same as regular expressions, and tests hold the two
// together. All but digits and whitespace begin and end where a word does (ASCII letters and
// digits). O(bytes) time.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace graphgpo {

struct NoiseClasses {
    bool urls = false;
    bool timestamps = false;
    bool uuids = false;
    bool hex = false;
    bool numbers = false;
    bool whitespace = false;
};

// Bytes [begin, end) of a text.
struct Stretch {
    std::size_t begin;
    std::size_t end;
};

// `text` (UTF-8) with every stretch of `classes` as a tag. A stretch that overlaps one of `kept`
// (ascending, not empty) stays as it is.
[[nodiscard]] std::string normalise_text(std::string_view text, const NoiseClasses& classes,
                                         std::span<const Stretch> kept = {});

}  // namespace graphgpo
