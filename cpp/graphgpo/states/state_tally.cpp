#include "graphgpo/states/state_tally.hpp"

#include <variant>
#include <vector>

#include "graphgpo/interner.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/stop.hpp"

namespace graphgpo {

namespace {

// One pass and a number for each node. Whether a state was seen elsewhere is as good as random, so
// there is no branch.
std::int64_t revisited_states(const Rollouts& rollouts, const TransitionGraph& graph) {
    constexpr std::int32_t many = none - 1;
    Array<std::int32_t> position(graph.num_nodes, none);
    std::int64_t revisited = 0;
    for (std::size_t t = 0; t < rollouts.num_trajectories(); ++t) {
        std::int32_t here = 0;
        for (const StepId step : rollouts.steps.row(id_of(t))) {
            std::int32_t& seen = position[index(graph.source[index(step)])];
            const bool is_elsewhere = seen != here && seen >= 0;
            revisited += is_elsewhere ? 1 : 0;
            seen = is_elsewhere || seen == many ? many : here;
            ++here;
        }
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

// Numbers equal keys alike; null is `none`.
class Numbers {
  public:
    explicit Numbers(const KeyColumn& column) : column_(&column) {}
    [[nodiscard]] std::int32_t operator()(RowId row) {
        const Key key = key_at(*column_, row);
        return key.is_null() ? none : known_.intern(key);
    }

  private:
    const KeyColumn* column_;
    Interner known_{0};
};

bool is_end_unknown(const Batch& batch, const Rollouts& rollouts, std::size_t step) {
    if (!rollouts.is_last(id_of(step)) || rollouts.is_winning(id_of(step))) return false;
    return !batch.next_states || key_at(*batch.next_states, rollouts.row[step]).is_null();
}

std::vector<Pair> pairs_of(Group& group) {
    const Batch& batch = group.batch();
    const Rollouts& rollouts = group.rollouts();
    const TransitionGraph& graph = group.graph();
    Numbers actions(*batch.actions);
    Numbers given(batch.given_states ? *batch.given_states : batch.states);
    Interner known(group.num_steps() / 2);
    std::vector<Pair> pairs;
    StopMeter meter;
    for (std::size_t step = 0; step < group.num_steps(); ++step) {
        meter();
        const RowId row = rollouts.row[step];
        const std::int64_t action = actions(row);
        if (action == none || is_end_unknown(batch, rollouts, step)) continue;
        const std::int64_t source = graph.source[step];
        const StateId target = graph.target[step];
        const std::int32_t state = batch.given_states ? given(row) : none;
        const std::size_t at = index(known.intern(Key::integer(source << 32 | action)));
        if (at == pairs.size()) {
            pairs.push_back({.target = target, .given = state});
            continue;
        }
        pairs[at].recurs = true;
        pairs[at].has_several_targets |= pairs[at].target != target;
        pairs[at].has_several_given |= pairs[at].given != state;
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
    StateTally tally{.revisited = revisited_states(group.rollouts(), group.graph())};
    if (!group.batch().actions) return tally;
    for (const Pair& pair : pairs_of(group)) {
        tally.recurring_pairs += pair.recurs ? 1 : 0;
        tally.ambiguous_pairs += pair.has_several_targets ? 1 : 0;
        tally.merge_conflicts += pair.has_several_targets && pair.has_several_given ? 1 : 0;
    }
    return tally;
}

}  // namespace graphgpo
