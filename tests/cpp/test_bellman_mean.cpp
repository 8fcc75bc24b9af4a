#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
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

// One component of 100,000 nodes each, of the kinds that iterations and eliminations find hard; a
// tenth of it where nothing is optimised or everything is watched.
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr std::int64_t many = 100'000;
#else
constexpr std::int64_t many = 10'000;
#endif

Edges ring_that_is_left_once() {
    Edges edges;
    for (std::int64_t i = 0; i < many; ++i) edges.add(i, (i + 1) % many);
    edges.add(0, 0, true);
    return edges;
}
Edges walk_on_a_ring_with_one_win() {
    Edges edges;
    for (std::int64_t i = 0; i < many; ++i) {
        edges.add(i, (i + 1) % many);
        edges.add((i + 1) % many, i);
    }
    edges.add(0, 0, true);
    return edges;
}
// Alike but for one node: what tells the others apart is how far they are from it.
Edges ring_of_winners_with_a_loser() {
    Edges edges;
    for (std::int64_t i = 0; i < many; ++i) {
        edges.add(i, (i + 1) % many);
        edges.add((i + 1) % many, i);
        if (i != 0) edges.add(i, i, true);
    }
    return edges;
}
Edges walk_on_a_grid_with_one_goal() {
    constexpr std::int64_t side = many == 100'000 ? 316 : 100;  // side * side <= many
    Edges edges;
    for (std::int64_t x = 0; x < side; ++x) {
        for (std::int64_t y = 0; y < side; ++y) {
            const std::int64_t here = x * side + y;
            // A wall is run into: the step stays.
            edges.add(here, x > 0 ? here - side : here);
            edges.add(here, x + 1 < side ? here + side : here);
            edges.add(here, y > 0 ? here - 1 : here);
            edges.add(here, y + 1 < side ? here + 1 : here, here == 0);
        }
    }
    return edges;
}
Edges random_edges(std::int64_t steps_per_node, std::int64_t one_win_in) {
    std::mt19937_64 random(8);
    Edges edges;
    for (std::int64_t i = 0; i < many; ++i) {
        edges.add(i, (i + 1) % many);
        for (std::int64_t k = 1; k < steps_per_node; ++k) {
            edges.add(i, static_cast<std::int64_t>(random() % many));
        }
        if (i % one_win_in == 0) edges.add(i, i, true);
    }
    return edges;
}
Edges ring_of_layers() {
    constexpr std::int64_t width = 100;
    std::mt19937_64 random(9);
    Edges edges;
    for (std::int64_t i = 0; i < many; ++i) {
        const std::int64_t next = (i / width + 1) * width;
        for (int k = 0; k < 4; ++k) {
            edges.add(i, (next + static_cast<std::int64_t>(random() % width)) % many);
        }
    }
    edges.add(0, 0, true);
    return edges;
}
// Every step goes on or back to the start, which wins after all others.
Edges corridor_with_resets() {
    Edges edges;
    for (std::int64_t i = 0; i < many; ++i) {
        for (int k = 0; k < 99; ++k) edges.add(i, i + 1 < many ? i + 1 : 0, i + 1 == many);
        edges.add(i, 0);
    }
    return edges;
}
// Crowds of which each is one step away from the next.
Edges chain_of_crowds() {
    constexpr std::int64_t crowd = 1000;
    std::mt19937_64 random(10);
    Edges edges;
    for (std::int64_t i = 0; i < many; ++i) {
        const std::int64_t first = i / crowd * crowd;
        for (int k = 0; k < 6; ++k) {
            edges.add(i, first + static_cast<std::int64_t>(random() % crowd));
        }
        if (i == first) edges.add(i, (i + crowd) % many);
        if (i == first) edges.add(i, (i + many - crowd) % many);
    }
    edges.add(7, 7, true);
    return edges;
}

TEST(BellmanMean, SolvesLargeComponentsOfEveryKind) {
    const std::pair<const char*, Edges> cases[] = {
        {"ring", ring_that_is_left_once()},
        {"walk on a ring", walk_on_a_ring_with_one_win()},
        {"ring of winners", ring_of_winners_with_a_loser()},
        {"grid", walk_on_a_grid_with_one_goal()},
        {"random, one win in 4", random_edges(2, 4)},
        {"random, one win", random_edges(2, many)},
        {"random, four steps", random_edges(4, many)},
        {"ring of layers", ring_of_layers()},
        {"corridor with resets", corridor_with_resets()},
        {"chain of crowds", chain_of_crowds()},
    };
    for (const auto& [name, edges] : cases) {
        for (const double gamma : {0.9, 0.999}) {
            const auto start = std::chrono::steady_clock::now();
            const Array<double> found = values_of(edges, gamma);
            const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
            std::printf("%s, gamma %g: %.2f s\n", name, gamma, taken.count());
            EXPECT_GT(std::ranges::max(found), 0) << name;
            // An error is at most the residual / (1 - gamma).
            EXPECT_LT(residual(edges, found, index(many), gamma), 1e-9 * (1 - gamma)) << name;
        }
    }
}

TEST(BellmanMean, HasTheSameBitsWhateverTheOrderOfRows) {
    std::mt19937_64 random(11);
    for (int round = 0; round < 60; ++round) {
        const std::size_t nodes = 2 + random() % 60;
        Edges edges;
        // From few kinds of edges come many nodes that are alike, or nearly so.
        for (std::size_t i = 0; i < nodes; ++i) {
            for (const std::size_t step : {std::size_t{1}, nodes - 1, 1 + random() % 2}) {
                edges.add(id_of(i), id_of((i + step) % nodes));
            }
            if (random() % 8 == 0) edges.add(id_of(i), id_of(i), true);
        }
        const Array<double> expected = values_of(edges, 0.95);
        std::vector<std::size_t> order(edges.size());
        std::iota(order.begin(), order.end(), 0);
        std::ranges::shuffle(order, random);
        Edges shuffled;
        for (const std::size_t i : order) {
            shuffled.add(edges.source[i], edges.target[i], edges.wins[i] != 0);
        }
        const Array<double> found = values_of(shuffled, 0.95);
        for (std::size_t i = 0; i < order.size(); ++i) ASSERT_EQ(found[i], expected[order[i]]);
    }
}

// All of a ring that everybody may leave are one: V = gamma (V + 1) / 2.
TEST(BellmanMean, OfNodesThatNothingTellsApartIsOne) {
    Edges edges;
    for (std::int64_t i = 0; i < 1000; ++i) {
        edges.add(i, (i + 1) % 1000);
        edges.add(i, i, true);
    }
    for (const double value : values_of(edges, 0.8)) EXPECT_DOUBLE_EQ(value, 0.4 / 0.6);
}

// A corridor of sixty rooms whose end is far: elimination never subtracts.
TEST(BellmanMean, IsRightInItsOwnDigitsWhereItIsTiny) {
    Edges edges;
    constexpr std::int64_t rooms = 60;
    for (std::int64_t i = 0; i < rooms; ++i) {
        edges.add(i, i + 1 < rooms ? i + 1 : i, i + 1 == rooms);
        edges.add(i, i > 0 ? i - 1 : i);
    }
    const double gamma = 0.01;
    const Array<double> found = values_of(edges, gamma);
    const std::vector<double> expected = dense_values(edges, index(rooms), gamma);
    EXPECT_LT(expected[0], 1e-130);
    for (std::size_t i = 0; i < edges.size(); ++i) {
        const double value = expected[index(edges.source[i])];
        EXPECT_NEAR(found[i], value, 1e-13 * value);
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
    const Array<double> ends = {0.5, 0.5, 1};
    const PotentialOfSteps given = potential({0.5, FailedEnd::leaf, GivenValues{ends}});
    EXPECT_EQ(given.before, (Array<double>{0.3125, 0.25, 0.3125}));
    EXPECT_EQ(given.after, (Array<double>{0.25, 0.5, 1}));
}

TEST(BellmanMean, EndsATrajectoryWithOneValue) {
    OneGroup group(
        {.states = {"a", "b", "c"}, .trajectory_ids = {0, 1, 1}, .success = {{1, 1, 1}}});
    const Array<double> ends = {1, 0.5, 0.25};
    const auto message = [&]() -> std::string {
        try {
            (void)group->potential({BellmanMean{0.5, FailedEnd::leaf, GivenValues{ends}}});
        } catch (const std::invalid_argument& error) {
            return error.what();
        }
        return "no error";
    };
    EXPECT_EQ(
        message(),
        "boundary[2] is 0.25 but row 1 of the same trajectory has 0.5; expected one value per "
        "trajectory");
}

}  // namespace
}  // namespace graphgpo
