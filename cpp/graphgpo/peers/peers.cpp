// Every rule a key per step.
#include "graphgpo/peers/peers.hpp"

#include <algorithm>
#include <stdexcept>
#include <variant>

#include "graphgpo/group.hpp"
#include "graphgpo/pairs.hpp"
#include "graphgpo/stop.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo {

namespace {

Csr keyed(const SameState&, Group& group) { return group.steps_by_source(); }

// The last k states of the following step are the last k - 1 of this one, and where it leads.
Csr longer_by_one(const Csr& shorter, const Rollouts& rollouts, const TransitionGraph& graph) {
    stop_if_asked();  // as many levels as the rule counts, each maybe short
    PairNumbers pairs(graph.num_nodes);
    Array<std::int32_t> keys(graph.source.size(), none);
    StopMeter meter;
    for (std::size_t row = 0; row < shorter.num_rows(); ++row) {
        const auto steps = shorter.row(id_of(row));
        meter(steps.size());
        pairs.begin_first();
        for (const StepId step : steps) {
            const StepId following = rollouts.following[index(step)];
            if (following == none) continue;
            keys[index(following)] = pairs.with(graph.source[index(following)]);
        }
    }
    return group_by_row(keys, pairs.size());
}

Csr keyed(const LastStates& rule, Group& group) {
    const Csr* shorter = &group.steps_by_source();
    // Known ones first, so that none calls itself deeper than one.
    for (std::int64_t k = 2; k < rule.count; ++k) {
        if (shorter->items.empty()) break;  // no trajectory is so long
        shorter = &group.peers(LastStates{k});
    }
    if (shorter->items.empty()) return *shorter;
    if (rule.count == 1) return *shorter;
    return longer_by_one(*shorter, group.rollouts(), group.graph());
}

Csr keyed(const Task&, Group& group) {
    return group_by_row(Array<std::int32_t>(group.num_steps(), 0), 1);
}

Csr keyed(const Turn&, Group& group) {
    Array<std::int32_t> turns(group.num_steps());
    std::size_t longest = 0;
    const Csr& trajectories = group.rollouts().steps;
    for (std::size_t t = 0; t < trajectories.num_rows(); ++t) {
        const auto steps = trajectories.row(id_of(t));
        longest = std::max(longest, steps.size());
        for (std::size_t turn = 0; turn < steps.size(); ++turn) {
            turns[index(steps[turn])] = id_of(turn);
        }
    }
    return group_by_row(turns, longest);
}

Csr keyed(const WholeBatch&, Group&) {
    throw std::logic_error("the peers of the whole batch are no group's");
}

Csr keyed(const PeerKeys&, Group& group) {
    const Numbers keys = numbers_of_keys(*group.batch().peer_keys, group.rollouts(), "peer_keys");
    return group_by_row(keys.of, keys.size);
}

// The key of a chain of (action, target): that of the chain before it, and the pair. 0: there is no
// step before, which equals only itself.
Csr keyed(const SameTransition& rule, Group& group) {
    const Rollouts& rollouts = group.rollouts();
    const TransitionGraph& graph = group.graph();
    const Numbers moves = pairs_of({graph.target, graph.num_nodes}, group.actions());
    Array<std::int32_t> before(group.num_steps(), 0);  // by step: the chain up to the step before
    std::size_t num_before = 1;
    std::int64_t longest = 0;  // no chain goes further back
    for (std::size_t t = 0; t < rollouts.num_trajectories(); ++t) {
        longest = std::max(longest, std::ssize(rollouts.steps.row(id_of(t))));
    }
    StopMeter meter;
    for (std::int64_t h = 0; h < std::min(rule.history, longest); ++h) {
        meter(before.size());
        const Numbers chains = pairs_of({before, num_before}, moves);
        before.assign(before.size(), 0);
        num_before = chains.size + 1;
        for (std::size_t step = 0; step < before.size(); ++step) {
            const StepId following = rollouts.following[step];
            if (following != none) before[index(following)] = chains.of[step] + 1;
        }
    }
    const Numbers starts = pairs_of(group.steps_by_source(), {before, num_before});
    const Numbers keys = pairs_of(starts, moves);
    return group_by_row(keys.of, keys.size);
}

}  // namespace

Csr peers_of(const Peers& peers, Group& group) {
    return std::visit([&](const auto& rule) { return keyed(rule, group); }, peers);
}

void check(const Peers& peers) {
    if (const auto* states = std::get_if<LastStates>(&peers)) {
        require(states->count >= 1, "count", static_cast<double>(states->count), "an int >= 1");
    }
    if (const auto* transition = std::get_if<SameTransition>(&peers)) {
        require(transition->history >= 0, "history", static_cast<double>(transition->history),
                "an int >= 0");
    }
}

}  // namespace graphgpo
