#include "graphgpo/transition_graph.hpp"

#include "graphgpo/interner.hpp"

namespace graphgpo {

namespace {

// What the loop over steps reads is then in order and of one type, whatever the columns are.
Array<Key> keys_by_step(const KeyColumn& column, const Rollouts& rollouts) {
    Array<Key> keys;
    keys.reserve(rollouts.num_steps());
    std::visit(
        [&](const auto& typed) {
            for (const RowId row : rollouts.row) keys.push_back(key_at(typed, row));
        },
        column);
    return keys;
}

}  // namespace

TransitionGraph merge_states(const Batch& batch, const Rollouts& rollouts) {
    const std::size_t num_steps = rollouts.num_steps();
    const Array<Key> states = keys_by_step(batch.states, rollouts);
    Array<Key> next_states;
    if (batch.next_states) next_states = keys_by_step(*batch.next_states, rollouts);

    TransitionGraph graph;
    graph.source.assign(num_steps, none);
    graph.target.resize(num_steps);
    Interner nodes(num_steps);
    // A step's source is asked for twice, by itself and by the step before it, and hashed once.
    const auto source_of = [&](std::size_t step) {
        StateId& source = graph.source[step];
        if (source == none) source = nodes.intern(states[step]);
        return source;
    };
    const auto goal = [&] {
        if (graph.goal == none) graph.goal = nodes.add_keyless();
        return graph.goal;
    };

    for (std::size_t step = 0; step < num_steps; ++step) {
        source_of(step);
        StateId& target = graph.target[step];
        const Key next = batch.next_states ? next_states[step] : Key();
        if (const StepId following = rollouts.following[step]; following != none) {
            const bool is_linked = !batch.next_states || next == states[index(following)];
            if (!is_linked) ++graph.broken_links;
            target = is_linked ? source_of(index(following)) : nodes.intern(next);
        } else if (rollouts.is_winning(id_of(step))) {
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
