// Which steps are compared: those with one key. Each rule is a key per step of a group; a step
// without a key has no peers.
#pragma once

#include <cstdint>
#include <tuple>
#include <variant>

#include "graphgpo/block.hpp"
#include "graphgpo/csr.hpp"
#include "graphgpo/memory.hpp"

namespace graphgpo {

class Group;

struct SameState {
    static constexpr std::string_view name = "SameState";
    static constexpr auto parameters() { return std::tuple(); }
    friend bool operator==(const SameState&, const SameState&) = default;
};

struct LastStates {
    std::int64_t count;  // >= 1

    static constexpr std::string_view name = "LastStates";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"count", &LastStates::count});
    }
    friend bool operator==(const LastStates&, const LastStates&) = default;
};

struct Task {
    static constexpr std::string_view name = "Task";
    static constexpr auto parameters() { return std::tuple(); }
    friend bool operator==(const Task&, const Task&) = default;
};

struct Turn {
    static constexpr std::string_view name = "Turn";
    static constexpr auto parameters() { return std::tuple(); }
    friend bool operator==(const Turn&, const Turn&) = default;
};

// Of all groups. Its statistics are computed before any group is credited (`BatchFacts`).
struct WholeBatch {
    static constexpr std::string_view name = "Batch";
    static constexpr auto parameters() { return std::tuple(); }
    friend bool operator==(const WholeBatch&, const WholeBatch&) = default;
};

struct PeerKeys {
    static constexpr std::string_view name = "PeerKeys";
    static constexpr auto parameters() { return std::tuple(); }
    friend bool operator==(const PeerKeys&, const PeerKeys&) = default;
};

struct SameTransition {
    std::int64_t history;  // >= 0

    static constexpr std::string_view name = "SameTransition";
    static constexpr auto parameters() {
        return std::tuple(Parameter{"history", &SameTransition::history});
    }
    friend bool operator==(const SameTransition&, const SameTransition&) = default;
};

using Peers = std::variant<SameState, LastStates, Task, Turn, WholeBatch, PeerKeys, SameTransition>;

// The steps of every key, in step order. Not of `SameState`, which the group has at hand, and not
// of `WholeBatch`, which no group has.
[[nodiscard]] Csr peers_of(const Peers& peers, Group& group);

// Throws `std::invalid_argument` for a parameter out of range.
void check(const Peers& peers);

}  // namespace graphgpo
