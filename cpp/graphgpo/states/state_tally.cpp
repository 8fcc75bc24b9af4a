#include "graphgpo/states/state_tally.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "graphgpo/memory.hpp"
#include "graphgpo/pairs.hpp"
#include "graphgpo/stop.hpp"

namespace graphgpo {

namespace {

// Positions are gathered by `or`, their bits in the low half of a word and the others in the high
// one: a bit in both was 1 at one position and 0 at another. Six instructions a step, no branch.
std::int64_t revisited_states(const Rollouts& rollouts, const TransitionGraph& graph,
                              bool are_rows_in_order) {
    constexpr std::uint64_t first = std::uint64_t{0xFFFFFFFF} << 32;
    constexpr std::uint64_t to_next = 1 - (std::uint64_t{1} << 32);
    Array<std::uint64_t> bits(graph.num_nodes, 0);
    for (std::size_t t = 0; t < rollouts.num_trajectories(); ++t) {
        const auto steps = rollouts.steps.row(id_of(t));
        std::uint64_t position = first;
        const auto visit = [&](StateId source) {
            bits[index(source)] |= position;
            position += to_next;
        };
        if (are_rows_in_order && index(steps.back()) - index(steps.front()) + 1 == steps.size()) {
            const auto sources = std::span<const StateId>(graph.source);
            for (const StateId source : sources.subspan(index(steps.front()), steps.size())) {
                visit(source);
            }
        } else {
            for (const StepId step : steps) visit(graph.source[index(step)]);
        }
    }
    std::int32_t revisited = 0;
    for (const std::uint64_t of_node : bits) {
        revisited += static_cast<std::uint32_t>(of_node & of_node >> 32) != 0 ? 1 : 0;
    }
    return revisited;
}

// A state, as the graph has it, and what was done there.
struct Pair {
    StateId target;
    std::int32_t given;
    bool recurs = false;
    bool has_several_targets = false;
    bool has_several_given = false;
};

bool is_end_unknown(const Batch& batch, const Rollouts& rollouts, std::size_t step) {
    if (!rollouts.is_last(id_of(step)) || rollouts.is_winning(id_of(step))) return false;
    return !batch.next_states || key_at(*batch.next_states, rollouts.row[step]).is_null();
}

// Those of states that steps left more than once: no other pair can recur.
Array<Pair> pairs_of_recurring_states(Group& group) {
    const Batch& batch = group.batch();
    const Rollouts& rollouts = group.rollouts();
    const Numbers actions = numbers_of_keys(*batch.actions, rollouts);
    std::optional<Numbers> given;
    if (batch.given_states) given = numbers_of_keys(*batch.given_states, rollouts);
    PairNumbers numbers(actions.size);
    Array<Pair> pairs;
    StopMeter meter;
    const Csr& by_source = group.steps_by_source();
    for (std::size_t source = 0; source < by_source.num_rows(); ++source) {
        const auto steps = by_source.row(id_of(source));
        if (steps.size() < 2) continue;
        meter(steps.size());
        numbers.begin_first();
        for (const StepId step : steps) {
            const std::int32_t action = actions.of[index(step)];
            if (action == none || is_end_unknown(batch, rollouts, index(step))) continue;
            const StateId target = group.graph().target[index(step)];
            const std::int32_t state = given ? given->of[index(step)] : none;
            const std::size_t at = index(numbers.with(action));
            if (at == pairs.size()) {
                pairs.push_back({.target = target, .given = state});
                continue;
            }
            pairs[at].recurs = true;
            pairs[at].has_several_targets |= pairs[at].target != target;
            pairs[at].has_several_given |= pairs[at].given != state;
        }
    }
    return pairs;
}

}  // namespace

void StateTally::append(const StateTally& other) {
    revisited += other.revisited;
    recurring_pairs += other.recurring_pairs;
    ambiguous_pairs += other.ambiguous_pairs;
    merge_conflicts += other.merge_conflicts;
}

StateTally tally_states(Group& group) {
    const bool are_rows_in_order = !group.batch().step_ids.has_value();
    StateTally tally{.revisited =
                         revisited_states(group.rollouts(), group.graph(), are_rows_in_order)};
    if (!group.batch().actions) return tally;
    for (const Pair& pair : pairs_of_recurring_states(group)) {
        tally.recurring_pairs += pair.recurs ? 1 : 0;
        tally.ambiguous_pairs += pair.has_several_targets ? 1 : 0;
        tally.merge_conflicts += pair.has_several_targets && pair.has_several_given ? 1 : 0;
    }
    return tally;
}

}  // namespace graphgpo
