#include "graphgpo/normalisers/normaliser.hpp"

#include <cmath>

#include "graphgpo/validate.hpp"

namespace graphgpo {

bool is_relative(const Normaliser& normaliser) noexcept {
    if (const auto* mean = std::get_if<Mean>(&normaliser)) return mean->scale == Scale::relative;
    const auto* mean_std = std::get_if<MeanStd>(&normaliser);
    return mean_std != nullptr && mean_std->scale == Scale::relative;
}

void check(const Normaliser& normaliser) {
    const auto check_ddof = [](std::int64_t ddof) {
        require(ddof == 0 || ddof == 1, "ddof", static_cast<double>(ddof), "0 or 1");
    };
    if (const auto* how = std::get_if<MeanStd>(&normaliser)) {
        check_ddof(how->ddof);
        require(std::isfinite(how->epsilon) && how->epsilon > 0, "epsilon", how->epsilon,
                "a finite number > 0");
        require(std::isfinite(how->off_below) && how->off_below >= 0, "off_below", how->off_below,
                "a finite number >= 0");
    } else if (const auto* floored = std::get_if<FlooredStd>(&normaliser)) {
        check_ddof(floored->ddof);
        require(std::isfinite(floored->floor) && floored->floor > 0, "floor", floored->floor,
                "a finite number > 0");
    }
}

}  // namespace graphgpo
