#include "graphgpo/graph_memory.hpp"

#include <algorithm>
#include <functional>
#include <queue>
#include <tuple>
#include <unordered_set>
#include <utility>

namespace graphgpo {

// --- one task
// -------------------------------------------------------------------------------------

TaskMemory::TaskMemory() {
    add_node(0);
    set_distance(goal, 0);
}

void TaskMemory::add_node(std::int64_t key) {
    keys_.push_back(key);
    distance_.push_back(none);
    last_into_.push_back(none);
}

void TaskMemory::set_distance(NodeId node, std::int32_t distance) {
    std::int32_t& known = distance_[index(node)];
    if (known != none) --num_at_distance_[index(known)];
    if (index(distance) >= num_at_distance_.size()) num_at_distance_.resize(index(distance) + 1);
    ++num_at_distance_[index(distance)];
    known = distance;
    while (num_at_distance_.back() == 0) num_at_distance_.pop_back();
}

void TaskMemory::add_edge(NodeId source, NodeId target, std::int64_t now) {
    const std::int32_t e = id_of(source_.size());
    oldest_ = source_.empty() ? now : std::min(oldest_, now);
    source_.push_back(source);
    target_.push_back(target);
    next_into_.push_back(std::exchange(last_into_[index(target)], e));
    last_seen_.push_back(now);
    unsettled_.push_back(e);
}

// Nearest first, so that every node that comes closer is visited once.
void TaskMemory::settle() {
    using Entry = std::pair<std::int32_t, NodeId>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
    const auto reach = [&](NodeId source, NodeId target) {
        if (distance_[index(target)] == none) return;
        const std::int32_t distance = distance_[index(target)] + 1;
        const std::int32_t known = distance_[index(source)];
        if (known != none && known <= distance) return;
        set_distance(source, distance);
        queue.emplace(distance, source);
    };
    for (const std::int32_t e : unsettled_) reach(source_[index(e)], target_[index(e)]);
    unsettled_.clear();
    while (!queue.empty()) {
        const auto [distance, node] = queue.top();
        queue.pop();
        if (distance != distance_[index(node)]) continue;  // it has come closer since
        for (std::int32_t e = last_into_[index(node)]; e != none; e = next_into_[index(e)]) {
            reach(source_[index(e)], node);
        }
    }
}

RememberedEdge TaskMemory::edge(std::size_t e) const {
    return {.task = 0,
            .source = keys_[index(source_[e])],
            .target = keys_[index(target_[e])],
            .is_goal = target_[e] == goal,
            .last_seen = last_seen_[e]};
}

bool TaskMemory::is_on_a_way(std::size_t e) const noexcept {
    const std::int32_t after = distance_[index(target_[e])];
    return after != none && distance_[index(source_[e])] == after + 1;
}

void TaskMemory::keep(std::span<const RememberedEdge> edges) {
    TaskMemory kept;
    for (const RememberedEdge& e : edges) {
        const NodeId source = kept.state(e.source);
        kept.see(source, e.is_goal ? goal : kept.state(e.target), e.last_seen);
    }
    kept.settle();
    *this = std::move(kept);
}

void TaskMemory::forget_before(std::int64_t first) {
    if (source_.empty() || oldest_ >= first) return;
    std::vector<RememberedEdge> kept;
    for (std::size_t e = 0; e < source_.size(); ++e) {
        if (last_seen_[e] >= first) kept.push_back(edge(e));
    }
    if (kept.size() == source_.size()) {
        oldest_ = *std::ranges::min_element(last_seen_);
        return;
    }
    keep(kept);
}

void TaskMemory::shrink(std::size_t most) {
    if (num_states() <= most) return;
    std::vector<std::pair<std::int32_t, RememberedEdge>> ranked;  // off every way: the last rank
    for (std::size_t e = 0; e < source_.size(); ++e) {
        const bool is_on_way = is_on_a_way(e);
        ranked.emplace_back(is_on_way ? distance_[index(target_[e])] : id_of(keys_.size()),
                            edge(e));
    }
    std::ranges::sort(ranked, {}, [](const auto& entry) {
        const auto& [rank, edge] = entry;
        return std::tuple(rank, -edge.last_seen, edge.source, edge.target, edge.is_goal);
    });
    const std::size_t room = most - most / 8;
    std::unordered_set<std::int64_t> states;
    std::vector<RememberedEdge> kept;
    for (const auto& [rank, edge] : ranked) {
        states.insert(edge.source);
        if (!edge.is_goal) states.insert(edge.target);
        if (states.size() > room) break;
        kept.push_back(edge);
    }
    keep(kept);
}

void TaskMemory::append_to(std::vector<RememberedEdge>& edges, std::int64_t task) const {
    for (std::size_t e = 0; e < source_.size(); ++e) {
        edges.push_back(edge(e));
        edges.back().task = task;
    }
}

// --- all tasks
// ------------------------------------------------------------------------------------

void GraphMemory::begin_batch(std::span<const std::int64_t> tasks) {
    ++num_batches_;
    const std::int64_t first = first_that_counts();
    std::erase_if(tasks_, [&](const auto& entry) {
        return entry.second.num_edges() == 0 || entry.second.newest() < first;
    });
    for (const std::int64_t key : tasks) tasks_[key].forget_before(first);
}

std::size_t GraphMemory::num_tasks() const noexcept {
    return static_cast<std::size_t>(std::ranges::count_if(
        tasks_, [](const auto& entry) { return entry.second.num_edges() > 0; }));
}

bool GraphMemory::forget(std::int64_t key) {
    const auto found = tasks_.find(key);
    if (found == tasks_.end()) return false;
    const bool knew = found->second.num_edges() > 0;
    tasks_.erase(found);
    return knew;
}

std::size_t GraphMemory::num_edges() const noexcept {
    std::size_t sum = 0;
    for (const auto& [key, task] : tasks_) sum += task.num_edges();
    return sum;
}

std::size_t GraphMemory::num_states() const noexcept {
    std::size_t sum = 0;
    for (const auto& [key, task] : tasks_) sum += task.num_states();
    return sum;
}

std::vector<RememberedEdge> GraphMemory::edges() const {
    std::vector<RememberedEdge> edges;
    for (const auto& [key, task] : tasks_) {
        const auto first = std::ssize(edges);
        task.append_to(edges, key);
        std::sort(edges.begin() + first, edges.end());
    }
    return edges;
}

void GraphMemory::add(std::span<const RememberedEdge> edges, std::int64_t num_batches) {
    num_batches_ = std::max(num_batches_, num_batches);
    std::unordered_set<std::int64_t> changed;
    for (const RememberedEdge& e : edges) {
        TaskMemory& task = tasks_[e.task];
        const TaskMemory::NodeId source = task.state(e.source);
        task.see(source, e.is_goal ? TaskMemory::goal : task.state(e.target), e.last_seen);
        changed.insert(e.task);
    }
    for (const std::int64_t key : changed) {
        tasks_[key].settle();
        tasks_[key].shrink(max_states_);
    }
}

}  // namespace graphgpo
