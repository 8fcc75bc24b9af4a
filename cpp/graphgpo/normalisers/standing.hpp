// How far a value is above its peers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>

#include "graphgpo/csr.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/normalisers/normaliser.hpp"
#include "graphgpo/stop.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

struct WeightedValue {
    double value;
    std::int64_t count;
};

// Values, equal ones as one: sums over them, sorted, are then the same whatever order they came in
// and whatever their counts were split into.
class FoldedValues {
  public:
    FoldedValues() { folded_.reserve(few); }

    void clear() noexcept { folded_.clear(); }

    void add(double value, std::int64_t count = 1) {
        // Peers mostly share two or three values: looking for those is cheaper than sorting all.
        const std::size_t known = std::min(folded_.size(), few);
        for (std::size_t i = 0; i < known; ++i) {
            if (folded_[i].value != value) continue;
            folded_[i].count += count;
            return;
        }
        folded_.push_back({value, count});
    }

    // Ascending, all different.
    [[nodiscard]] std::span<const WeightedValue> sorted();

  private:
    static constexpr std::size_t few = 8;
    Array<WeightedValue> folded_;  // the first few are all different
};

// Of the values of one set of peers. Says nothing (is void) when no two of them differ: a rounded
// mean that is one ulp off must not become credit.
class Standing {
  public:
    Standing() = default;  // void
    // Sorts the values, so the result depends on what they are and never on their order. Two
    // passes. Values within `tolerance` times the largest of it are taken as the largest. Throws
    // `std::invalid_argument` when they are so large that their variance is not finite.
    Standing(FoldedValues& values, const Normaliser& normaliser, double tolerance = 0)
        : Standing(values.sorted(), normaliser, tolerance) {}
    // The same of values that ascend and are all different.
    Standing(std::span<const WeightedValue> values, const Normaliser& normaliser,
             double tolerance = 0);

    [[nodiscard]] bool is_void() const noexcept { return is_void_; }
    // How many values it was made of.
    [[nodiscard]] std::int64_t count() const noexcept { return count_; }
    // 0 where it is void.
    [[nodiscard]] double operator()(double value) const noexcept {
        if (is_void_) return 0;
        return (value >= as_largest_ ? largest_ - mean_ : value - mean_) / denominator_;
    }

  private:
    bool is_void_ = true;
    std::int64_t count_ = 0;
    double mean_ = 0;
    double denominator_ = 1;
    double as_largest_ = std::numeric_limits<double>::infinity();  // from here on: `largest_`
    double largest_ = 0;
};

// `values` compared within every row of `peers`, in place. What has no standing, because its peers
// are void or it is in no row, gets `when_void`, and so do unknown values (NaN), which enter no
// statistics.
struct Comparing {
    const Normaliser* normaliser;
    double when_void = 0;
    double tolerance = 0;
    // By item, if of the items of a row each trajectory counts once: its first.
    std::span<const TrajectoryId> trajectories = {};
    std::span<std::int32_t> num_peers = {};  // by item, if asked for: values it was compared with
};
void compare_among(const Csr& peers, std::span<double> values, const Comparing& how);

// The same where a value follows from a level, one of few whole numbers from 0 on, and is
// `value_above(level - least level of its peers)`, the smaller the higher. Peers of a level are
// counted, whoever they are, and a standing is computed once per level: no sort of the items and no
// division for each. `num_peers` as above, if asked for.
[[nodiscard]] Array<double> compare_levels(const Csr& peers, std::span<const std::int32_t> levels,
                                           std::size_t num_levels, auto&& value_above,
                                           const Normaliser& normaliser,
                                           std::span<std::int32_t> num_peers = {}) {
    Array<double> standings(levels.size(), 0);
    Array<std::int32_t> count(num_levels, 0);  // by level, all 0 between rows
    Array<double> standing_of(num_levels);     // by level
    // The levels of a row. One place more than levels, because a level is written before it is
    // known to be new: a branch would go either way as often.
    Array<std::int32_t> seen(num_levels + 1);
    Array<WeightedValue> compared;
    StopMeter meter;
    for (std::size_t row = 0; row < peers.num_rows(); ++row) {
        const auto items = peers.row(id_of(row));
        meter(items.size());
        if (!num_peers.empty()) {
            for (const auto item : items) num_peers[index(item)] = id_of(items.size());
        }
        if (items.size() < 2) continue;
        std::size_t num_seen = 0;
        for (const auto item : items) {
            const std::int32_t level = levels[index(item)];
            seen[num_seen] = level;
            std::int32_t& known = count[index(level)];
            num_seen += known == 0 ? 1 : 0;
            ++known;
        }
        const auto seen_levels = std::span(seen).first(num_seen);
        if (num_seen > 1) {
            std::ranges::sort(seen_levels, std::greater());
            const std::int32_t least = seen_levels.back();
            const auto value_of = [&](std::int32_t level) { return value_above(level - least); };
            compared.clear();
            for (const auto level : seen_levels) {
                const double value = value_of(level);
                if (compared.empty() || value != compared.back().value) {
                    compared.push_back({value, 0});
                }
                compared.back().count += count[index(level)];  // far levels may share a value: 0
            }
            const Standing standing(compared, normaliser);
            for (const auto level : seen_levels) {
                standing_of[index(level)] = standing(value_of(level));
            }
            for (const auto item : items) {
                standings[index(item)] = standing_of[index(levels[index(item)])];
            }
        }
        for (const auto level : seen_levels) count[index(level)] = 0;
    }
    return standings;
}

}  // namespace graphgpo
