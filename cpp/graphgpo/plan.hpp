// An estimator as data: what the core is told to compute. It knows no estimator by name, and no
// default.
//
//     advantage = step_weight * sum of terms that differ along a trajectory
//               + episode_weight * sum of those that are one number per trajectory
//     term      = weight * modifiers * weighted mean over comparisons
//     comparison: a score, the peers it is compared with, and how
#pragma once

#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

#include "graphgpo/columns.hpp"
#include "graphgpo/modifiers/modifier.hpp"
#include "graphgpo/normalisers/normaliser.hpp"
#include "graphgpo/peers/peers.hpp"
#include "graphgpo/scores/score.hpp"

namespace graphgpo {

struct Comparison {
    Score score;
    Peers peers;
    Normaliser normaliser;
    Unit unit;
    double penalty;  // taken from the score of invalid actions, >= 0
    double weight;   // among the comparisons of its term

    static constexpr auto parameters() {
        return std::tuple(
            Parameter{"score", &Comparison::score}, Parameter{"peers", &Comparison::peers},
            Parameter{"normaliser", &Comparison::normaliser}, Parameter{"unit", &Comparison::unit},
            Parameter{"penalty", &Comparison::penalty}, Parameter{"weight", &Comparison::weight});
    }
};

struct Term {
    // Several: the weighted mean of those that say something about a step; none does: 0.
    std::vector<Comparison> comparisons;
    std::optional<Peers> average;  // replaced by the mean over the steps with this key
    std::vector<Modifier> modifiers;
    double weight;

    static constexpr auto parameters() {
        return std::tuple(
            Parameter{"comparisons", &Term::comparisons}, Parameter{"average", &Term::average},
            Parameter{"modifiers", &Term::modifiers}, Parameter{"weight", &Term::weight});
    }
};

struct Plan {
    std::vector<Term> terms;
    double step_weight;
    double episode_weight;

    static constexpr auto parameters() {
        return std::tuple(Parameter{"terms", &Plan::terms},
                          Parameter{"step_weight", &Plan::step_weight},
                          Parameter{"episode_weight", &Plan::episode_weight});
    }
};

// Whether a term is one number per trajectory, so that it is part of the episode advantage.
[[nodiscard]] bool is_episodic(const Term& term) noexcept;

// The surprisal a term of the plan credits, the first one's; null: none does.
[[nodiscard]] const Surprisal* surprisal_in(const Plan& plan) noexcept;

// Whether a term is compared within the whole batch, all groups at once.
[[nodiscard]] bool is_batch_wide(const Term& term) noexcept;

// Throws `std::invalid_argument` for a parameter out of range, for values given with another number
// of rows than the batch has, and for a column that a block needs and the batch lacks.
void check_plan(const Plan& plan, const Batch& batch);

}  // namespace graphgpo
