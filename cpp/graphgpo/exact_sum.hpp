// Sums that are rounded once, so that the order of what is summed does not matter.
#pragma once

#include <cmath>
#include <cstddef>

#include "graphgpo/memory.hpp"

namespace graphgpo {

// Shewchuk's algorithm (1997), as in Python's math.fsum: partial sums that do not overlap, of which
// there are a handful. Infinite where the sum, or a partial one, outgrows a double.
class ExactSum {
  public:
    void clear() noexcept { partials_.clear(); }

    void add(double x) {
        std::size_t kept = 0;
        for (double y : partials_) {
            if (std::abs(x) < std::abs(y)) std::swap(x, y);
            const double high = x + y;
            const double low = y - (high - x);
            if (low != 0) partials_[kept++] = low;
            x = high;
        }
        partials_.resize(kept);
        partials_.push_back(x);
    }

    [[nodiscard]] double total() const noexcept {
        if (partials_.empty()) return 0;
        std::size_t n = partials_.size() - 1;
        double high = partials_[n];
        double low = 0;
        while (n > 0) {
            const double x = high;
            const double y = partials_[--n];
            high = x + y;
            low = y - (high - x);
            if (low != 0) break;
        }
        // Half-way cases round to even by what lies below them.
        if (n > 0 && ((low < 0 && partials_[n - 1] < 0) || (low > 0 && partials_[n - 1] > 0))) {
            const double twice = low * 2;
            const double rounded = high + twice;
            if (twice == rounded - high) high = rounded;
        }
        return high;
    }

  private:
    Array<double> partials_;  // ascending in magnitude
};

}  // namespace graphgpo
