#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "graphgpo/state_hash.hpp"

namespace graphgpo {
namespace {

std::uint64_t hash(const std::string& bytes, std::uint64_t seed = 0) {
    return hash_bytes(bytes.data(), bytes.size(), seed, kStableSecret);
}

std::string bytes_of_length(std::size_t size) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i * 7 % 256));
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
    EXPECT_EQ(hash_word(0, 0, kStableSecret), 0x45c8d7eabc232c80);
    EXPECT_EQ(hash_word(1, 0, kStableSecret), 0x821d79e4584923d4);
    EXPECT_EQ(hash_word(2, 42, kStableSecret), 0x6e12282cea480c1b);
    EXPECT_EQ(hash_word(~std::uint64_t{0}, 42, kStableSecret), 0x683df26c1f2601d0);
}

TEST(StateHash, DoesNotDependOnWhereTheBytesLie) {
    const std::string bytes = bytes_of_length(100);
    std::vector<char> memory(bytes.size() + 16);
    for (std::size_t offset = 0; offset < 16; ++offset) {
        std::memcpy(memory.data() + offset, bytes.data(), bytes.size());
        EXPECT_EQ(hash_bytes(memory.data() + offset, bytes.size(), 0, kStableSecret), hash(bytes));
    }
}

TEST(StateHash, SecretsAndSeedsMatter) {
    const std::string text = "You are in the middle of a room.";
    EXPECT_NE(hash(text, 1), hash(text, 2));
    EXPECT_NE(hash(text), hash_bytes(text.data(), text.size(), 0, process_secret()));
    EXPECT_NE(hash_word(1, 0, kStableSecret), hash_word(1, 0, process_secret()));
    EXPECT_EQ(&process_secret(), &process_secret());
}

// How often each output bit flips when one input bit does. With `samples` trials a fair bit stays
// within 6 standard deviations of one half, over all bits tried here.
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
        // One byte has 256 values only: all of them are tried, under many seeds.
        for (std::size_t bit = 0; bit < 8 * size; ++bit) {
            Avalanche avalanche;
            for (int trial = 0; trial < 1000; ++trial) {
                std::string bytes;
                for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(random()));
                const std::uint64_t seed = random();
                const std::uint64_t before = hash(bytes, seed);
                bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
                avalanche.add(before, hash(bytes, seed));
            }
            ASSERT_LT(avalanche.worst_deviation(), 6) << "size " << size << ", bit " << bit;
        }
    }
}

TEST(StateHash, EveryBitOfAWordAndOfASeedFlipsHalfOfTheOutput) {
    std::mt19937_64 random(2);
    for (int bit = 0; bit < 64; ++bit) {
        Avalanche of_word;
        Avalanche of_seed;
        for (int trial = 0; trial < 4000; ++trial) {
            const std::uint64_t word = random();
            const std::uint64_t seed = random();
            const std::uint64_t flip = std::uint64_t{1} << bit;
            const std::uint64_t before = hash_word(word, seed, kStableSecret);
            of_word.add(before, hash_word(word ^ flip, seed, kStableSecret));
            of_seed.add(before, hash_word(word, seed ^ flip, kStableSecret));
        }
        ASSERT_LT(of_word.worst_deviation(), 6) << bit;
        ASSERT_LT(of_seed.worst_deviation(), 6) << bit;
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

// Words equal to the secret's are the ones that zero a factor.
TEST(StateHash, BlocksMadeOfTheSecretDiffer) {
    std::vector<std::uint64_t> words(kStableSecret.words.begin(), kStableSecret.words.end());
    words.push_back(0);
    words.push_back(~std::uint64_t{0});
    std::vector<std::uint64_t> hashes;
    for (std::size_t code = 0; code < 7 * 7 * 7 * 7 * 7; ++code) {
        std::string state;
        for (std::size_t rest = code, block = 0; block < 5; ++block, rest /= 7) {
            char bytes[8];
            std::memcpy(bytes, &words[rest % 7], 8);
            state.append(bytes, 8);
        }
        hashes.push_back(hash(state));
    }
    expect_spread(std::move(hashes));
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
