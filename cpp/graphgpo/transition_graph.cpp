#include "graphgpo/transition_graph.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <variant>

#include "graphgpo/interner.hpp"
#include "graphgpo/prefetch.hpp"
#include "graphgpo/stop.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo {

namespace {

// Nodes by key, over columns of known types: which of them a key lies in is then not asked at every
// step. Texts lie anywhere, cold and in no order, and are asked for ahead: without this a batch of
// a few thousand fresh strings takes a quarter more time.
template <typename States, typename NextStates>
class NodesByKey {
  public:
    NodesByKey(const States& states, const NextStates* next_states, const Rollouts& rollouts)
        : states_(&states),
          next_states_(next_states),
          row_(rollouts.row),
          nodes_(rollouts.num_steps() / 2) {}  // more where states are rarely seen twice

    [[nodiscard]] Key state(std::size_t step) const { return key_at(*states_, row_[step]); }
    [[nodiscard]] Key next_state(std::size_t step) const {
        return next_states_ != nullptr ? key_at(*next_states_, row_[step]) : Key();
    }
    [[nodiscard]] static bool is_null(const Key& key) noexcept { return key.is_null(); }

    void expect(std::size_t step) {
        constexpr std::size_t ahead = 4;
        if (step % Interner::block == 0 && nodes_.is_beyond_cache()) {
            const std::size_t size = std::min(coming_.size(), row_.size() - step);
            for (std::size_t i = 0; i < size; ++i) coming_[i] = state(step + i);
            nodes_.expect(std::span(coming_).first(size));
        }
        if (step + ahead >= row_.size()) return;
        prefetch(state(step + ahead));
        if (next_states_ != nullptr) prefetch(next_state(step + ahead));
    }
    [[nodiscard]] StateId node(const Key& key) { return nodes_.intern(key); }
    [[nodiscard]] StateId add_keyless() { return nodes_.add_keyless(); }
    [[nodiscard]] std::size_t size() const noexcept { return nodes_.size(); }

  private:
    const States* states_;
    const NextStates* next_states_;
    std::span<const RowId> row_;
    Interner nodes_;
    std::array<Key, Interner::block> coming_;
};

// Nodes by number, which is their place in a table: nothing is hashed or compared.
class NodesByNumber {
  public:
    NodesByNumber(const NumberedKeys& states, const NumberedKeys* next_states,
                  const Rollouts& rollouts)
        : states_(states.numbers), row_(rollouts.row) {
        if (next_states != nullptr) next_states_ = next_states->numbers;
        const std::size_t columns = next_states != nullptr ? 2 : 1;
        node_of_.assign(columns * row_.size(), none);
    }

    [[nodiscard]] std::int32_t state(std::size_t step) const { return states_[index(row_[step])]; }
    [[nodiscard]] std::int32_t next_state(std::size_t step) const {
        return next_states_.empty() ? none : next_states_[index(row_[step])];
    }
    [[nodiscard]] static bool is_null(std::int32_t number) noexcept { return number == none; }

    void expect(std::size_t /*step*/) const noexcept {}
    [[nodiscard]] StateId node(std::int32_t number) {
        // In arithmetic: whether a state is new is as good as random, and a compiler makes a branch
        // of everything else.
        StateId& node = node_of_[index(number)];
        const StateId is_new = node >> 31;  // all bits, or none
        static_assert(none >> 31 == ~0);
        node = (id_of(num_nodes_) & is_new) | (node & ~is_new);
        num_nodes_ += static_cast<std::size_t>(-is_new);
        return node;
    }
    [[nodiscard]] StateId add_keyless() { return id_of(num_nodes_++); }
    [[nodiscard]] std::size_t size() const noexcept { return num_nodes_; }

  private:
    std::span<const std::int32_t> states_;
    std::span<const std::int32_t> next_states_;
    std::span<const RowId> row_;
    Array<StateId> node_of_;  // by number
    std::size_t num_nodes_ = 0;
};

// Nodes by integer, found without a branch on whether a state is new, which is as good as random: a
// key is written before it is known to be new, and an empty slot then stands for a node of that
// key.
class NodesByInteger {
  public:
    using Integers = std::span<const std::int64_t>;

    NodesByInteger(Integers states, const Integers* next_states, const Rollouts& rollouts)
        : states_(states),
          row_(rollouts.row),
          keys_(std::bit_ceil(std::max(rollouts.num_steps(), smallest))),
          slots_(2 * keys_.size(), none),
          mask_(slots_.size() - 1),
          is_beyond_cache_(slots_.size() * sizeof(StateId) >= std::size_t{1} << 19) {
        if (next_states != nullptr) next_states_ = *next_states;
    }

    [[nodiscard]] std::int64_t state(std::size_t step) const { return states_[index(row_[step])]; }
    [[nodiscard]] std::int64_t next_state(std::size_t step) const {
        return next_states_.empty() ? 0 : next_states_[index(row_[step])];
    }
    [[nodiscard]] bool is_null(std::int64_t /*key*/) const noexcept { return next_states_.empty(); }

    // In a table beyond the cache: its slot first, then the key of the node in it.
    void expect(std::size_t step) const {
        constexpr std::size_t ahead = 16;
        if (!is_beyond_cache_ || step + 2 * ahead >= row_.size()) return;
        prefetch(&slots_[home(state(step + 2 * ahead))]);
        const StateId known = slots_[home(state(step + ahead))];
        prefetch(&keys_[known == none ? num_nodes_ : index(known)]);
    }
    [[nodiscard]] StateId node(std::int64_t key) {
        keys_[num_nodes_] = key;
        std::size_t at = home(key);
        while (keys_[index(node_at(at))] != key) at = (at + 1) & mask_;
        const StateId node = node_at(at);
        slots_[at] = node;
        num_nodes_ += static_cast<std::size_t>(index(node) == num_nodes_);
        if (2 * num_nodes_ > mask_) grow();
        return node;
    }
    [[nodiscard]] StateId add_keyless() {
        const StateId node = id_of(num_nodes_++);
        if (2 * num_nodes_ > mask_) grow();
        return node;
    }
    [[nodiscard]] std::size_t size() const noexcept { return num_nodes_; }

  private:
    static constexpr std::size_t smallest = 8;

    [[nodiscard]] std::size_t home(std::int64_t key) const {
        const auto& [k0, k1, k2, k3, k4] = secret_.words;
        return fold(static_cast<std::uint64_t>(key) ^ k0, k1) & mask_;
    }
    // What a slot holds, or would hold next. In arithmetic, as above.
    [[nodiscard]] StateId node_at(std::size_t at) const {
        const StateId is_empty = slots_[at] >> 31;  // all bits, or none
        return (id_of(num_nodes_) & is_empty) | (slots_[at] & ~is_empty);
    }
    void grow() {
        keys_.resize(2 * keys_.size());
        Array<StateId> old(2 * keys_.size(), none);
        old.swap(slots_);
        mask_ = slots_.size() - 1;
        for (const StateId node : old) {
            if (node == none) continue;
            std::size_t at = home(keys_[index(node)]);
            while (slots_[at] != none) at = (at + 1) & mask_;
            slots_[at] = node;
        }
    }

    HashSecret secret_ = process_secret();
    Integers states_;
    Integers next_states_;
    std::span<const RowId> row_;
    Array<std::int64_t> keys_;  // by node; one more is written than there are
    Array<StateId> slots_;      // twice as many as keys, a power of two
    std::size_t mask_;
    bool is_beyond_cache_;
    std::size_t num_nodes_ = 0;
};

TransitionGraph merge(auto&& nodes, bool has_next_states, const Rollouts& rollouts) {
    const std::size_t num_steps = rollouts.num_steps();
    TransitionGraph graph;
    graph.source.assign(num_steps, none);
    graph.target.resize(num_steps);

    // A step's source is asked for twice, by itself and by the step before it, and found once.
    const auto source_of = [&](std::size_t step) {
        StateId& source = graph.source[step];
        if (source == none) source = nodes.node(nodes.state(step));
        return source;
    };
    const auto goal = [&] {
        if (graph.goal == none) graph.goal = nodes.add_keyless();
        return graph.goal;
    };
    for_each_stoppable(num_steps, [&](std::size_t step) {
        nodes.expect(step);
        source_of(step);
        StateId& target = graph.target[step];
        const auto next = nodes.next_state(step);
        if (const StepId following = rollouts.following[step]; following != none) {
            const bool is_linked = !has_next_states || next == nodes.state(index(following));
            if (!is_linked) ++graph.broken_links;
            target = is_linked ? source_of(index(following)) : nodes.node(next);
        } else if (rollouts.is_winning(id_of(step))) {
            target = goal();
        } else {
            target = nodes.is_null(next) ? nodes.add_keyless() : nodes.node(next);
        }
    });
    graph.num_nodes = nodes.size();
    return graph;
}

}  // namespace

TransitionGraph merge_states(const Batch& batch, const Rollouts& rollouts) {
    const bool has_next_states = batch.next_states.has_value();
    const auto merge_columns = [&]<typename States, typename NextStates>(
                                   const States& states, const NextStates& next_states) {
        const NextStates* const given = has_next_states ? &next_states : nullptr;
        constexpr bool is_numbered = std::is_same_v<States, NumberedKeys>;
        if constexpr (is_numbered != std::is_same_v<NextStates, NumberedKeys>) {
            throw std::logic_error("one of states and next_states is numbered, the other is not");
            return TransitionGraph();
        } else if constexpr (is_numbered) {
            return merge(NodesByNumber(states, given, rollouts), has_next_states, rollouts);
        } else if constexpr (std::is_same_v<States, NodesByInteger::Integers> &&
                             std::is_same_v<NextStates, States>) {
            return merge(NodesByInteger(states, given, rollouts), has_next_states, rollouts);
        } else {
            return merge(NodesByKey(states, given, rollouts), has_next_states, rollouts);
        }
    };
    return std::visit(merge_columns, batch.states,
                      has_next_states ? *batch.next_states : batch.states);
}

Array<double> step_costs(const Batch& batch, const Rollouts& rollouts) {
    Array<double> costs;
    if (!batch.edge_costs) return costs;
    costs.reserve(rollouts.num_steps());
    for (const RowId row : rollouts.row) {
        const double cost = (*batch.edge_costs)[index(row)];
        check_cost(row, cost);
        costs.push_back(cost);
    }
    return costs;
}

}  // namespace graphgpo
