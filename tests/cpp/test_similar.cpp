#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "graphgpo/states/lcs.hpp"
#include "graphgpo/states/similar.hpp"

namespace graphgpo {
namespace {

using Texts = std::vector<std::string>;

Array<std::int32_t> components(const Texts& texts, double threshold) {
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    return similar_components(views, threshold).components;
}

std::size_t longest_common(std::span<const Symbol> a, std::span<const Symbol> b) {
    std::vector<std::size_t> row(b.size() + 1, 0);
    for (const Symbol symbol : a) {
        std::size_t diagonal = 0;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t above = row[j];
            row[j] = symbol == b[j - 1] ? diagonal + 1 : std::max(above, row[j - 1]);
            diagonal = above;
        }
    }
    return row.back();
}

TEST(Similar, JoinsWhatHasEnoughInCommon) {
    EXPECT_EQ(components({"abcd", "abce", "xyz", "abcd"}, 0.75), (Array<std::int32_t>{0, 0, 1, 0}));
    EXPECT_EQ(components({"abcd", "abce"}, std::nextafter(0.75, 1)), (Array<std::int32_t>{0, 1}));
}

TEST(Similar, ComponentsChain) {
    EXPECT_EQ(components({"aaaa", "aabb", "aaab", "bbbb", "abbb"}, 0.75),
              Array<std::int32_t>(5, 0));
}

TEST(Similar, CountsWhatItMerged) {
    const std::vector<std::string_view> texts = {"abcd", "abce", "xyz", "abcd", "xyzw", "abcf"};
    const SimilarTexts similar = similar_components(texts, 0.75);
    EXPECT_EQ(similar.merged, 3);
    EXPECT_EQ(similar.largest, 3);
}

TEST(Similar, TwoEmptyTextsAreEqualAndAnEmptyOneIsLikeNoOther) {
    EXPECT_EQ(components({"", "a", ""}, 1e-300), (Array<std::int32_t>{0, 1, 0}));
    EXPECT_EQ(components({}, 0.5), Array<std::int32_t>{});
}

TEST(Similar, GroupsAreApart) {
    const std::vector<std::string_view> texts = {"abcd", "abcd", "abce"};
    const SimilarTexts similar = similar_components(texts, Array<GroupId>{0, 1, 0}, 0.75);
    EXPECT_EQ(similar.components, (Array<std::int32_t>{0, 1, 0}));
}

TEST(Similar, SizesCountCodePoints) {
    // Three of four code points, though 3 of 9, 12 and 15 bytes and more differ.
    EXPECT_EQ(components({"aaaé", "aaaa"}, 0.75), (Array<std::int32_t>{0, 0}));
    EXPECT_EQ(components({"靴靴靴靴", "靴靴靴é"}, 0.75), (Array<std::int32_t>{0, 0}));
    EXPECT_EQ(components({"👟👟👟👟", "👟👟👟a"}, 0.75), (Array<std::int32_t>{0, 0}));
}

TEST(Similar, TheThresholdIsTheFractionItsDoubleIs) {
    // 0.95 is a little less than 19 / 20, 0.9 a little more than 9 / 10.
    EXPECT_EQ(fewest_common(0.95, 40), 19U);
    EXPECT_EQ(fewest_common(0.9, 20), 10U);
    EXPECT_EQ(fewest_common(0.75, 8), 3U);
    EXPECT_EQ(fewest_common(1, 8), 4U);
    EXPECT_EQ(fewest_common(0.95, 0), 0U);
    EXPECT_EQ(fewest_common(5e-324, 1U << 30), 1U);
}

TEST(Similar, RefusesAThresholdThatIsNoShare) {
    for (const double threshold : {0.0, -1.0, 1.5, std::nan("")}) {
        EXPECT_THROW((void)components({"a"}, threshold), std::invalid_argument);
    }
}

TEST(CommonSubsequence, IsWhatATableSays) {
    std::mt19937_64 random(7);
    for (int round = 0; round < 3000; ++round) {
        const std::size_t alphabet = 1 + random() % (round % 3 == 0 ? 200 : 4);
        std::vector<Symbol> a(random() % 300);
        for (Symbol& symbol : a) symbol = static_cast<Symbol>(random() % alphabet);
        std::vector<Symbol> b = a;
        if (round % 2 == 0) {
            b.resize(random() % 300);
            for (Symbol& symbol : b) symbol = static_cast<Symbol>(random() % alphabet);
        }
        for (std::size_t edits = random() % 40; edits > 0 && !b.empty(); --edits) {
            const auto at = b.begin() + static_cast<std::ptrdiff_t>(random() % b.size());
            if (random() % 2 == 0) {
                b.erase(at);
            } else {
                b.insert(at, static_cast<Symbol>(random() % alphabet));
            }
        }
        const std::size_t common = longest_common(a, b);
        CommonSubsequence subsequence;
        subsequence.prepare(a, alphabet);
        EXPECT_TRUE(subsequence.has(common, b));
        EXPECT_TRUE(subsequence.has(common / 2, b));
        EXPECT_FALSE(subsequence.has(common + 1, b));
        EXPECT_FALSE(subsequence.has(common + 5, b));
    }
}

}  // namespace
}  // namespace graphgpo
