// Every rule a key per step.
#include "graphgpo/peers/peers.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "graphgpo/errors.hpp"
#include "graphgpo/group.hpp"
#include "graphgpo/interner.hpp"
#include "graphgpo/stop.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo {

namespace {

// Dense numbers of pairs.
class Pairs {
  public:
    std::int32_t number(std::int32_t a, std::int32_t b) {
        meter_();
        const auto high = static_cast<std::int64_t>(a) << 32;
        return known_.intern(Key::integer(high | static_cast<std::uint32_t>(b)));
    }
    [[nodiscard]] std::size_t size() const noexcept { return known_.size(); }

  private:
    Interner known_{0};
    StopMeter meter_;
};

Csr keyed(const SameState&, Group& group) { return group.steps_by_source(); }

// The key of the last k states: that of the last k - 1 at the step before, and the state.
Csr keyed(const LastStates& rule, Group& group) {
    const Rollouts& rollouts = group.rollouts();
    const Array<StateId>& source = group.graph().source;
    Array<std::int32_t> keys(source.begin(), source.end());
    std::size_t num_keys = group.graph().num_nodes;
    StopMeter meter;
    for (std::int64_t k = 2; k <= rule.count; ++k) {
        meter(keys.size());
        Pairs pairs;
        Array<std::int32_t> longer(keys.size(), none);
        for (std::size_t step = 0; step < keys.size(); ++step) {
            const StepId following = rollouts.following[step];
            if (following == none || keys[step] == none) continue;
            longer[index(following)] = pairs.number(keys[step], source[index(following)]);
        }
        keys = std::move(longer);
        num_keys = pairs.size();
        if (num_keys == 0) break;  // no trajectory is that long
    }
    return group_by_row(keys, num_keys);
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
    Array<std::int32_t> keys(group.num_steps());
    Interner known(0);
    const auto number = [&](const auto& column) {
        for_each_stoppable(keys.size(), [&](std::size_t step) {
            const RowId row = group.rollouts().row[step];
            const Key key = key_at(column, row);
            if (key.is_null()) {
                throw RowError(row, cell("peer_keys", row) + " is null; expected a value");
            }
            keys[step] = known.intern(key);
        });
    };
    std::visit(number, *group.batch().peer_keys);
    return group_by_row(keys, known.size());
}

// The key of a chain of (action, target): that of the chain before it, and the pair. `none`: there
// is no step before, which equals only itself.
Csr keyed(const SameTransition& rule, Group& group) {
    const Rollouts& rollouts = group.rollouts();
    const TransitionGraph& graph = group.graph();
    const Array<std::int32_t>& actions = group.actions();
    Pairs of_moves;
    Array<std::int32_t> move(group.num_steps());
    for (std::size_t step = 0; step < move.size(); ++step) {
        move[step] = of_moves.number(actions[step], graph.target[step]);
    }
    std::int64_t longest = 0;
    for (std::size_t t = 0; t < rollouts.num_trajectories(); ++t) {
        longest = std::max(longest, std::ssize(rollouts.steps.row(id_of(t))));
    }
    Array<std::int32_t> before(move.size(), none);  // by step: the chain up to the step before it
    StopMeter meter;
    for (std::int64_t h = 0; h < std::min(rule.history, longest); ++h) {
        meter(move.size());
        Pairs of_chains;
        Array<std::int32_t> longer(move.size(), none);
        for (std::size_t step = 0; step < move.size(); ++step) {
            const StepId following = rollouts.following[step];
            if (following != none) {
                longer[index(following)] = of_chains.number(before[step], move[step]);
            }
        }
        before = std::move(longer);
    }
    Pairs of_starts;
    Pairs of_all;
    Array<std::int32_t> keys(move.size());
    for (std::size_t step = 0; step < keys.size(); ++step) {
        keys[step] = of_all.number(of_starts.number(before[step], graph.source[step]), move[step]);
    }
    return group_by_row(keys, of_all.size());
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
