#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "graphgpo/state_hash.hpp"

namespace graphgpo {
namespace {

std::uint64_t hash(std::string_view bytes, std::uint64_t seed = 0,
                   const HashSecret& secret = kStableSecret) {
    return hash_bytes(bytes.data(), bytes.size(), seed, secret);
}

std::string bytes_of_length(std::size_t size) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i * 7 % 256));
    return bytes;
}

std::string random_bytes(std::size_t size, std::mt19937_64& random) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(random() & 0xff));
    return bytes;
}

// The same function once more, as slow as it is plain: bytes one by one, products by long
// multiplication. An oracle of its own: it shares no code with the library.
namespace plain {

std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    for (int bit = 63; bit >= 0; --bit) {
        high = high << 1 | low >> 63;
        low <<= 1;
        if (((b >> bit) & 1) == 0) continue;
        low += a;
        if (low < a) ++high;
    }
    return a ^ b ^ low ^ high;
}

std::uint64_t word_at(std::string_view bytes, std::size_t at, std::size_t size = 8) {
    std::uint64_t word = 0;
    for (std::size_t i = size; i-- > 0;) {
        word = word * 256 + static_cast<unsigned char>(bytes.at(at + i));
    }
    return word;
}

std::uint64_t absorb(std::string_view bytes, std::size_t at, std::uint64_t state) {
    return fold(word_at(bytes, at) ^ state, word_at(bytes, at + 8) ^ (state << 32 | state >> 32));
}

std::uint64_t start(std::size_t size, std::uint64_t seed, const HashSecret& secret) {
    return fold(seed ^ secret.words[0], size ^ secret.words[1]);
}

std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed, const HashSecret& secret) {
    const std::size_t size = bytes.size();
    std::uint64_t state = start(size, seed, secret);
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::size_t at = 0;
    if (size > 48) {
        std::uint64_t second = state ^ secret.words[2];
        std::uint64_t third = state ^ secret.words[3];
        for (; at + 48 < size; at += 48) {
            state = absorb(bytes, at, state);
            second = absorb(bytes, at + 16, second);
            third = absorb(bytes, at + 32, third);
        }
        state ^= (second << 21 | second >> 43) ^ (third << 42 | third >> 22);
    }
    for (; at + 16 < size; at += 16) state = absorb(bytes, at, state);
    if (size >= 16) {
        first = word_at(bytes, size - 16);
        last = word_at(bytes, size - 8);
    } else if (size >= 8) {
        first = word_at(bytes, 0);
        last = word_at(bytes, size - 8);
    } else if (size >= 4) {
        first = word_at(bytes, 0, 4);
        last = word_at(bytes, size - 4, 4);
    } else if (size > 0) {
        first = word_at(bytes, 0, 1) + 256 * word_at(bytes, size / 2, 1) +
                65536 * word_at(bytes, size - 1, 1);
    }
    return fold(fold(first ^ state, last ^ (state << 32 | state >> 32)), secret.words[4] ^ size);
}

std::uint64_t hash_word(std::uint64_t value, std::uint64_t seed, const HashSecret& secret) {
    return fold(fold(value ^ secret.words[2], secret.words[3]),
                fold(seed ^ secret.words[0], secret.words[1]) ^ secret.words[4]);
}

}  // namespace plain

// Words that are awkward for a multiplication, and those of the stable secret.
std::vector<std::uint64_t> awkward_words() {
    std::vector<std::uint64_t> words(kStableSecret.words.begin(), kStableSecret.words.end());
    for (const std::uint64_t word : {0ull, 1ull, 0xffffffffull, 0x100000000ull,
                                     0x8000000000000000ull, 0xffffffff00000000ull, ~0ull}) {
        words.push_back(word);
    }
    return words;
}

// Little-endian, as the hash reads them.
std::string bytes_of(std::uint64_t word) {
    std::string bytes;
    for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>((word >> (8 * i)) & 0xff));
    return bytes;
}

// Computed by a transcription into Python's integers. Stable keys rest on them: a change of any is
// a change of the format users have stored.
TEST(StateHash, GoldenValues) {
    const struct {
        std::size_t size;
        std::uint64_t seed_0;
        std::uint64_t seed_42;
    } bytes[] = {
        {0, 0xcc5c6eecaf0b5b8a, 0xcb3eb4fd05db6da4},
        {1, 0xad89cb56ac8b065b, 0xfc8bf32af9172df2},
        {3, 0x97fda9c5d4d1aebc, 0x8608c5a52ecb2434},
        {4, 0xdf086ff6ef6aa983, 0x68b0ae2036bc5581},
        {7, 0xcba90d5edd890b21, 0xaf47c370956228cc},
        {8, 0x1d2fdfb6058278b7, 0x45e6cfd12f465c1e},
        {15, 0xb14acc0ee8251f9d, 0x75fa4c232acb6b3d},
        {16, 0x3d3524c4976a02b5, 0x64fc92a3a43c241b},
        {17, 0xde9a7fa1d4911b9a, 0x01e3a1b81b4858ee},
        {32, 0x57d3ce10bdc9672c, 0x4d6f6a34a8d4bec5},
        {33, 0x5fe694579e4282b2, 0x53acea315dd22964},
        {48, 0x97e86f9d85e61067, 0x2ed0aaab28f16ec7},
        {49, 0x59850356479d58e3, 0xfdeccce14ebd9bad},
        {96, 0xaa9a2dbed8d49476, 0xf0b72c01a0e5202d},
        {97, 0xb9f77cd270221b68, 0xe38e9a757a0cbd5c},
        {1000, 0x26f85a38c4aecd4c, 0x3b8b82bd32f83ab2},
    };
    for (const auto& golden : bytes) {
        EXPECT_EQ(hash(bytes_of_length(golden.size)), golden.seed_0) << golden.size;
        EXPECT_EQ(hash(bytes_of_length(golden.size), 42), golden.seed_42) << golden.size;
    }
    EXPECT_EQ(hash("hall", 4), 0x525ff546a5b87ea3);
    EXPECT_EQ(hash("You are in the middle of a room.", 4), 0x0cfac3bf71d0093a);
    EXPECT_EQ(hash("K\u00fcche \U0001f375", 4), 0xfcbdb945a700e0df);
    EXPECT_EQ(hash(std::string(100, '\0')), 0xa2b8a4336ce10904);
    EXPECT_EQ(hash_word(0, 0, kStableSecret), 0x45c8d7eabc232c80);
    EXPECT_EQ(hash_word(1, 0, kStableSecret), 0x821d79e4584923d4);
    EXPECT_EQ(hash_word(2, 42, kStableSecret), 0x6e12282cea480c1b);
    EXPECT_EQ(hash_word(~std::uint64_t{0}, 42, kStableSecret), 0x683df26c1f2601d0);
}

TEST(StateHash, EqualsThePlainTranscription) {
    std::mt19937_64 random(3);
    const HashSecret drawn{{random(), random(), random(), random(), random()}};
    const HashSecret extreme{{0, 1, ~std::uint64_t{0}, 0xffffffff, 0x100000000}};
    for (const HashSecret* secret : {&kStableSecret, &drawn, &extreme}) {
        for (std::size_t size = 0; size <= 300; ++size) {
            for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{4}, random()}) {
                const std::string bytes = random_bytes(size, random);
                ASSERT_EQ(hash(bytes, seed, *secret), plain::hash_bytes(bytes, seed, *secret))
                    << "size " << size << ", seed " << seed;
            }
        }
        for (const std::uint64_t value : awkward_words()) {
            for (const std::uint64_t other : awkward_words()) {
                ASSERT_EQ(hash_word(value, other, *secret),
                          plain::hash_word(value, other, *secret));
                const std::string bytes = bytes_of(value) + bytes_of(other);
                ASSERT_EQ(hash(bytes, other, *secret), plain::hash_bytes(bytes, other, *secret));
            }
        }
    }
}

// The bytes before and behind are others every time, and with a sanitizer the last byte is the
// last of its allocation.
TEST(StateHash, DependsOnTheBytesOnlyNotOnWhereTheyLie) {
    std::mt19937_64 random(4);
    for (std::size_t size = 0; size <= 130; ++size) {
        const std::string bytes = bytes_of_length(size);
        for (std::size_t offset = 0; offset < 16; ++offset) {
            for (const std::size_t behind : {0u, 16u}) {
                const std::string text =
                    random_bytes(offset, random) + bytes + random_bytes(behind, random);
                const std::vector<char> memory(text.begin(), text.end());
                ASSERT_EQ(hash_bytes(memory.data() + offset, size, 7, kStableSecret),
                          hash(bytes, 7))
                    << "size " << size << ", offset " << offset;
            }
        }
    }
}

TEST(StateHash, NothingAtNoAddressIsTheEmptyString) {
    EXPECT_EQ(hash_bytes(nullptr, 0, 0, kStableSecret), hash(""));
}

TEST(StateHash, SecretsAndSeedsMatter) {
    const std::string text = "You are in the middle of a room.";
    EXPECT_NE(hash(text, 1), hash(text, 2));
    EXPECT_NE(hash(text), hash(text, 0, process_secret()));
    EXPECT_NE(hash_word(1, 0, kStableSecret), hash_word(1, 0, process_secret()));
}

TEST(StateHash, EveryWordOfASecretMatters) {
    for (std::size_t word = 0; word < kStableSecret.words.size(); ++word) {
        HashSecret changed = kStableSecret;
        changed.words[word] ^= 1;
        EXPECT_NE(hash(bytes_of_length(100)), hash(bytes_of_length(100), 0, changed)) << word;
        EXPECT_NE(hash_word(5, 0, kStableSecret), hash_word(5, 0, changed)) << word;
    }
}

TEST(StateHash, TheProcessSecretStaysAndIsNotTheStableOne) {
    const HashSecret& secret = process_secret();
    EXPECT_EQ(&secret, &process_secret());
    EXPECT_NE(secret.words, kStableSecret.words);
    EXPECT_EQ(std::set(secret.words.begin(), secret.words.end()).size(), secret.words.size());
}

// How often each output bit flips when one input bit does. A fair one stays within 6 standard
// deviations of one half, over all bits tried here.
class Avalanche {
  public:
    void add(std::uint64_t before, std::uint64_t after) {
        for (int bit = 0; bit < 64; ++bit) flips_[bit] += ((before ^ after) >> bit) & 1;
        ++samples_;
    }
    [[nodiscard]] double worst_deviation() const {
        double worst = 0;
        const double fair = static_cast<double>(samples_) / 2;
        for (const auto count : flips_) {
            worst = std::max(worst, std::abs(static_cast<double>(count) - fair));
        }
        return worst / std::sqrt(static_cast<double>(samples_) / 4);
    }

  private:
    std::uint64_t flips_[64] = {};
    std::uint64_t samples_ = 0;
};

TEST(StateHash, EveryInputBitFlipsHalfOfTheOutput) {
    std::mt19937_64 random(1);
    for (const std::size_t size :
         {1u, 2u, 3u, 4u, 7u, 8u, 9u, 15u, 16u, 17u, 31u, 48u, 49u, 64u, 97u, 130u}) {
        for (std::size_t bit = 0; bit < 8 * size; ++bit) {
            Avalanche avalanche;
            for (int trial = 0; trial < 1000; ++trial) {
                std::string bytes = random_bytes(size, random);
                const std::uint64_t seed = random();
                const std::uint64_t before = hash(bytes, seed);
                bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
                avalanche.add(before, hash(bytes, seed));
            }
            ASSERT_LT(avalanche.worst_deviation(), 6) << "size " << size << ", bit " << bit;
        }
    }
}

// States are not random: nearly all bytes equal, and the seed a small number.
TEST(StateHash, EveryBitOfAMonotonousTextFlipsHalfOfTheOutput) {
    for (const char fill : {'\0', ' ', '\xff'}) {
        for (const std::size_t size : {8u, 16u, 40u, 100u}) {
            for (std::size_t bit = 0; bit < 8 * size; ++bit) {
                Avalanche avalanche;
                for (std::uint64_t seed = 0; seed < 500; ++seed) {
                    std::string bytes(size, fill);
                    const std::uint64_t before = hash(bytes, seed);
                    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
                    avalanche.add(before, hash(bytes, seed));
                }
                ASSERT_LT(avalanche.worst_deviation(), 6.5) << "size " << size << ", bit " << bit;
            }
        }
    }
}

TEST(StateHash, EveryBitOfAWordAndOfASeedFlipsHalfOfTheOutput) {
    std::mt19937_64 random(2);
    for (int bit = 0; bit < 64; ++bit) {
        Avalanche of_word;
        Avalanche of_word_seed;
        Avalanche of_bytes_seed;
        for (int trial = 0; trial < 4000; ++trial) {
            const std::uint64_t word = random();
            const std::uint64_t seed = random();
            const std::uint64_t flip = std::uint64_t{1} << bit;
            const std::uint64_t before = hash_word(word, seed, kStableSecret);
            of_word.add(before, hash_word(word ^ flip, seed, kStableSecret));
            of_word_seed.add(before, hash_word(word, seed ^ flip, kStableSecret));
            const std::string bytes = bytes_of(word);
            of_bytes_seed.add(hash(bytes, seed), hash(bytes, seed ^ flip));
        }
        ASSERT_LT(of_word.worst_deviation(), 6) << bit;
        ASSERT_LT(of_word_seed.worst_deviation(), 6) << bit;
        ASSERT_LT(of_bytes_seed.worst_deviation(), 6) << bit;
    }
}

// Equal hashes among `hashes`; and, for the tables, equal low 32 bits beyond what chance explains.
void expect_spread(std::vector<std::uint64_t> hashes) {
    const auto count_equal = [](auto& values) {
        std::ranges::sort(values);
        std::size_t equal = 0;
        for (std::size_t i = 1; i < values.size(); ++i) equal += values[i - 1] == values[i];
        return static_cast<double>(equal);
    };
    std::vector<std::uint32_t> low;
    for (const std::uint64_t value : hashes) low.push_back(static_cast<std::uint32_t>(value));
    EXPECT_EQ(count_equal(hashes), 0);
    const auto n = static_cast<double>(hashes.size());
    const double expected = n * n / 2 / 4294967296.0;
    EXPECT_LE(count_equal(low), expected + 6 * std::sqrt(expected) + 3);
}

TEST(StateHash, ZerosOfManyLengthsDiffer) {
    std::vector<std::uint64_t> hashes;
    const std::string zeros(20000, '\0');
    for (std::size_t size = 0; size <= zeros.size(); ++size) {
        hashes.push_back(hash_bytes(zeros.data(), size, 0, kStableSecret));
    }
    expect_spread(std::move(hashes));
}

TEST(StateHash, SingleBitsInALongStateDiffer) {
    std::vector<std::uint64_t> hashes;
    std::string state(4096, ' ');
    for (std::size_t bit = 0; bit < 8 * state.size(); ++bit) {
        state[bit / 8] = static_cast<char>(state[bit / 8] ^ (1 << (bit % 8)));
        hashes.push_back(hash(state));
        state[bit / 8] = ' ';
    }
    expect_spread(std::move(hashes));
}

TEST(StateHash, SingleBytesInALongStateDiffer) {
    std::vector<std::uint64_t> hashes;
    std::string state(512, 'x');
    for (char& byte : state) {
        for (int value = 0; value < 256; ++value) {
            if (static_cast<char>(value) == 'x') continue;
            byte = static_cast<char>(value);
            hashes.push_back(hash(state));
        }
        byte = 'x';
    }
    expect_spread(std::move(hashes));
}

TEST(StateHash, LongSharedPrefixesAndSuffixesDiffer) {
    const std::string page(5000, 'p');
    std::vector<std::uint64_t> hashes;
    for (int i = 0; i < 100000; ++i) {
        hashes.push_back(hash(page + std::to_string(i)));
        hashes.push_back(hash(std::to_string(i) + page));
    }
    expect_spread(std::move(hashes));
}

TEST(StateHash, SwappedBlocksDiffer) {
    std::vector<std::string> blocks;
    for (char c = 'a'; c < 'h'; ++c) blocks.emplace_back(8, c);
    std::vector<std::uint64_t> hashes;
    do {
        std::string state;
        for (const auto& block : blocks) state += block;
        hashes.push_back(hash(state));
    } while (std::ranges::next_permutation(blocks).found);
    EXPECT_EQ(hashes.size(), 5040u);
    expect_spread(std::move(hashes));
}

TEST(StateHash, BlocksMadeOfTheSecretDiffer) {
    std::vector<std::uint64_t> words(kStableSecret.words.begin(), kStableSecret.words.end());
    words.push_back(0);
    words.push_back(~std::uint64_t{0});
    std::vector<std::uint64_t> hashes;
    for (std::size_t code = 0; code < 7 * 7 * 7 * 7 * 7; ++code) {
        std::string state;
        for (std::size_t rest = code, block = 0; block < 5; ++block, rest /= 7) {
            state += bytes_of(words[rest % 7]);
        }
        hashes.push_back(hash(state));
    }
    expect_spread(std::move(hashes));
}

// A key of 16 bytes has the factors `first ^ state` and `last ^ rotl(state, 32)`.
TEST(StateHash, AFactorOfZeroDoesNotWipeOutTheOther) {
    const std::uint64_t state = plain::start(16, 0, kStableSecret);
    std::vector<std::uint64_t> hashes;
    for (std::uint64_t i = 0; i < 100000; ++i) {
        hashes.push_back(hash(bytes_of(state) + bytes_of(i)));
        hashes.push_back(hash(bytes_of(i) + bytes_of(std::rotl(state, 32))));
    }
    expect_spread(std::move(hashes));
}

TEST(StateHash, SeedsEqualToTheSecretDoNotWipeOutTheSize) {
    for (const std::uint64_t seed : awkward_words()) {
        std::vector<std::uint64_t> hashes;
        const std::string zeros(2000, '\0');
        for (std::size_t size = 0; size <= zeros.size(); ++size) {
            hashes.push_back(hash({zeros.data(), size}, seed));
        }
        expect_spread(std::move(hashes));
    }
}

// Why tables do not use the stable secret. Two ways to write down colliding keys: make a factor
// one, or follow any block by one that cancels the state it left.
TEST(StateHash, CollisionsPreparedForAKnownSecretMeanNothingUnderAnother) {
    const auto distinct = [](const std::vector<std::string>& keys, const HashSecret& secret) {
        std::set<std::uint64_t> hashes;
        for (const std::string& key : keys) hashes.insert(hash(key, 0, secret));
        return hashes.size();
    };
    std::vector<std::string> factor_of_one;
    std::vector<std::string> cancelled;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        const std::uint64_t short_state = plain::start(16, 0, kStableSecret);
        factor_of_one.push_back(bytes_of(short_state ^ 1) + bytes_of(i));
        const std::string block = bytes_of(i) + bytes_of(0);
        const std::uint64_t state = plain::absorb(block, 0, plain::start(48, 0, kStableSecret));
        cancelled.push_back(block + bytes_of(state ^ 7) + bytes_of(std::rotl(state, 32) ^ 9) +
                            std::string(16, '.'));
    }
    EXPECT_EQ(distinct(factor_of_one, kStableSecret), 1u);
    EXPECT_EQ(distinct(cancelled, kStableSecret), 1u);
    EXPECT_EQ(distinct(factor_of_one, process_secret()), 1000u);
    EXPECT_EQ(distinct(cancelled, process_secret()), 1000u);
}

// Tables take the lowest bits: 2^18 keys in 2^16 slots, 4 each, by the chi-square statistic.
template <typename HashOf>
double deviation_from_even_slots(HashOf&& hash_of) {
    constexpr std::size_t slots = 1 << 16;
    constexpr std::size_t keys = 1 << 18;
    std::vector<double> load(slots);
    for (std::size_t i = 0; i < keys; ++i) ++load[hash_of(i) % slots];
    const double fair = static_cast<double>(keys) / static_cast<double>(slots);
    double chi_square = 0;
    for (const double count : load) chi_square += (count - fair) * (count - fair) / fair;
    const auto freedom = static_cast<double>(slots - 1);
    return (chi_square - freedom) / std::sqrt(2 * freedom);
}

TEST(StateHash, LowBitsFillATableEvenly) {
    for (const HashSecret* secret : {&kStableSecret, &process_secret()}) {
        for (const int shift : {0, 1, 8, 16, 32, 46}) {
            const double deviation = deviation_from_even_slots(
                [&](std::uint64_t i) { return hash_word(i << shift, 1, *secret); });
            EXPECT_LT(std::abs(deviation), 6) << "integers << " << shift;
        }
        const double deviation = deviation_from_even_slots(
            [&](std::size_t i) { return hash("room " + std::to_string(i), 4, *secret); });
        EXPECT_LT(std::abs(deviation), 6) << "texts";
    }
    const double of_reals = deviation_from_even_slots([](std::size_t i) {
        return hash_word(std::bit_cast<std::uint64_t>(static_cast<double>(i)), 2, kStableSecret);
    });
    EXPECT_LT(std::abs(of_reals), 6);
}

TEST(StateHash, SmallAndAlignedIntegersDiffer) {
    for (const int shift : {0, 10, 32, 44}) {
        std::vector<std::uint64_t> hashes;
        for (std::uint64_t i = 0; i < 300000; ++i) {
            hashes.push_back(hash_word(i << shift, 1, kStableSecret));
        }
        expect_spread(std::move(hashes));
    }
}

TEST(StateHash, RealisticObservationsDiffer) {
    const std::vector<std::string> places = {"kitchen", "bedroom", "hallway", "bathroom", "garden"};
    const std::vector<std::string> things = {"mug", "plate", "knife", "apple", "lamp", "book"};
    std::vector<std::uint64_t> hashes;
    for (const auto& place : places) {
        for (const auto& thing : things) {
            for (int count = 0; count < 4000; ++count) {
                hashes.push_back(hash("You are in the " + place + ". You see a " + thing + " " +
                                      std::to_string(count) + ", and nothing else."));
            }
        }
    }
    expect_spread(std::move(hashes));
}

}  // namespace
}  // namespace graphgpo
