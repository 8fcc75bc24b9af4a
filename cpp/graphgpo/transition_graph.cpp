#include "graphgpo/transition_graph.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "graphgpo/interner.hpp"
#include "graphgpo/prefetch.hpp"

namespace graphgpo {

namespace {

// Over columns of known types: which of them a key lies in is then not asked at every step.
TransitionGraph merge(const auto& states, const auto& next_states, bool has_next_states,
                      const Rollouts& rollouts) {
    const std::size_t num_steps = rollouts.num_steps();
    TransitionGraph graph;
    graph.source.assign(num_steps, none);
    graph.target.resize(num_steps);
    Interner nodes(num_steps / 2);  // more where states are rarely seen twice

    const auto state_of = [&](std::size_t step) { return key_at(states, rollouts.row[step]); };
    const auto next_state_of = [&](std::size_t step) {
        return has_next_states ? key_at(next_states, rollouts.row[step]) : Key();
    };
    // A step's source is asked for twice, by itself and by the step before it, and hashed once.
    const auto source_of = [&](std::size_t step) {
        StateId& source = graph.source[step];
        if (source == none) source = nodes.intern(state_of(step));
        return source;
    };
    const auto goal = [&] {
        if (graph.goal == none) graph.goal = nodes.add_keyless();
        return graph.goal;
    };

    // Texts lie anywhere, cold and in no order: without this a batch of a few thousand fresh
    // strings takes a quarter more time.
    constexpr std::size_t ahead = 4;
    std::array<Key, Interner::block> coming;
    for (std::size_t step = 0; step < num_steps; ++step) {
        if (step % coming.size() == 0 && nodes.is_beyond_cache()) {
            const std::size_t size = std::min(coming.size(), num_steps - step);
            for (std::size_t i = 0; i < size; ++i) coming[i] = state_of(step + i);
            nodes.expect(std::span(coming).first(size));
        }
        if (step + ahead < num_steps) {
            prefetch(state_of(step + ahead));
            if (has_next_states) prefetch(next_state_of(step + ahead));
        }
        source_of(step);
        StateId& target = graph.target[step];
        const Key next = next_state_of(step);
        if (const StepId following = rollouts.following[step]; following != none) {
            const bool is_linked = !has_next_states || next == state_of(index(following));
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

}  // namespace

TransitionGraph merge_states(const Batch& batch, const Rollouts& rollouts) {
    const bool has_next_states = batch.next_states.has_value();
    return std::visit(
        [&](const auto& states, const auto& next_states) {
            return merge(states, next_states, has_next_states, rollouts);
        },
        batch.states, has_next_states ? *batch.next_states : batch.states);
}

Array<double> step_costs(const Batch& batch, const Rollouts& rollouts) {
    Array<double> costs;
    if (!batch.edge_costs) return costs;
    costs.reserve(rollouts.num_steps());
    for (const RowId row : rollouts.row) costs.push_back((*batch.edge_costs)[index(row)]);
    return costs;
}

}  // namespace graphgpo
