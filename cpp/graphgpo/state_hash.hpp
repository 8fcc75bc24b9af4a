// 64-bit hashes of bytes and words: one for the interner's tables, one for stable keys.
//
// Both are the same function under different secrets. It is of the multiply-and-fold kind (wyhash,
// rapidhash): 16 bytes per 64 x 64 -> 128 bit multiplication, three independent chains for long
// input, and the same value on every host. It is fast and well spread on honest data; it is not a
// cryptographic hash. Whoever knows the secret can write down as many colliding inputs as they like
// (a block that cancels the state so far), so tables of untrusted states use a secret that is drawn
// anew in every process.
//
// Two honest inputs collide with probability of about 2^-64 per link of the chain behind their
// difference: a few for short input, one more per 48 bytes of long input.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace graphgpo {

struct HashSecret {
    std::array<std::uint64_t, 5> words;
};

// Under the stable keys, and so fixed for ever: the fraction of pi.
inline constexpr HashSecret kStableSecret{{0x243f6a8885a308d3, 0x13198a2e03707344,
                                           0xa4093822299f31d0, 0x082efa98ec4e6c89,
                                           0x452821e638d01377}};

// Drawn from the operating system at the first call. Nothing that leaves the library depends on it.
[[nodiscard]] const HashSecret& process_secret();

// Both halves of the product, and the factors once more: without them a factor of zero would wipe
// out the other one. A factor of one still does (the result is 1), and one of 2^32 does in part.
// Both factors contain the secret, so only those who know it can aim at either.
[[nodiscard]] inline std::uint64_t fold(std::uint64_t a, std::uint64_t b) noexcept {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return a ^ b ^ static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// `seed` separates hashes that must differ for equal bytes: kinds of keys, headers of arrays.
[[nodiscard]] std::uint64_t hash_bytes(const char* data, std::size_t size, std::uint64_t seed,
                                       const HashSecret& secret) noexcept;
[[nodiscard]] inline std::uint64_t hash_word(std::uint64_t value, std::uint64_t seed,
                                             const HashSecret& secret) noexcept {
    const auto& [k0, k1, k2, k3, k4] = secret.words;
    return fold(fold(value ^ k2, k3), fold(seed ^ k0, k1) ^ k4);
}

}  // namespace graphgpo
