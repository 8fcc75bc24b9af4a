// A number per step, to be compared with those of its peers. NaN: unknown.
//
//     EdgeReturn     success_reward omega^e, e from the distance after the step (GraphGPO, Eq. 4)
//     Target         gamma V(v)
//     Difference     [r +] gamma V(v) - V(u)
//     Trace          differences to come along the trajectory, decayed (GAE)
//     ReturnToGo     discounted rewards to come along the trajectory
//     Outcome        the episode's return
//     NewStates      share of a trajectory's steps that lead to states new to it
//     Surprisal      how rarely the steps from the same state go where it goes
//     ActionMean     a score's mean over the steps with one state and action
//     StandingScore  a score as it stands among other peers
//     GivenScores    the caller's own
//
// A new one is a struct here with its parameters, and a file beside this one.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <tuple>
#include <variant>

#include "graphgpo/block.hpp"
#include "graphgpo/normalisers/normaliser.hpp"
#include "graphgpo/peers/peers.hpp"
#include "graphgpo/potentials/potential.hpp"

namespace graphgpo {

enum class Exponent { paper, recipe, progress };
constexpr Words<Exponent, 3> words(Exponent) {
    return {{{"paper", Exponent::paper},
             {"recipe", Exponent::recipe},
             {"progress", Exponent::progress}}};
}

struct EdgeReturn {
    double omega;           // 0 < omega < 1
    double success_reward;  // > 0
    Exponent exponent;

    static constexpr std::string_view name = "EdgeReturn";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"omega", &EdgeReturn::omega},
                          Parameter{"success_reward", &EdgeReturn::success_reward},
                          Parameter{"exponent", &EdgeReturn::exponent});
    }
    friend bool operator==(const EdgeReturn&, const EdgeReturn&) = default;
};

struct Target {
    Potential potential;
    double gamma;

    static constexpr std::string_view name = "Target";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"potential", &Target::potential},
                          Parameter{"gamma", &Target::gamma});
    }
    friend bool operator==(const Target&, const Target&) = default;
};

struct Difference {
    Potential potential;
    double gamma;
    bool rewards;
    double success_reward;

    static constexpr std::string_view name = "Difference";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"potential", &Difference::potential},
                          Parameter{"gamma", &Difference::gamma},
                          Parameter{"rewards", &Difference::rewards},
                          Parameter{"success_reward", &Difference::success_reward});
    }
    friend bool operator==(const Difference&, const Difference&) = default;
};

struct Trace {
    Difference difference;
    double lam;

    static constexpr std::string_view name = "Trace";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"difference", &Trace::difference},
                          Parameter{"lam", &Trace::lam});
    }
    friend bool operator==(const Trace&, const Trace&) = default;
};

struct ReturnToGo {
    double gamma;
    double success_reward;

    static constexpr std::string_view name = "ReturnToGo";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"gamma", &ReturnToGo::gamma},
                          Parameter{"success_reward", &ReturnToGo::success_reward});
    }
    friend bool operator==(const ReturnToGo&, const ReturnToGo&) = default;
};

struct Outcome {
    static constexpr std::string_view name = "Outcome";
    static constexpr auto parameters() { return std::tuple(); }
    friend bool operator==(const Outcome&, const Outcome&) = default;
};

struct NewStates {
    static constexpr std::string_view name = "NewStates";
    static constexpr auto parameters() { return std::tuple(); }
    friend bool operator==(const NewStates&, const NewStates&) = default;
};

// -ln of the share of the step's target among the steps from its state, lone targets as one; with
// `actions` less what is left of it among those with its action
struct Surprisal {
    bool actions;

    static constexpr std::string_view name = "Surprisal";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"actions", &Surprisal::actions});
    }
    friend bool operator==(const Surprisal&, const Surprisal&) = default;
};

struct Score;

enum class UnknownAction { refuse, target };
constexpr Words<UnknownAction, 2> words(UnknownAction) {
    return {{{"refuse", UnknownAction::refuse}, {"target", UnknownAction::target}}};
}

struct ActionMean {
    Box<Score> score;
    double kappa;  // >= 0
    UnknownAction unknown;

    static constexpr std::string_view name = "ActionMean";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"score", &ActionMean::score},
                          Parameter{"kappa", &ActionMean::kappa},
                          Parameter{"unknown", &ActionMean::unknown});
    }
    friend bool operator==(const ActionMean&, const ActionMean&) = default;
};

// What counts once in the statistics of a comparison.
enum class Unit { steps, trajectories };
constexpr Words<Unit, 2> words(Unit) {
    return {{{"steps", Unit::steps}, {"trajectories", Unit::trajectories}}};
}

struct StandingScore {
    Box<Score> score;
    Peers peers;
    Normaliser normaliser;
    Unit unit;

    static constexpr std::string_view name = "Standing";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"score", &StandingScore::score},
                          Parameter{"peers", &StandingScore::peers},
                          Parameter{"normaliser", &StandingScore::normaliser},
                          Parameter{"unit", &StandingScore::unit});
    }
    friend bool operator==(const StandingScore&, const StandingScore&) = default;
};

struct GivenScores {
    GivenValues values;  // by row

    static constexpr std::string_view name = "Given";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"values", &GivenScores::values});
    }
    friend bool operator==(const GivenScores&, const GivenScores&) = default;
};

struct Score {
    using Block = std::variant<EdgeReturn, Target, Difference, Trace, ReturnToGo, Outcome,
                               NewStates, Surprisal, ActionMean, StandingScore, GivenScores>;
    Block block;

    friend bool operator==(const Score&, const Score&) = default;
};

// By step, to `scores`.
void write_scores(const EdgeReturn& block, Group& group, std::span<double> scores);
void write_scores(const Target& block, Group& group, std::span<double> scores);
void write_scores(const Difference& block, Group& group, std::span<double> scores);
void write_scores(const Trace& block, Group& group, std::span<double> scores);
void write_scores(const ReturnToGo& block, Group& group, std::span<double> scores);
void write_scores(const Outcome& block, Group& group, std::span<double> scores);
void write_scores(const NewStates& block, Group& group, std::span<double> scores);
void write_scores(const Surprisal& block, Group& group, std::span<double> scores);
void write_scores(const ActionMean& block, Group& group, std::span<double> scores);
void write_scores(const StandingScore& block, Group& group, std::span<double> scores);
void write_scores(const GivenScores& block, Group& group, std::span<double> scores);
void write_scores(const Score& score, Group& group, std::span<double> scores);

// Whether every step of a trajectory has the same.
[[nodiscard]] bool is_constant_on_trajectories(const Score& score) noexcept;

// Whether its values come from an iteration, so that equal ones may differ in their last digits.
[[nodiscard]] bool is_iterated(const Score& score) noexcept;

// Throws `std::invalid_argument` for a parameter out of range.
void check(const Score& score);

// Throws `std::invalid_argument` where the three make no sense together: edge returns at relative
// scale follow from the distances of steps from one state.
void check_together(const Score& score, const Peers& peers, const Normaliser& normaliser);

}  // namespace graphgpo
