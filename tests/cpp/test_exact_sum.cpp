#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "graphgpo/exact_sum.hpp"

namespace graphgpo {
namespace {

double sum_of(const std::vector<double>& values) {
    ExactSum sum;
    for (const double value : values) sum.add(value);
    return sum.total();
}

TEST(ExactSum, OfNothingIsZero) { EXPECT_EQ(sum_of({}), 0); }

TEST(ExactSum, IsRoundedOnce) {
    EXPECT_EQ(sum_of(std::vector<double>(10, 0.1)), 1.0);
    EXPECT_EQ(sum_of({1e100, 1, -1e100}), 1);
    EXPECT_EQ(sum_of({1, 1e-30, -1}), 1e-30);
    // Half way between two doubles, and just beyond it.
    const double ulp = std::numeric_limits<double>::epsilon();
    EXPECT_EQ(sum_of({1, ulp / 2}), 1);
    EXPECT_EQ(sum_of({1, ulp / 2, 1e-40}), 1 + ulp);
}

TEST(ExactSum, IsThatOfWholeNumbersInAnyOrder) {
    std::mt19937_64 random(3);
    for (int round = 0; round < 100; ++round) {
        // Multiples of 2^-30 below 2^20: their sums are exact in a long double.
        std::vector<double> values(50);
        long double expected = 0;
        for (double& value : values) {
            value = std::ldexp(static_cast<double>(random() % (1ULL << 50)), -30) - (1 << 19);
            expected += value;
        }
        std::ranges::shuffle(values, random);
        EXPECT_EQ(sum_of(values), static_cast<double>(expected));
    }
}

TEST(ExactSum, StartsAgainWhenCleared) {
    ExactSum sum;
    sum.add(5);
    sum.clear();
    sum.add(2);
    EXPECT_EQ(sum.total(), 2);
}

}  // namespace
}  // namespace graphgpo
