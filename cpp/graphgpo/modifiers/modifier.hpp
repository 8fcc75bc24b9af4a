// A factor for the standing of a step: how much its task, or what was seen at its state, says.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <tuple>
#include <variant>

#include "graphgpo/block.hpp"
#include "graphgpo/scores/score.hpp"

namespace graphgpo {

// beta (1 - p)^alpha, p the share of trajectories with an outcome above 0
struct FailureRate {
    double alpha;
    double beta;

    static constexpr std::string_view name = "FailureRate";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"alpha", &FailureRate::alpha},
                          Parameter{"beta", &FailureRate::beta});
    }
    friend bool operator==(const FailureRate&, const FailureRate&) = default;
};

// 1 + b (s((1-p)^alpha) - 1/2) for a success, 1 + b (s(-p^alpha) - 1/2) for a failure, s the
// logistic function, b = span / (s(1) - 1/2), p the share of successes (ProxMO)
struct Polarised {
    double alpha;
    double span;

    static constexpr std::string_view name = "Polarised";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"alpha", &Polarised::alpha},
                          Parameter{"span", &Polarised::span});
    }
    friend bool operator==(const Polarised&, const Polarised&) = default;
};

enum class SeenWhat { actions, targets };
constexpr Words<SeenWhat, 2> words(SeenWhat) {
    return {{{"actions", SeenWhat::actions}, {"targets", SeenWhat::targets}}};
}

// 1 where at least so many distinct ones were seen from the state, else 0
struct Seen {
    SeenWhat what;
    std::int64_t at_least;

    static constexpr std::string_view name = "Seen";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"what", &Seen::what}, Parameter{"at_least", &Seen::at_least});
    }
    friend bool operator==(const Seen&, const Seen&) = default;
};

// tanh(n / tau) B / (B + W + epsilon), B and W the score's variance between and within the actions
// seen from the state (ECPO)
struct ActionEvidence {
    Box<Score> score;
    double tau;
    double epsilon;

    static constexpr std::string_view name = "ActionEvidence";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"score", &ActionEvidence::score},
                          Parameter{"tau", &ActionEvidence::tau},
                          Parameter{"epsilon", &ActionEvidence::epsilon});
    }
    friend bool operator==(const ActionEvidence&, const ActionEvidence&) = default;
};

// 1 in groups without a success, else 0; times the share of such groups in the batch if so
struct NobodyWon {
    bool times_share;

    static constexpr std::string_view name = "NobodyWon";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"times_share", &NobodyWon::times_share});
    }
    friend bool operator==(const NobodyWon&, const NobodyWon&) = default;
};

// (L + 1) / (G + 1), L groups with a success of the G in the batch
struct Live {
    static constexpr std::string_view name = "Live";
    static constexpr auto parameters() { return std::tuple(); }
    friend bool operator==(const Live&, const Live&) = default;
};

using Modifier = std::variant<FailureRate, Polarised, Seen, ActionEvidence, NobodyWon, Live>;

// Multiplies `standings`, by step.
void modify(const Modifier& modifier, Group& group, std::span<double> standings);

// Throws `std::invalid_argument` for a parameter out of range.
void check(const Modifier& modifier);

}  // namespace graphgpo
