#include <gtest/gtest.h>

#include <cmath>
#include <span>
#include <vector>

#include "graphgpo/metrics.hpp"

namespace graphgpo {
namespace {

TEST(Moments, AreThoseOfTheWholeHoweverItIsCut) {
    const std::vector<float> values = {1, 2, 4, 8, -3, 0.5, 7};
    const Moments whole = Moments::of(values);
    EXPECT_EQ(whole.count, 7);
    EXPECT_NEAR(whole.mean, 19.5 / 7, 1e-12);
    EXPECT_EQ(whole.smallest, -3);
    EXPECT_EQ(whole.largest, 8);
    for (std::size_t cut = 0; cut <= values.size(); ++cut) {
        Moments parts = Moments::of(std::span(values).first(cut));
        parts.append(Moments::of(std::span(values).subspan(cut)));
        EXPECT_EQ(parts.count, whole.count);
        EXPECT_NEAR(parts.mean, whole.mean, 1e-12);
        EXPECT_NEAR(parts.squares, whole.squares, 1e-12);
        EXPECT_EQ(parts.smallest, whole.smallest);
        EXPECT_EQ(parts.largest, whole.largest);
    }
}

TEST(Metrics, AShareOfNothingIsZero) {
    for (const auto& [name, value] : metrics_of(Tally{}, 0)) EXPECT_EQ(value, 0) << name;
}

}  // namespace
}  // namespace graphgpo
