#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>
#include <utility>
#include <vector>

#include "batch_builder.hpp"

namespace graphgpo {
namespace {

// Edges as rollouts of one step each: with next states given, every step is one.
struct Edges {
    std::vector<std::int64_t> source;
    std::vector<std::int64_t> target;
    std::vector<std::uint8_t> wins;  // whether the step is the end of a success

    void add(std::int64_t from, std::int64_t to, bool is_win = false) {
        source.push_back(from);
        target.push_back(to);
        wins.push_back(is_win ? 1 : 0);
    }
    [[nodiscard]] std::size_t size() const noexcept { return source.size(); }
};

// The value where every step starts; failed steps lead where they say.
Array<double> values_of(const Edges& edges, double gamma) {
    const std::vector<std::int64_t> groups(edges.size(), 0);
    std::vector<std::int64_t> trajectories(edges.size());
    for (std::size_t i = 0; i < edges.size(); ++i) trajectories[i] = static_cast<std::int64_t>(i);
    const Batch batch{.states = std::span<const std::int64_t>(edges.source),
                      .next_states = std::span<const std::int64_t>(edges.target),
                      .group_ids = std::span<const std::int64_t>(groups),
                      .trajectory_ids = std::span<const std::int64_t>(trajectories),
                      .success = edges.wins};
    const Groups all = group_rows(batch);
    const BatchFacts facts;
    Group group(batch, all.rows.row(0), facts);
    return group.potential({BellmanMean{gamma, FailedEnd::state, {}}}).before;
}

// V = gamma (P V + w), solved by elimination with pivots, in wider floats.
std::vector<double> dense_values(const Edges& edges, std::size_t nodes, double gamma) {
    std::vector<std::vector<long double>> rows(nodes, std::vector<long double>(nodes + 1, 0));
    std::vector<long double> leaving(nodes, 0);
    for (const std::int64_t source : edges.source) ++leaving[index(source)];
    for (std::size_t i = 0; i < nodes; ++i) rows[i][i] = 1;
    for (std::size_t i = 0; i < edges.size(); ++i) {
        const auto from = index(edges.source[i]);
        const long double share = static_cast<long double>(gamma) / leaving[from];
        if (edges.wins[i] != 0) {
            rows[from][nodes] += share;
        } else {
            rows[from][index(edges.target[i])] -= share;
        }
    }
    for (std::size_t c = 0; c < nodes; ++c) {
        std::size_t pivot = c;
        for (std::size_t r = c; r < nodes; ++r) {
            if (std::abs(rows[r][c]) > std::abs(rows[pivot][c])) pivot = r;
        }
        std::swap(rows[c], rows[pivot]);
        for (std::size_t r = 0; r < nodes; ++r) {
            if (r == c || rows[r][c] == 0) continue;
            const long double factor = rows[r][c] / rows[c][c];
            for (std::size_t k = c; k <= nodes; ++k) rows[r][k] -= factor * rows[c][k];
        }
    }
    std::vector<double> values;
    for (std::size_t i = 0; i < nodes; ++i) {
        values.push_back(static_cast<double>(rows[i][nodes] / rows[i][i]));
    }
    return values;
}

// How far the values of the steps are from a fixed point.
double residual(const Edges& edges, const Array<double>& of_step, std::size_t nodes, double gamma) {
    std::vector<double> value(nodes, 0);
    for (std::size_t i = 0; i < edges.size(); ++i) value[index(edges.source[i])] = of_step[i];
    std::vector<double> sum(nodes, 0);
    std::vector<double> count(nodes, 0);
    for (std::size_t i = 0; i < edges.size(); ++i) {
        sum[index(edges.source[i])] += edges.wins[i] != 0 ? 1 : value[index(edges.target[i])];
        ++count[index(edges.source[i])];
    }
    double largest = 0;
    for (std::size_t node = 0; node < nodes; ++node) {
        if (count[node] == 0) continue;
        largest = std::max(largest, std::abs(gamma * sum[node] / count[node] - value[node]));
    }
    return largest;
}

TEST(BellmanMean, SolvesItsEquationsOnRandomGraphsWithCycles) {
    std::mt19937_64 random(6);
    for (const double gamma : {0.5, 0.9, 0.99, 0.999}) {
        for (int round = 0; round < 40; ++round) {
            const std::size_t nodes = 1 + random() % 30;
            const std::size_t steps_per_node = 1 + random() % 4;
            Edges edges;
            for (std::size_t i = 0; i < nodes * steps_per_node; ++i) {
                const auto from = static_cast<std::int64_t>(random() % nodes);
                edges.add(from, static_cast<std::int64_t>(random() % nodes), random() % 8 == 0);
            }
            const Array<double> found = values_of(edges, gamma);
            const std::vector<double> expected = dense_values(edges, nodes, gamma);
            for (std::size_t i = 0; i < edges.size(); ++i) {
                ASSERT_NEAR(found[i], expected[index(edges.source[i])], 1e-9) << gamma;
            }
        }
    }
}

TEST(BellmanMean, OfAChainIsADiscountPerStepWhateverItsLength) {
    constexpr std::int64_t length = 100'000;
    Edges edges;
    for (std::int64_t i = 0; i < length; ++i) edges.add(i, i + 1, i + 1 == length);
    for (const double gamma : {0.5, 0.999}) {
        const Array<double> found = values_of(edges, gamma);
        for (std::size_t i = 0; i < found.size(); i += 997) {
            EXPECT_NEAR(found[i], std::pow(gamma, length - static_cast<double>(i)), 1e-12);
        }
        EXPECT_EQ(found.back(), gamma);
    }
}

// A ring with chords, every fourth node of which wins now and then: one component of all.
TEST(BellmanMean, ConvergesWhereEverythingIsConnected) {
    constexpr std::int64_t nodes = 100'000;
    std::mt19937_64 random(8);
    Edges edges;
    for (std::int64_t i = 0; i < nodes; ++i) {
        edges.add(i, (i + 1) % nodes);
        edges.add(i, static_cast<std::int64_t>(random() % nodes));
        if (i % 4 == 0) edges.add(i, i, true);
    }
    for (const double gamma : {0.9, 0.999}) {
        const auto start = std::chrono::steady_clock::now();
        const Array<double> found = values_of(edges, gamma);
        const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
        std::printf("gamma %g: %.2f s\n", gamma, taken.count());
        // An error is at most the residual / (1 - gamma).
        EXPECT_LT(residual(edges, found, nodes, gamma), 1e-9 * (1 - gamma));
    }
}

TEST(BellmanMean, IsZeroWhereNothingIsEarned) {
    Edges edges;
    edges.add(0, 1);
    edges.add(1, 0);
    edges.add(2, 2);
    edges.add(3, 3, true);
    EXPECT_EQ(values_of(edges, 0.9), (Array<double>{0, 0, 0, 0.9}));
}

TEST(BellmanMean, EndsWhereTheCallerSays) {
    BatchBuilder builder{.states = {"a", "b", "a"},
                         .next_states = {{"b", "c", "a"}},
                         .trajectory_ids = {0, 0, 1},
                         .success = {{1, 1, 0}}};
    const auto potential = [&](const BellmanMean& block) {
        OneGroup group(builder);
        return group->potential({block});
    };
    const PotentialOfSteps leaf = potential({0.5, FailedEnd::leaf, {}});
    EXPECT_EQ(leaf.before, (Array<double>{0.125, 0.5, 0.125}));
    EXPECT_EQ(leaf.after, (Array<double>{0.5, 1, 0}));
    // a = (0.25 + a / 2) / 2
    const PotentialOfSteps state = potential({0.5, FailedEnd::state, {}});
    EXPECT_DOUBLE_EQ(state.before[0], 1. / 6);
    EXPECT_DOUBLE_EQ(state.after[2], 1. / 6);
    const Array<double> ends = {9, 0.5, 1};
    const PotentialOfSteps given = potential({0.5, FailedEnd::leaf, GivenValues{ends}});
    EXPECT_EQ(given.before, (Array<double>{0.3125, 0.25, 0.3125}));
    EXPECT_EQ(given.after, (Array<double>{0.25, 0.5, 1}));
}

}  // namespace
}  // namespace graphgpo
