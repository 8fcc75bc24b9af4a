// 100 million random keys: collisions of the hash against what chance explains.
//
//   heavy_state_hash [keys]
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "graphgpo/state_hash.hpp"

namespace {

using graphgpo::hash_bytes;
using graphgpo::hash_word;
using graphgpo::kStableSecret;

// Pairs of equal values among sorted ones.
template <typename T>
double equal_pairs(const std::vector<T>& sorted) {
    double pairs = 0;
    for (std::size_t begin = 0, end = 0; begin < sorted.size(); begin = end) {
        while (end < sorted.size() && sorted[end] == sorted[begin]) ++end;
        const auto run = static_cast<double>(end - begin);
        pairs += run * (run - 1) / 2;
    }
    return pairs;
}

// Within 5 standard deviations of the expected number of pairs, which is Poisson.
bool judge(const char* keys, const char* bits, double observed, double n, double space) {
    const double expected = n * (n - 1) / 2 / space;
    const bool passes = std::abs(observed - expected) <= 5 * std::sqrt(expected) + 1;
    std::printf("%-28s %-9s pairs %14.0f   expected %16.2f   %s\n", keys, bits, observed, expected,
                passes ? "ok" : "FAIL");
    return passes;
}

template <typename HashOf>
bool test(const char* keys, std::size_t n, HashOf&& hash_of) {
    std::vector<std::uint64_t> hashes(n);
    for (std::size_t i = 0; i < n; ++i) hashes[i] = hash_of(i);
    const auto count = static_cast<double>(n);
    bool passes = true;
    {
        std::vector<std::uint32_t> half(n);
        std::ranges::transform(hashes, half.begin(),
                               [](std::uint64_t hash) { return static_cast<std::uint32_t>(hash); });
        std::ranges::sort(half);
        passes &= judge(keys, "low 32", equal_pairs(half), count, std::pow(2, 32));
        std::ranges::transform(hashes, half.begin(), [](std::uint64_t hash) {
            return static_cast<std::uint32_t>(hash >> 32);
        });
        std::ranges::sort(half);
        passes &= judge(keys, "high 32", equal_pairs(half), count, std::pow(2, 32));
    }
    std::ranges::sort(hashes);
    passes &= judge(keys, "all 64", equal_pairs(hashes), count, std::pow(2, 64));
    return passes;
}

// Distinct by construction, random in look: a bijection of the index (splitmix64's finaliser).
std::uint64_t scrambled(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

}  // namespace

int main(int argc, char** argv) {
    const std::size_t n = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100'000'000;
    bool passes = true;
    passes &= test("random words", n,
                   [](std::size_t i) { return hash_word(scrambled(i), 1, kStableSecret); });
    passes &=
        test("consecutive words", n, [](std::size_t i) { return hash_word(i, 1, kStableSecret); });
    passes &= test("random 20-byte keys", n, [](std::size_t i) {
        char key[20];
        const std::uint64_t words[3] = {scrambled(i), scrambled(~i), i};
        std::memcpy(key, words, sizeof key);
        return hash_bytes(key, sizeof key, 4, kStableSecret);
    });
    passes &= test("texts, 70 to 78 bytes", n, [](std::size_t i) {
        char text[96];
        const int size = std::snprintf(
            text, sizeof text,
            "You are in the middle of a room. Looking quickly around you, you see %zu", i);
        return hash_bytes(text, static_cast<std::size_t>(size), 4, kStableSecret);
    });
    std::puts(passes ? "PASS" : "FAIL");
    return passes ? EXIT_SUCCESS : EXIT_FAILURE;
}
