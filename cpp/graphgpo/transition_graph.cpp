#include "graphgpo/transition_graph.hpp"

#include "graphgpo/interner.hpp"
#include "graphgpo/prefetch.hpp"

namespace graphgpo {

TransitionGraph merge_states(const Batch& batch, const Rollouts& rollouts) {
    const std::size_t num_steps = rollouts.num_steps();
    TransitionGraph graph;
    graph.source.assign(num_steps, none);
    graph.target.resize(num_steps);
    Interner nodes(num_steps);

    const auto state_of = [&](StepId step) {
        return key_at(batch.states, rollouts.row[index(step)]);
    };
    // A step's source is asked for twice, by itself and by the step before it, and hashed once.
    const auto source_of = [&](StepId step) {
        StateId& source = graph.source[index(step)];
        if (source == none) source = nodes.intern(state_of(step));
        return source;
    };
    const auto goal = [&] {
        if (graph.goal == none) graph.goal = nodes.add_keyless();
        return graph.goal;
    };

    // Texts lie anywhere, and the processor does not see them coming.
    constexpr StepId ahead = 4;
    const auto fetch = [&](const KeyColumn& column, StepId step) {
        if (step < id_of(num_steps)) prefetch(column, rollouts.row[index(step)]);
    };

    for (StepId step = 0; step < id_of(num_steps); ++step) {
        fetch(batch.states, step + ahead);
        if (batch.next_states) fetch(*batch.next_states, step + ahead);
        source_of(step);
        StateId& target = graph.target[index(step)];
        const StepId following = rollouts.following[index(step)];
        const Key next =
            batch.next_states ? key_at(*batch.next_states, rollouts.row[index(step)]) : Key();
        if (following != none) {
            const bool is_linked = !batch.next_states || next == state_of(following);
            if (!is_linked) ++graph.broken_links;
            target = is_linked ? source_of(following) : nodes.intern(next);
        } else if (rollouts.is_winning(step)) {
            target = goal();
        } else {
            target = next.is_null() ? nodes.add_keyless() : nodes.intern(next);
        }
    }
    graph.num_nodes = nodes.size();
    return graph;
}

Array<double> step_costs(const Batch& batch, const Rollouts& rollouts) {
    Array<double> costs;
    if (!batch.edge_costs) return costs;
    costs.reserve(rollouts.num_steps());
    for (const RowId row : rollouts.row) costs.push_back((*batch.edge_costs)[index(row)]);
    return costs;
}

}  // namespace graphgpo
