#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>

#include "batch_builder.hpp"
#include "graphgpo/normalisers/standing.hpp"

namespace graphgpo {
namespace {

Csr one_set(std::size_t size) { return group_by_row(Array<std::int32_t>(size, 0), 1); }

Array<double> compare(const Csr& peers, Array<double> values, const Normaliser& how,
                      double when_void = 0) {
    compare_among(peers, values, {.normaliser = &how, .when_void = when_void});
    return values;
}
Array<double> compare(const Array<double>& values, const Normaliser& how) {
    return compare(one_set(values.size()), values, how);
}

constexpr MeanStd sharp{
    .ddof = 1, .epsilon = 1e-300, .inside = false, .scale = Scale::absolute, .off_below = 0};

TEST(Standing, IsWhatAHandComputes) {
    EXPECT_EQ(compare({1, 1, 1, 0.25}, sharp), (Array<double>{0.5, 0.5, 0.5, -1.5}));
    EXPECT_EQ(compare({1, 1, 1, 0.25}, Mean{}), (Array<double>{0.1875, 0.1875, 0.1875, -0.5625}));
    EXPECT_EQ(compare({1, 3}, LeaveOneOut{}), (Array<double>{-2, 2}));
    EXPECT_EQ(compare({1, 3}, FlooredStd{.floor = 0.5, .ddof = 0}), (Array<double>{-1, 1}));
    EXPECT_EQ(compare({1, 3}, FlooredStd{.floor = 4, .ddof = 0}), (Array<double>{-0.25, 0.25}));
    MeanStd inside = sharp;
    inside.inside = true;
    inside.ddof = 0;
    inside.epsilon = 3;
    EXPECT_EQ(compare({1, 3}, inside), (Array<double>{-0.5, 0.5}));
}

TEST(Standing, IsOffBelowASpread) {
    MeanStd how = sharp;
    how.off_below = 1;
    EXPECT_EQ(compare({1, 2}, how), (Array<double>{0, 0}));
    how.off_below = 0.5;
    EXPECT_NE(compare({1, 2}, how)[0], 0);
}

TEST(Standing, AnUnknownValueHasNoneAndEntersNone) {
    const double unknown = std::numeric_limits<double>::quiet_NaN();
    Array<double> values = {1, unknown, 3};
    const Normaliser how = Mean{};
    Array<std::int32_t> num_peers(3);
    compare_among(one_set(3), values, {.normaliser = &how, .when_void = 7, .num_peers = num_peers});
    EXPECT_EQ(values, (Array<double>{-1, 7, 1}));
    EXPECT_EQ(num_peers, (Array<std::int32_t>{2, 2, 2}));
}

TEST(Standing, CountsEveryTrajectoryOnceIfSoAsked) {
    Array<double> values = {1, 5, 3};
    const Normaliser how = Mean{};
    const Array<TrajectoryId> trajectories = {0, 0, 1};
    Array<std::int32_t> num_peers(3);
    compare_among(one_set(3), values,
                  {.normaliser = &how, .trajectories = trajectories, .num_peers = num_peers});
    EXPECT_EQ(values, (Array<double>{-1, 3, 1}));
    EXPECT_EQ(num_peers, (Array<std::int32_t>{2, 2, 2}));
}

TEST(Standing, ValuesWithinTheToleranceOfTheLargestAreIt) {
    Array<double> values = {1, 1 - 1e-10, 0.5};
    const Normaliser how = Mean{};
    compare_among(one_set(3), values, {.normaliser = &how, .tolerance = 1e-9});
    EXPECT_EQ(values[0], values[1]);
    EXPECT_GT(values[0], values[2]);
    values = {1, 1 - 1e-10, 1};
    compare_among(one_set(3), values, {.normaliser = &how, .tolerance = 1e-9});
    EXPECT_EQ(values, (Array<double>{0, 0, 0}));
}

TEST(Standing, ItemsOfNoRowHaveNone) {
    const Csr peers = group_by_row(Array<std::int32_t>{0, none, 0}, 1);
    EXPECT_EQ(compare(peers, {1, 100, 3}, Mean{}, 7), (Array<double>{-1, 7, 1}));
}

TEST(Standing, AValueWithoutPeersHasZero) {
    EXPECT_EQ(compare({7}, sharp), Array<double>{0});
    EXPECT_EQ(compare({}, sharp), Array<double>{});
}

TEST(Standing, EqualValuesHaveExactlyZeroThoughTheirMeanIsRounded) {
    for (const double value : {0.1, 1e-5 / 3, 1e300}) {
        EXPECT_EQ(compare(Array<double>(7, value), sharp), Array<double>(7, 0));
    }
}

TEST(Standing, SetsAreApart) {
    const Csr peers = group_by_row(Array<std::int32_t>{0, 1, 0, 1}, 2);
    const auto together = compare(peers, {1, 5, 2, 9}, sharp);
    EXPECT_EQ(together[0], compare({1, 2}, sharp)[0]);
    EXPECT_EQ(together[3], compare({5, 9}, sharp)[1]);
}

TEST(Standing, LevelsHaveTheBitsOfTheirValues) {
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
        const Normaliser how = sharp;
        Array<std::int32_t> num_peers(sets.size());
        EXPECT_EQ(compare_levels(peers, levels, 12, value_above, how, num_peers),
                  compare(peers, values, sharp));
        for (std::size_t item = 0; item < sets.size(); ++item) {
            EXPECT_EQ(index(num_peers[item]), peers.row(sets[item]).size());
        }
    }
}

TEST(Standing, OrderDoesNotChangeABit) {
    std::mt19937_64 random(4);
    Array<double> values(101);
    for (double& value : values) value = std::uniform_real_distribution(-1.0, 1.0)(random);
    const Csr peers = one_set(values.size());
    const auto in_order = compare(peers, values, sharp);
    Array<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::shuffle(order, random);
    Array<double> shuffled;
    for (const std::size_t i : order) shuffled.push_back(values[i]);
    const auto out_of_order = compare(peers, shuffled, sharp);
    for (std::size_t i = 0; i < order.size(); ++i) EXPECT_EQ(out_of_order[i], in_order[order[i]]);
}

double standing_of(double value, const Array<WeightedValue>& among) {
    FoldedValues folded;
    for (const auto& [each, count] : among) folded.add(each, count);
    return Standing(folded, sharp)(value);
}

TEST(Standing, CountsMayBeSplitInAnyWay) {
    EXPECT_EQ(standing_of(0.7, {{0.1, 1}, {0.7, 2}, {0.1, 2}, {0.7, 1}}),
              standing_of(0.7, {{0.7, 3}, {0.1, 3}}));
}

TEST(Standing, ManyValuesAreFoldedLikeFew) {
    Array<WeightedValue> split;
    Array<WeightedValue> folded;
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 20; ++i) split.push_back({0.1 * i, i + 1});
    }
    for (int i = 19; i >= 0; --i) folded.push_back({0.1 * i, 3 * (i + 1)});
    EXPECT_EQ(standing_of(0.7, split), standing_of(0.7, folded));
}

TEST(Standing, AVarianceThatOverflowsIsAnError) {
    const double huge = std::numeric_limits<double>::max();
    EXPECT_THROW((void)compare({huge, -huge}, sharp), std::invalid_argument);
}

}  // namespace
}  // namespace graphgpo
