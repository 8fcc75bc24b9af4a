// One state or id in canonical form: two values are equal exactly when their keys are.
//
// A key is 16 bytes: a kind, and either a 64-bit word (integers, floats, bools) or a view of bytes
// that someone else owns. Kinds never compare equal, so 1, 1.0, True, "1" and b"1" are five states.
//
//   kind         word or bytes
//   null         nothing: a missing next state, or a masked row
//   integer      the int64 itself
//   real         the IEEE double, with -0.0 written as 0.0
//   boolean      0 or 1
//   text         UTF-8; lone surrogates as three bytes each, so every Python str has a form
//   bytes        as they are
//   big_integer  two's complement, little-endian, bit_length / 8 + 1 bytes; only outside int64
//   uuid         16 bytes; ids only
//   sequence     count, then every element as kind + word or kind + size + bytes
//   mapping      count, then the entries as above, sorted by encoded key
//   array        header size, header (dtype and shape), then the elements
//   row          the elements of one row of a numeric column, whose header the column holds
//   ucs1_text    text where it lies, in units of 1, 2 or 4 bytes, a code point each: nothing is
//   ucs2_text    copied. Columns that are compared must agree on when a text is of which kind, so
//   ucs4_text    these stand next to `text` only where that is for ASCII; no stable keys of them
//
// Stable keys and encoded sequences contain the numbers of kinds: new ones go to the end.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "graphgpo/state_hash.hpp"

namespace graphgpo {

enum class KeyKind : std::uint8_t {
    null,
    integer,
    real,
    boolean,
    text,
    bytes,
    big_integer,
    uuid,
    sequence,
    mapping,
    array,
    row,
    ucs1_text,
    ucs2_text,
    ucs4_text,
};

class Key {
  public:
    constexpr Key() noexcept = default;  // null

    [[nodiscard]] static constexpr Key word(KeyKind kind, std::uint64_t value) noexcept {
        return Key{nullptr, value, kind};
    }
    [[nodiscard]] static constexpr Key integer(std::int64_t value) noexcept {
        return word(KeyKind::integer, static_cast<std::uint64_t>(value));
    }
    // A view: the bytes must outlive the key.
    [[nodiscard]] static constexpr Key view(KeyKind kind, std::string_view bytes) noexcept {
        return Key{bytes.data(), bytes.size(), kind};
    }

    [[nodiscard]] constexpr KeyKind kind() const noexcept {
        return static_cast<KeyKind>(size_and_kind_ & 0xff);
    }
    [[nodiscard]] constexpr bool is_null() const noexcept { return kind() == KeyKind::null; }
    [[nodiscard]] constexpr bool is_word() const noexcept { return kind() <= KeyKind::boolean; }
    [[nodiscard]] constexpr std::uint64_t value() const noexcept { return value_; }
    [[nodiscard]] constexpr std::string_view bytes() const noexcept {
        return {data_, static_cast<std::size_t>(size_and_kind_ >> 8)};
    }

    [[nodiscard]] friend bool operator==(const Key& a, const Key& b) noexcept {
        if (a.size_and_kind_ != b.size_and_kind_) return false;
        if (a.is_word()) return a.value_ == b.value_;
        return a.data_ == b.data_ || a.bytes() == b.bytes();
    }

  private:
    constexpr Key(const char* data, std::uint64_t size_or_value, KeyKind kind) noexcept {
        size_and_kind_ = static_cast<std::uint64_t>(kind);
        if (kind <= KeyKind::boolean) {
            value_ = size_or_value;
        } else {
            data_ = data;
            size_and_kind_ |= size_or_value << 8;
        }
    }

    union {
        std::uint64_t value_ = 0;  // kinds up to boolean
        const char* data_;         // all others
    };
    std::uint64_t size_and_kind_ = 0;
};

static_assert(sizeof(Key) == 16);

[[nodiscard]] inline std::uint64_t hash_key(Key key, const HashSecret& secret) noexcept {
    const auto kind = static_cast<std::uint64_t>(key.kind());
    if (key.is_word()) return hash_word(key.value(), kind, secret);
    const std::string_view bytes = key.bytes();
    return hash_bytes(bytes.data(), bytes.size(), kind, secret);
}

}  // namespace graphgpo
