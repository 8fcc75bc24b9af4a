// Means over sets of steps.
#pragma once

#include <span>

#include "graphgpo/csr.hpp"
#include "graphgpo/memory.hpp"

namespace graphgpo {

struct KnownMeans {
    Array<double> mean;   // by set; NaN: no value is known
    Array<double> known;  // by set: how many are
};

// Of the known values of every set, exactly their value where they are equal; the order of its
// items does not matter.
[[nodiscard]] KnownMeans known_means(const Csr& sets, std::span<const double> values);

}  // namespace graphgpo
