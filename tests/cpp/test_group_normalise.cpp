#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>

#include "batch_builder.hpp"
#include "graphgpo/group_normalise.hpp"

namespace graphgpo {
namespace {

Csr one_set(std::size_t size) { return group_by_row(Array<std::int32_t>(size, 0), 1); }

Array<double> normalise(const Array<double>& values, const Options& options) {
    return normalise_among(one_set(values.size()), values, options);
}

TEST(GroupNormalise, IsWhatAHandComputes) {
    Options options = mug_options();
    options.epsilon = 1e-300;
    EXPECT_EQ(normalise({1, 1, 1, 0.25}, options), (Array<double>{0.5, 0.5, 0.5, -1.5}));
    options.normalization = Normalization::mean;
    EXPECT_EQ(normalise({1, 1, 1, 0.25}, options),
              (Array<double>{0.1875, 0.1875, 0.1875, -0.5625}));
}

TEST(GroupNormalise, AValueWithoutPeersHasZero) {
    EXPECT_EQ(normalise({7}, mug_options()), Array<double>{0});
    EXPECT_EQ(normalise({}, mug_options()), Array<double>{});
}

TEST(GroupNormalise, EqualValuesHaveExactlyZeroThoughTheirMeanIsRounded) {
    for (const double value : {0.1, 1e-5 / 3, 1e300}) {
        EXPECT_EQ(normalise(Array<double>(7, value), mug_options()), Array<double>(7, 0));
    }
}

TEST(GroupNormalise, SetsAreApart) {
    const Csr peers = group_by_row(Array<std::int32_t>{0, 1, 0, 1}, 2);
    const auto together = normalise_among(peers, Array<double>{1, 5, 2, 9}, mug_options());
    EXPECT_EQ(together[0], normalise({1, 2}, mug_options())[0]);
    EXPECT_EQ(together[3], normalise({5, 9}, mug_options())[1]);
}

TEST(GroupNormalise, LevelsHaveTheBitsOfTheirValues) {
    // Twelve levels, more than are looked for before sorting; beyond the fifth all values are 0.
    const auto value_above = [](std::int32_t further) {
        return further > 5 ? 0 : 1 / static_cast<double>(1 + further * further);
    };
    std::mt19937_64 random(5);
    for (int round = 0; round < 30; ++round) {
        Array<std::int32_t> sets(300);
        Array<std::int32_t> levels(sets.size());
        Array<std::int32_t> least(40, 12);
        for (std::size_t item = 0; item < sets.size(); ++item) {
            sets[item] = static_cast<std::int32_t>(random() % (item < 200 ? 4 : 40));
            levels[item] = static_cast<std::int32_t>(random() % (sets[item] == 0 ? 1 : 12));
            std::int32_t& of_set = least[index(sets[item])];
            of_set = std::min(of_set, levels[item]);
        }
        Array<double> values;
        for (std::size_t item = 0; item < sets.size(); ++item) {
            values.push_back(value_above(levels[item] - least[index(sets[item])]));
        }
        const Csr peers = group_by_row(sets, least.size());
        EXPECT_EQ(normalise_levels(peers, levels, 12, value_above, mug_options()),
                  normalise_among(peers, values, mug_options()));
    }
}

TEST(GroupNormalise, OrderDoesNotChangeABit) {
    std::mt19937_64 random(4);
    Array<double> values(101);
    for (double& value : values) value = std::uniform_real_distribution(-1.0, 1.0)(random);
    const Csr peers = one_set(values.size());
    const auto in_order = normalise_among(peers, values, mug_options());
    Array<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::shuffle(order, random);
    Array<double> shuffled;
    for (const std::size_t i : order) shuffled.push_back(values[i]);
    const auto out_of_order = normalise_among(peers, shuffled, mug_options());
    for (std::size_t i = 0; i < order.size(); ++i) EXPECT_EQ(out_of_order[i], in_order[order[i]]);
}

double standing_of(double value, const Array<WeightedValue>& among) {
    FoldedValues folded;
    for (const auto& [each, count] : among) folded.add(each, count);
    return Standing(folded, mug_options())(value);
}

TEST(GroupNormalise, CountsMayBeSplitInAnyWay) {
    EXPECT_EQ(standing_of(0.7, {{0.1, 1}, {0.7, 2}, {0.1, 2}, {0.7, 1}}),
              standing_of(0.7, {{0.7, 3}, {0.1, 3}}));
}

TEST(GroupNormalise, ManyValuesAreFoldedLikeFew) {
    Array<WeightedValue> split;
    Array<WeightedValue> folded;
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 20; ++i) split.push_back({0.1 * i, i + 1});
    }
    for (int i = 19; i >= 0; --i) folded.push_back({0.1 * i, 3 * (i + 1)});
    EXPECT_EQ(standing_of(0.7, split), standing_of(0.7, folded));
}

TEST(GroupNormalise, AVarianceThatOverflowsIsAnError) {
    const double huge = std::numeric_limits<double>::max();
    EXPECT_THROW((void)normalise({huge, -huge}, mug_options()), std::invalid_argument);
}

}  // namespace
}  // namespace graphgpo
