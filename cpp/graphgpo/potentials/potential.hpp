// A number per node of a group's graph, read where a step starts (u) and where it leads (v).
//
//     ReachValue     success_reward gamma^d(u), 0 where the goal cannot be reached
//     MeanReturn     mean over the steps that leave u of their return
//     BellmanMean    V(u) = mean over the steps that leave u of gamma V(v)
//     Log            log max(V, floor)
//     GivenNodes     the caller's own
//
// A new one is a struct here with its parameters, and a file beside this one.
#pragma once

#include <optional>
#include <span>
#include <tuple>
#include <variant>

#include "graphgpo/block.hpp"
#include "graphgpo/memory.hpp"

namespace graphgpo {

class Group;

struct ReachValue {
    double gamma;
    double success_reward;

    static constexpr std::string_view name = "ReachValue";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"gamma", &ReachValue::gamma},
                          Parameter{"success_reward", &ReachValue::success_reward});
    }
    friend bool operator==(const ReachValue&, const ReachValue&) = default;
};

enum class ReturnOf { rewards, outcome };
enum class ValueAtEnd { zero, outcome, success };
constexpr Words<ReturnOf, 2> words(ReturnOf) {
    return {{{"rewards", ReturnOf::rewards}, {"outcome", ReturnOf::outcome}}};
}
constexpr Words<ValueAtEnd, 3> words(ValueAtEnd) {
    return {{{"zero", ValueAtEnd::zero},
             {"outcome", ValueAtEnd::outcome},
             {"success", ValueAtEnd::success}}};
}

struct MeanReturn {
    double gamma;
    double success_reward;
    ReturnOf of;
    ValueAtEnd end;
    double penalty;

    static constexpr std::string_view name = "MeanReturn";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"gamma", &MeanReturn::gamma},
                          Parameter{"success_reward", &MeanReturn::success_reward},
                          Parameter{"of", &MeanReturn::of}, Parameter{"end", &MeanReturn::end},
                          Parameter{"penalty", &MeanReturn::penalty});
    }
    friend bool operator==(const MeanReturn&, const MeanReturn&) = default;
};

enum class FailedEnd { leaf, state };
constexpr Words<FailedEnd, 2> words(FailedEnd) {
    return {{{"leaf", FailedEnd::leaf}, {"state", FailedEnd::state}}};
}

struct BellmanMean {
    double gamma;
    FailedEnd failed_end;
    std::optional<GivenValues> boundary;  // by row: what stands after a trajectory's last step

    static constexpr std::string_view name = "BellmanMean";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"gamma", &BellmanMean::gamma},
                          Parameter{"failed_end", &BellmanMean::failed_end},
                          Parameter{"boundary", &BellmanMean::boundary});
    }
    friend bool operator==(const BellmanMean&, const BellmanMean&) = default;
};

struct Potential;

struct Log {
    Box<Potential> potential;
    double floor;

    static constexpr std::string_view name = "Log";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"potential", &Log::potential}, Parameter{"floor", &Log::floor});
    }
    friend bool operator==(const Log&, const Log&) = default;
};

// A number per node, given by row for both ends of its step, which is how nodes are known outside.
struct GivenNodes {
    GivenValues source;
    GivenValues target;

    static constexpr std::string_view name = "GivenNodes";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"source", &GivenNodes::source},
                          Parameter{"target", &GivenNodes::target});
    }
    friend bool operator==(const GivenNodes&, const GivenNodes&) = default;
};

struct Potential {
    using Block = std::variant<ReachValue, MeanReturn, BellmanMean, Log, GivenNodes>;
    Block block;

    friend bool operator==(const Potential&, const Potential&) = default;
};

// By step. NaN: unknown.
struct PotentialOfSteps {
    Array<double> before;  // V(u)
    Array<double> after;   // V(v)
};

[[nodiscard]] PotentialOfSteps potential_of(const ReachValue& block, Group& group);
[[nodiscard]] PotentialOfSteps potential_of(const MeanReturn& block, Group& group);
[[nodiscard]] PotentialOfSteps potential_of(const BellmanMean& block, Group& group);
[[nodiscard]] PotentialOfSteps potential_of(const Log& block, Group& group);
[[nodiscard]] PotentialOfSteps potential_of(const GivenNodes& block, Group& group);

// Whether its values come from an iteration, so that equal ones may differ in their last digits.
[[nodiscard]] bool is_iterated(const Potential& potential) noexcept;

// Throws `std::invalid_argument` for a parameter out of range.
void check(const Potential& potential);

}  // namespace graphgpo
