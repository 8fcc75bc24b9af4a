// A value compared with its peers: (x - mean) / (std + epsilon), std with ddof = 1.
#pragma once

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

// How far a value is above its peers. Exactly 0 when there are no two different values: a rounded
// mean that is one ulp off must not become credit.
class Standing {
  public:
    // Sorts `values` and folds equal ones, so the result depends on what the values are and never
    // on their order. Two passes. Throws `std::invalid_argument` when the values are so large that
    // their variance is not finite.
    Standing(std::span<WeightedValue> values, const Options& options);

    [[nodiscard]] double operator()(double value) const noexcept {
        return is_flat_ ? 0 : (value - mean_) / denominator_;
    }

  private:
    bool is_flat_ = true;
    double mean_ = 0;
    double denominator_ = 1;
};

// `values` compared within every row of `peers`; a value without peers but itself has 0.
[[nodiscard]] Array<double> normalise_among(const Csr& peers, std::span<const double> values,
                                            const Options& options);

}  // namespace graphgpo
