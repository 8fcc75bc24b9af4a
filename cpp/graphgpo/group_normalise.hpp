// A value compared with its peers: (x - mean) / (std + epsilon), std with ddof = 1.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "graphgpo/csr.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/options.hpp"

namespace graphgpo {

struct WeightedValue {
    double value;
    std::int64_t count;
};

// Values, equal ones as one: sums over them, sorted, are then the same whatever order they came in
// and whatever their counts were split into.
class FoldedValues {
  public:
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

// How far a value is above its peers. Exactly 0 when there are no two different values: a rounded
// mean that is one ulp off must not become credit.
class Standing {
  public:
    // Sorts the values, so the result depends on what they are and never on their order. Two
    // passes. Throws `std::invalid_argument` when they are so large that their variance is not
    // finite.
    Standing(FoldedValues& values, const Options& options);

    [[nodiscard]] double operator()(double value) const noexcept {
        return is_flat_ ? 0 : (value - mean_) / denominator_;
    }

  private:
    bool is_flat_ = true;
    double mean_ = 0;
    double denominator_ = 1;
};

// `values` compared within every row of `peers`; a value without peers but itself has 0.
[[nodiscard]] Array<double> normalise_among(const Csr& peers, Array<double> values,
                                            const Options& options);

}  // namespace graphgpo
