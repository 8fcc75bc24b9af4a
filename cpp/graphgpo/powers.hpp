// Powers of one base, whose exponents are mostly small whole numbers.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "graphgpo/types.hpp"

namespace graphgpo {

// base ** exponent. A group has far fewer distances and turns than steps: whole exponents up to
// `largest_exponent`, or 1024, come from a table, filled by the same `std::pow` the others go
// through. Threads keep the last few tables for their next groups.
class Powers {
  public:
    Powers(double base, double largest_exponent);

    [[nodiscard]] double operator()(double exponent) const {
        if (exponent >= 0 && exponent < table_end_) {
            const auto whole = static_cast<std::int32_t>(exponent);
            if (static_cast<double>(whole) == exponent) return (*table_)[index(whole)];
        }
        return std::pow(base_, exponent);
    }

  private:
    using Table = std::shared_ptr<const std::vector<double>>;

    [[nodiscard]] static Table table_of(double base, std::size_t size);

    double base_;
    Table table_;
    double table_end_;
};

}  // namespace graphgpo
