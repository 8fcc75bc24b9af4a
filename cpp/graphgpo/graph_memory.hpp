// Which steps were ever taken in a task, across batches: edges between stable keys of states, and
// from there to GOAL. States have no text here and every step costs 1.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <thread>
#include <vector>

#include "graphgpo/key_table.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

struct RememberedEdge {
    std::int64_t task;    // key
    std::int64_t source;  // key of a state
    std::int64_t target;  // the same; 0 and no key if it is GOAL
    bool is_goal;
    std::int64_t last_seen;  // in the how-many-th batch

    friend auto operator<=>(const RememberedEdge&, const RememberedEdge&) = default;
};

// The edges of one task and the distances to GOAL along them, kept up to date: a new edge only
// ever shortens ways, so a batch costs its own edges and the nodes that came closer.
class TaskMemory {
  public:
    using NodeId = std::int32_t;
    static constexpr NodeId goal = 0;

    TaskMemory();

    [[nodiscard]] NodeId state(std::int64_t key) {
        const NodeId node = nodes_.intern(key) + 1;  // after GOAL
        if (index(node) == keys_.size()) add_node(key);
        return node;
    }
    // Asks for the memory that `state` will look at.
    void prefetch(std::int64_t key) const noexcept { nodes_.prefetch(key); }
    // That the edge was taken in batch `now`, or in a later one.
    void see(NodeId source, NodeId target, std::int64_t now) {
        newest_ = std::max(newest_, now);
        const std::size_t e = index(edges_.intern(edge_key(source, target)));
        if (e == source_.size()) {
            add_edge(source, target, now);
        } else {
            last_seen_[e] = std::max(last_seen_[e], now);
        }
    }
    // Asks for the memory that `see` will look at.
    void prefetch(NodeId source, NodeId target) const noexcept {
        edges_.prefetch(edge_key(source, target));
    }
    // Brings distances up to date.
    void settle();

    // Fewest edges to GOAL; `none` where no way is known.
    [[nodiscard]] std::int32_t distance(NodeId node) const noexcept {
        return distance_[index(node)];
    }
    [[nodiscard]] std::int32_t largest_distance() const noexcept {
        return id_of(num_at_distance_.size() - 1);
    }
    [[nodiscard]] bool knows_goal() const noexcept { return num_at_distance_.size() > 1; }
    [[nodiscard]] std::size_t num_states() const noexcept { return keys_.size() - 1; }
    [[nodiscard]] std::size_t num_edges() const noexcept { return source_.size(); }
    // When the edge that was seen last was; 0 without any.
    [[nodiscard]] std::int64_t newest() const noexcept { return newest_; }

    // Forgets edges last seen before batch `first`.
    void forget_before(std::int64_t first);
    // Forgets edges until at most `most` states are left, where there are more: those on no
    // shortest way to GOAL first, the least recently seen of them first, by key among equals; then
    // of shortest ways what is furthest from GOAL. An eighth more goes, so that it is seldom.
    void shrink(std::size_t most);

    void append_to(std::vector<RememberedEdge>& edges, std::int64_t task) const;

  private:
    [[nodiscard]] static std::int64_t edge_key(NodeId source, NodeId target) noexcept {
        return static_cast<std::int64_t>(source) << 32 | target;
    }
    void add_node(std::int64_t key);
    void add_edge(NodeId source, NodeId target, std::int64_t now);
    void set_distance(NodeId node, std::int32_t distance);
    [[nodiscard]] RememberedEdge edge(std::size_t e) const;
    [[nodiscard]] bool is_on_a_way(std::size_t e) const noexcept;
    void keep(std::span<const RememberedEdge> edges);

    KeyTable nodes_;  // by key, all but GOAL
    KeyTable edges_;  // by source and target
    std::vector<std::int64_t> keys_;
    std::vector<std::int32_t> distance_;
    std::vector<std::int32_t> num_at_distance_;  // nodes; the last one is not 0
    std::vector<std::int32_t> last_into_;        // by node: an edge that leads to it; `none`
    std::vector<NodeId> source_;                 // by edge, as all below
    std::vector<NodeId> target_;
    std::vector<std::int32_t> next_into_;  // another edge to the same target; `none`
    std::vector<std::int64_t> last_seen_;
    std::vector<std::int32_t> unsettled_;  // edges
    std::int64_t oldest_ = 0;              // no edge was last seen before
    std::int64_t newest_ = 0;
};

// Refuses the thread that holds it, which would wait for itself for ever: a signal's handler runs
// in the thread that it has interrupted.
class OwnedMutex {
  public:
    void lock() {
        if (owner_ == std::this_thread::get_id()) {
            throw std::runtime_error(
                "the memory is in the middle of a call of this thread, which a signal's handler "
                "has interrupted; ask it when the call has returned");
        }
        mutex_.lock();
        owner_ = std::this_thread::get_id();
    }
    void unlock() {
        owner_ = std::thread::id();
        mutex_.unlock();
    }

  private:
    std::mutex mutex_;
    std::atomic<std::thread::id> owner_;
};

// The tasks. Whoever reads or writes holds `mutex`.
class GraphMemory {
  public:
    // `max_age`: in batches; not given: edges do not age.
    GraphMemory(std::size_t max_states_per_task, std::optional<std::int64_t> max_age)
        : max_states_(max_states_per_task), max_age_(max_age) {}

    OwnedMutex mutex;

    // Begins a batch that has these tasks. What has become too old is forgotten.
    void begin_batch(std::span<const std::int64_t> tasks);
    [[nodiscard]] TaskMemory& task(std::int64_t key) { return tasks_.at(key); }
    // Of a task whose steps were seen. Tasks may be worked on at the same time.
    void end_batch(std::int64_t key) { tasks_.at(key).shrink(max_states_); }

    [[nodiscard]] std::int64_t num_batches() const noexcept { return num_batches_; }
    // Of which something is remembered.
    [[nodiscard]] std::size_t num_tasks() const noexcept;
    [[nodiscard]] std::size_t num_edges() const noexcept;
    [[nodiscard]] std::size_t num_states() const noexcept;
    // In the order of their keys.
    [[nodiscard]] std::vector<RememberedEdge> edges() const;
    // Adds edges of another memory, which has seen so many batches.
    void add(std::span<const RememberedEdge> edges, std::int64_t num_batches);
    // Whether anything was remembered of it.
    bool forget(std::int64_t key);

  private:
    [[nodiscard]] std::int64_t first_that_counts() const noexcept {
        return max_age_ ? num_batches_ - *max_age_ : 0;
    }

    std::size_t max_states_;
    std::optional<std::int64_t> max_age_;
    std::int64_t num_batches_ = 0;
    std::map<std::int64_t, TaskMemory> tasks_;
};

// A memory, and what a batch is in its words: a key per row.
struct Remembering {
    GraphMemory* memory;
    std::span<const std::int64_t> tasks;
    std::span<const std::int64_t> states;
    std::span<const std::int64_t> next_states;      // empty: there is no such column
    std::span<const std::uint8_t> next_is_unknown;  // by row; empty likewise
};

}  // namespace graphgpo
