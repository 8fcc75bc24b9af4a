#include "graphgpo/states/normaliser.hpp"

#include <array>
#include <cstdint>
#include <utility>

#include "graphgpo/states/pattern.hpp"

namespace graphgpo {

namespace {

using pattern::all;
using pattern::any;
using pattern::literal;
using pattern::maybe;
using pattern::one;
using pattern::Position;
using pattern::range;
using pattern::times;
using pattern::word;

// What a byte can be part of. Bytes of other than ASCII characters are part of nothing.
enum Kind : std::uint8_t {
    digit = 1,
    hex_letter = 2,
    other_letter = 4,
    blank = 8,     // space, tab
    line_end = 16  // \n, \r
};
constexpr std::uint8_t alphanumeric = digit | hex_letter | other_letter;
constexpr std::uint8_t space = blank | line_end;

constexpr std::array<std::uint8_t, 256> kinds = [] {
    std::array<std::uint8_t, 256> table{};
    for (unsigned char c = '0'; c <= '9'; ++c) table[c] = digit;
    for (unsigned char c = 'a'; c <= 'z'; ++c) {
        table[c] = table[c - 'a' + 'A'] = c <= 'f' ? hex_letter : other_letter;
    }
    table[' '] = table['\t'] = blank;
    table['\n'] = table['\r'] = line_end;
    return table;
}();

constexpr std::uint8_t kind_of(char c) { return kinds[static_cast<unsigned char>(c)]; }
constexpr bool is_digit(char c) { return kind_of(c) == digit; }
constexpr bool is_hex(char c) { return (kind_of(c) & (digit | hex_letter)) != 0; }
constexpr bool is_alphanumeric(char c) { return (kind_of(c) & alphanumeric) != 0; }

// --- timestamps ---------------------------------------------------------------------------------

// (?!:?[0-9A-Za-z]): the seconds of a clock are not followed by more.
constexpr auto time_end = [](Position at, Position end, auto&& next) -> Position {
    const Position after = at != end && *at == ':' ? at + 1 : at;
    if ((at != end && is_alphanumeric(*at)) || (after != end && is_alphanumeric(*after))) {
        return nullptr;
    }
    return next(at);
};

constexpr auto space_char = literal(' ');
constexpr auto colon = literal(':');
constexpr auto sign = one([](char c) { return c == '+' || c == '-'; });
constexpr auto hour =
    any(all(range('0', '1'), range('0', '9')), all(literal('2'), range('0', '3')));
constexpr auto short_hour =
    any(all(maybe(range('0', '1')), range('0', '9')), all(literal('2'), range('0', '3')));
constexpr auto sixty = all(range('0', '5'), range('0', '9'));
constexpr auto fraction =
    maybe(all(one([](char c) { return c == '.' || c == ','; }), times<1, 9>(is_digit)));
constexpr auto seconds = all(colon, sixty, fraction);
constexpr auto zone =
    maybe(any(literal('Z'), word(" UTC"), word(" GMT"),
              all(maybe(space_char), sign, times<2>(is_digit), maybe(colon), times<2>(is_digit))));
constexpr auto month_number =
    any(all(literal('0'), range('1', '9')), all(literal('1'), range('0', '2')));
constexpr auto day_number =
    any(all(literal('0'), range('1', '9')), all(range('1', '2'), range('0', '9')),
        all(literal('3'), range('0', '1')));
constexpr auto month_name =
    any(word("Jan"), word("Feb"), word("Mar"), word("Apr"), word("May"), word("Jun"), word("Jul"),
        word("Aug"), word("Sep"), word("Oct"), word("Nov"), word("Dec"));
constexpr auto day_name =
    any(word("Mon"), word("Tue"), word("Wed"), word("Thu"), word("Fri"), word("Sat"), word("Sun"));

constexpr auto date_with(char c) {
    return all(times<4>(is_digit), literal(c), month_number, literal(c), day_number);
}

// 2026-11-28, 2026/11/28 10:03, 2026-11-28T10:03:17.123+01:00
constexpr auto iso = all(any(date_with('-'), date_with('/')),
                         maybe(all(one([](char c) { return c == 'T' || c == ' '; }), hour, colon,
                                   sixty, maybe(seconds), zone)),
                         time_end);
// 20261128T100317Z
constexpr auto basic_iso = all(times<8>(is_digit), literal('T'), times<6>(is_digit), fraction,
                               maybe(literal('Z')), time_end);
// 28/Nov/2026:10:03:17 +0000, as web servers log
constexpr auto web_log =
    all(times<2>(is_digit), literal('/'), month_name, literal('/'), times<4>(is_digit), colon, hour,
        colon, sixty, seconds, maybe(all(space_char, sign, times<4>(is_digit))), time_end);
// Nov 28 10:03:17, Sat Nov 28 10:03:17 UTC 2026, as syslog, ls and date print
constexpr auto named_month =
    all(maybe(all(day_name, maybe(literal(',')), space_char)), month_name, space_char,
        maybe(space_char), times<1, 2>(is_digit), space_char, hour, colon, sixty, maybe(seconds),
        zone, maybe(all(space_char, times<4>(is_digit))), time_end);
// Sat, 28 Nov 2026 10:03:17 GMT, as mails have it
constexpr auto mail = all(maybe(all(day_name, literal(','), space_char)), times<1, 2>(is_digit),
                          space_char, month_name, space_char, times<4>(is_digit), space_char, hour,
                          colon, sixty, seconds, zone, time_end);
// 10:03:17, 9:03:17.5 PM
constexpr auto clock =
    all(short_hour, colon, sixty, seconds,
        maybe(all(maybe(space_char),
                  one([](char c) { return c == 'A' || c == 'P' || c == 'a' || c == 'p'; }),
                  one([](char c) { return c == 'M' || c == 'm'; }))),
        time_end);
// Seconds since 1970 with a fraction, or milli-, micro- or nanoseconds: 2017 to 2033
constexpr auto epoch = all(literal('1'), range('5', '9'), times<8>(is_digit),
                           any(all(literal('.'), times<3, 9>(is_digit)), times<9>(is_digit),
                               times<6>(is_digit), times<3>(is_digit)),
                           time_end);

constexpr auto number_first = any(iso, basic_iso, web_log, mail, epoch);
constexpr auto name_first = any(named_month, mail);
constexpr auto here = [](Position at) { return at; };

Position timestamp_end(Position at, Position end, Position begin) {
    if (!is_digit(*at)) return name_first(at, end, here);
    if (const Position last = number_first(at, end, here)) return last;
    // (?<![0-9]:): not the rest of a longer row of numbers.
    const bool goes_on = at - begin >= 2 && at[-1] == ':' && is_digit(at[-2]);
    return goes_on ? nullptr : clock(at, end, here);
}

// --- the other classes --------------------------------------------------------------------------

constexpr auto dash = literal('-');
constexpr auto four_hex = times<4>(is_hex);
constexpr auto word_end = [](Position at, Position end, auto&& next) -> Position {
    return at != end && is_alphanumeric(*at) ? nullptr : next(at);
};
constexpr auto uuid = all(times<8>(is_hex), dash, four_hex, dash, four_hex, dash, four_hex, dash,
                          times<12>(is_hex), word_end);

constexpr auto url_head = all(word("http"), maybe(literal('s')), word("://"));
constexpr bool ends_url(char c) {
    return (kind_of(c) & space) != 0 || c == '<' || c == '>' || c == '"' || c == '\'' || c == '`';
}
constexpr bool is_punctuation(char c) {
    return std::string_view(".,;:!?)]}").find(c) != std::string_view::npos;
}

Position url_end(Position at, Position end) {
    const Position first = url_head(at, end, here);
    if (first == nullptr) return nullptr;
    Position last = first;
    while (last != end && !ends_url(*last)) ++last;
    while (last != first && is_punctuation(last[-1])) --last;  // of the sentence around it
    return last == first ? nullptr : last;
}

// [at, run_end) is a whole word, `found` the kinds in it.
bool is_hex_number(Position at, Position run_end, std::uint8_t found) {
    const auto size = run_end - at;
    if (found == (digit | hex_letter) && size >= 8) return true;
    if (size < 3 || at[0] != '0' || (at[1] != 'x' && at[1] != 'X')) return false;
    for (Position next = at + 2; next != run_end; ++next) {
        if (!is_hex(*next)) return false;
    }
    return true;
}

// --- the pass -----------------------------------------------------------------------------------

class Pass {
  public:
    Pass(std::string_view text, const NoiseClasses& classes, std::span<const Stretch> kept)
        : begin_(text.data()),
          end_(text.data() + text.size()),
          copied_(begin_),
          classes_(classes),
          kept_(kept) {
        out_.reserve(text.size());
    }

    std::string run() {
        const std::uint8_t starts = alphanumeric | (classes_.whitespace ? space : 0);
        for (Position at = begin_; at != end_;) {
            const std::uint8_t kind = kind_of(*at);
            if ((kind & starts) == 0) {
                ++at;
            } else if ((kind & space) != 0) {
                at = whitespace(at);
            } else {
                at = word_at(at);
            }
        }
        out_.append(copied_, end_);
        return std::move(out_);
    }

  private:
    // `at` begins a word: every match but a number ends where one does. Returns where to go on.
    Position word_at(Position at) {
        Position run_end = at;
        std::uint8_t found = 0;
        for (; run_end != end_; ++run_end) {
            const std::uint8_t kind = kind_of(*run_end);
            if ((kind & alphanumeric) == 0) break;
            found |= kind;
        }
        if (const Position last = word_match(at, run_end, found)) return last;
        if (classes_.numbers && (found & digit) != 0) tag_numbers(at, run_end);
        return run_end;
    }

    Position word_match(Position at, Position run_end, std::uint8_t found) {
        if (classes_.urls && *at == 'h') {
            if (const Position last = url_end(at, end_)) return replace(at, last, "<url>");
        }
        const auto size = run_end - at;
        const bool is_name = size == 3 && *at >= 'A' && *at <= 'Z';
        if (classes_.timestamps && (is_name || is_digit(*at))) {
            if (const Position last = timestamp_end(at, end_, begin_)) {
                return replace(at, last, "<time>");
            }
        }
        if (classes_.uuids && size == 8 && (found & other_letter) == 0) {
            if (const Position last = uuid(at, end_, here)) return replace(at, last, "<uuid>");
        }
        if (classes_.hex && (found & digit) != 0 && is_hex_number(at, run_end, found)) {
            return replace(at, run_end, "<hex>");
        }
        return nullptr;
    }

    void tag_numbers(Position at, Position run_end) {
        while (at != run_end) {
            if (!is_digit(*at)) {
                ++at;
                continue;
            }
            const Position first = at;
            while (at != run_end && is_digit(*at)) ++at;
            replace(first, at, "<num>");
        }
    }

    Position whitespace(Position at) {
        Position run_end = at;
        while (run_end != end_ && (kind_of(*run_end) & space) != 0) ++run_end;
        if (run_end == end_) return replace(at, end_, "");
        while (at != run_end) {
            Position last = at;
            while (last != run_end && kind_of(*last) == blank) ++last;
            if (last != run_end && *last == '\r' && last + 1 != run_end && last[1] == '\n') ++last;
            if (last != run_end && *last == '\n') {
                ++last;
                if (last - at > 1) replace(at, last, "\n");
                at = last;
            } else {
                at = last == run_end ? last : last + 1;  // a \r alone is like any other character
            }
        }
        return run_end;
    }

    Position replace(Position first, Position last, std::string_view tag) {
        if (is_kept(first, last)) return last;
        out_.append(copied_, first);
        out_.append(tag);
        return copied_ = last;
    }

    // Asked for stretches from left to right.
    bool is_kept(Position first, Position last) {
        const auto from = static_cast<std::size_t>(first - begin_);
        const auto to = static_cast<std::size_t>(last - begin_);
        while (next_kept_ < kept_.size() && kept_[next_kept_].end <= from) ++next_kept_;
        return next_kept_ < kept_.size() && kept_[next_kept_].begin < to;
    }

    Position begin_;
    Position end_;
    Position copied_;  // what lies before is in `out_`
    NoiseClasses classes_;
    std::span<const Stretch> kept_;
    std::size_t next_kept_ = 0;
    std::string out_;
};

}  // namespace

std::string normalise_text(std::string_view text, const NoiseClasses& classes,
                           std::span<const Stretch> kept) {
    return Pass(text, classes, kept).run();
}

}  // namespace graphgpo
