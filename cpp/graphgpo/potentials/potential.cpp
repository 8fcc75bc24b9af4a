// What is asked of any potential.
#include "graphgpo/potentials/potential.hpp"

#include <cmath>
#include <variant>

#include "graphgpo/validate.hpp"

namespace graphgpo {

bool is_iterated(const Potential& potential) noexcept {
    if (const auto* log = std::get_if<Log>(&potential.block)) return is_iterated(*log->potential);
    return std::holds_alternative<BellmanMean>(potential.block);
}

void check(const Potential& potential) {
    const auto require_positive = [](std::string_view option, double value) {
        require(std::isfinite(value) && value > 0, option, value, "a finite number > 0");
    };
    if (const auto* reach = std::get_if<ReachValue>(&potential.block)) {
        require(0 < reach->gamma && reach->gamma < 1, "gamma", reach->gamma, "0 < gamma < 1");
        require_positive("success_reward", reach->success_reward);
    } else if (const auto* mean = std::get_if<MeanReturn>(&potential.block)) {
        require(0 <= mean->gamma && mean->gamma <= 1, "gamma", mean->gamma, "a number in [0, 1]");
        require_positive("success_reward", mean->success_reward);
        require(std::isfinite(mean->penalty) && mean->penalty >= 0, "penalty", mean->penalty,
                "a finite number >= 0");
    } else if (const auto* bellman = std::get_if<BellmanMean>(&potential.block)) {
        require(0 < bellman->gamma && bellman->gamma < 1, "gamma", bellman->gamma, "0 < gamma < 1");
        if (!bellman->boundary) return;
        for (const double value : bellman->boundary->values) {
            if (std::isnan(value)) continue;  // of a masked row, maybe
            require(0 <= value && value <= 1, "boundary", value, "values in [0, 1]");
        }
    } else if (const auto* log = std::get_if<Log>(&potential.block)) {
        require_positive("floor", log->floor);
        check(*log->potential);
    }
}

}  // namespace graphgpo
