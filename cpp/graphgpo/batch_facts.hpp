// What a plan may want to know of the whole batch before any group is credited.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "graphgpo/normalisers/standing.hpp"

namespace graphgpo {

inline constexpr double unknown_score = std::numeric_limits<double>::quiet_NaN();

struct BatchFacts {
    std::int64_t groups = 0;
    std::int64_t groups_nobody_won = 0;
    // Of every term that is compared within the whole batch, in the order of plans and terms.
    std::vector<Standing> standings;

    [[nodiscard]] double share_nobody_won() const noexcept {
        return groups == 0 ? 0
                           : static_cast<double>(groups_nobody_won) / static_cast<double>(groups);
    }
    [[nodiscard]] double live_share() const noexcept {
        return static_cast<double>(groups - groups_nobody_won + 1) /
               static_cast<double>(groups + 1);
    }
};

}  // namespace graphgpo
