#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "graphgpo/interner.hpp"

namespace graphgpo {
namespace {

Key text(std::string_view bytes) { return Key::view(KeyKind::text, bytes); }

TEST(Interner, IdsGoByFirstAppearance) {
    Interner interner(4);
    EXPECT_EQ(interner.intern(text("hall")), 0);
    EXPECT_EQ(interner.intern(text("kitchen")), 1);
    EXPECT_EQ(interner.intern(text("hall")), 0);
    EXPECT_EQ(interner.intern(Key::integer(7)), 2);
    EXPECT_EQ(interner.size(), 3u);
}

TEST(Interner, WhatHasNoKeyIsNeverFoundAgain) {
    Interner interner(0);
    const std::int32_t goal = interner.add_keyless();
    EXPECT_NE(interner.intern(text("GOAL")), goal);
    EXPECT_NE(interner.intern(Key()), goal);
    EXPECT_NE(interner.add_keyless(), goal);
}

TEST(Interner, GrowsFromAnyHintToAnySize) {
    for (const std::size_t hint : {0u, 1u, 100000u}) {
        Interner interner(hint);
        for (std::int64_t round = 0; round < 2; ++round) {
            for (std::int64_t i = 0; i < 20000; ++i) {
                ASSERT_EQ(interner.intern(Key::integer(i * 1024)), i);
            }
        }
    }
}

TEST(Interner, AgreesWithAMapOnRandomKeys) {
    std::mt19937_64 random(1);
    std::vector<std::string> texts;
    for (int i = 0; i < 20000; ++i) {
        texts.push_back(std::string(random() % 40, 'a') + std::to_string(random() % 3000));
    }
    Interner interner(10);
    std::unordered_map<std::string, std::int32_t> expected;
    for (const std::string& key : texts) {
        const auto id = static_cast<std::int32_t>(expected.size());
        EXPECT_EQ(interner.intern(text(key)), expected.emplace(key, id).first->second);
    }
}

TEST(Interner, KeysWithTheSameHashAreStillTwo) {
    std::unordered_map<std::uint32_t, std::int64_t> seen;
    std::int64_t one = 0;
    std::int64_t other = 0;
    for (std::int64_t i = 0; other == 0; ++i) {
        const auto hash = static_cast<std::uint32_t>(hash_key(Key::integer(i), kStableSecret));
        const auto [found, is_new] = seen.emplace(hash, i);
        if (!is_new) {
            one = found->second;
            other = i;
        }
    }
    Interner interner(0, kStableSecret);
    EXPECT_EQ(interner.intern(Key::integer(one)), 0);
    EXPECT_EQ(interner.intern(Key::integer(other)), 1);
    EXPECT_EQ(interner.intern(Key::integer(one)), 0);
}

// Of a long text only a sample is hashed, until two texts differ outside it alone.
TEST(Interner, LongTextsThatDifferInOneByteAreTwo) {
    for (const std::size_t size : {100u, 160u, 161u, 200u, 1000u}) {
        std::vector<std::string> texts(2 * size + 1, std::string(size, 'x'));
        for (std::size_t at = 0; at < size; ++at) {
            texts[at][at] = 'y';
            texts[size + 1 + at][size - 1 - at] = 'z';
        }
        Interner interner(0);
        for (int round = 0; round < 2; ++round) {
            for (std::size_t i = 0; i < texts.size(); ++i) {
                ASSERT_EQ(interner.intern(text(texts[i])), static_cast<std::int32_t>(i)) << size;
            }
        }
    }
}

TEST(Interner, TextsThatHideTheirDifferenceSpreadLikeAnyOthers) {
    std::vector<std::string> texts(200'000, std::string(400, 'x'));
    for (std::size_t i = 0; i < texts.size(); ++i) {
        texts[i].replace(50, 8, std::to_string(10'000'000 + i));
    }
    // In one slot they would take twenty thousand million comparisons.
    Interner interner(0);
    for (std::size_t i = 0; i < texts.size(); ++i) {
        ASSERT_EQ(interner.intern(text(texts[i])), static_cast<std::int32_t>(i));
    }
}

// The secret decides where keys lie in the table and nothing else.
TEST(Interner, IdsDoNotDependOnTheSecret) {
    Interner stable(0, kStableSecret);
    Interner seeded(0, process_secret());
    std::mt19937_64 random(2);
    for (int i = 0; i < 5000; ++i) {
        const auto key = Key::integer(static_cast<std::int64_t>(random() % 1000));
        ASSERT_EQ(stable.intern(key), seeded.intern(key));
    }
}

// An attacker who knows the stable hash can choose keys that share its low bits, here by search,
// and so its table slots. Under the process's own secret they spread like any others.
TEST(Interner, CollisionsPreparedForAKnownSecretDoNotCollideUnderTheProcessSecret) {
    std::vector<Key> crafted;
    for (std::int64_t i = 0; crafted.size() < 512; ++i) {
        const Key key = Key::integer(i);
        if ((hash_key(key, kStableSecret) & 0xfff) == 0) crafted.push_back(key);
    }
    std::unordered_map<std::uint64_t, int> load;
    int fullest = 0;
    for (const Key& key : crafted) {
        fullest = std::max(fullest, ++load[hash_key(key, process_secret()) & 0xfff]);
    }
    EXPECT_LE(fullest, 12);  // 512 keys in 4096 slots: 5 by chance; 512 for the known secret
}

}  // namespace
}  // namespace graphgpo
