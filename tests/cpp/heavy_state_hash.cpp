// 100 million keys: collisions of the hash against what chance explains. Then avalanche: how often
// an output bit flips when an input bit does. 12 bytes of memory per key.
//
//   heavy_state_hash [keys]
#include <algorithm>
#include <array>
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

// The worst of all pairs of an input bit and an output bit, in standard deviations from one half.
// Of up to 100,000 fair pairs the worst is about 4.5.
template <typename HashOf>
bool test_avalanche(const char* input, std::size_t size, std::size_t samples, HashOf&& hash_of) {
    std::uint64_t next = 0;
    double worst = 0;
    std::vector<char> bytes(size);
    for (std::size_t bit = 0; bit < 8 * size; ++bit) {
        std::array<std::uint32_t, 64> flips{};
        for (std::size_t sample = 0; sample < samples; ++sample) {
            for (char& byte : bytes) byte = static_cast<char>(scrambled(next++) >> 56);
            const std::uint64_t before = hash_of(bytes.data());
            bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
            const std::uint64_t changed = before ^ hash_of(bytes.data());
            for (std::size_t out = 0; out < 64; ++out) {
                flips[out] += static_cast<std::uint32_t>((changed >> out) & 1);
            }
        }
        const auto n = static_cast<double>(samples);
        for (const std::uint32_t count : flips) {
            worst =
                std::max(worst, std::abs(static_cast<double>(count) - n / 2) / std::sqrt(n / 4));
        }
    }
    const bool passes = worst < 6;
    std::printf("avalanche, %-17s %4zu bits x 64, %zu samples each   worst %.2f sigma   %s\n",
                input, 8 * size, samples, worst, passes ? "ok" : "FAIL");
    return passes;
}

std::uint64_t word_in(const char* bytes) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes, sizeof word);
    return word;
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
    const std::size_t samples = std::max<std::size_t>(n / 500, 1000);
    passes &= test_avalanche("word", 8, samples, [](const char* bytes) {
        return hash_word(word_in(bytes), 1, kStableSecret);
    });
    passes &= test_avalanche("seed of a word", 8, samples, [](const char* bytes) {
        return hash_word(1, word_in(bytes), kStableSecret);
    });
    passes &= test_avalanche("seed of a text", 8, samples, [](const char* bytes) {
        return hash_bytes("hall", 4, word_in(bytes), kStableSecret);
    });
    for (const std::size_t size : {4u, 12u, 16u, 20u, 40u, 100u}) {
        const std::string name = std::to_string(size) + " bytes";
        passes &= test_avalanche(name.c_str(), size, samples, [size](const char* bytes) {
            return hash_bytes(bytes, size, 4, kStableSecret);
        });
    }
    std::puts(passes ? "PASS" : "FAIL");
    return passes ? EXIT_SUCCESS : EXIT_FAILURE;
}
