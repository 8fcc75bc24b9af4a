// Distances to the goal, against the edges: the one stage that sorts and sums express badly.
#pragma once

#include <cstdint>

#include "graphgpo/types.hpp"

// What nvcc compiles for a GPU, the C++ compiler does for the tests.
#ifdef __CUDACC__
#include <cuda/atomic>
#define GRAPHGPO_HD __host__ __device__
#else
#include <atomic>
#define GRAPHGPO_HD
#endif

namespace graphgpo::cuda {

// Atomics of memory that both sides see as plain arrays. Relaxed: order between threads comes from
// barriers.
#ifdef __CUDACC__
template <typename T>
using Atomic = ::cuda::atomic_ref<T, ::cuda::thread_scope_device>;
constexpr auto relaxed = ::cuda::memory_order_relaxed;
#else
template <typename T>
using Atomic = std::atomic_ref<T>;
constexpr auto relaxed = std::memory_order_relaxed;
#endif

// Of doubles: the value before. An offer that is no better, as most are, only reads.
GRAPHGPO_HD inline double atomic_min(double& held, double value) {
    const Atomic<double> at(held);
    double seen = at.load(relaxed);
    while (value < seen && !at.compare_exchange_weak(seen, value, relaxed)) {
    }
    return seen;
}

// What a search is made of, in memory of the caller's. Edges by target. Nodes of a group are
// neighbours: those of g are [node_offsets[g], node_offsets[g + 1]).
struct Search {
    std::int32_t num_groups;
    const std::int32_t* node_offsets;
    const std::int32_t* edge_offsets;  // by node; edges into it are [edge_offsets[v], [v + 1])
    const StateId* edge_source;
    const double* edge_cost;
    const StateId* goal;        // by group; `none`: nobody succeeded
    double* distance;           // by node; infinity to begin with
    std::int32_t* queued_in;    // by node: the last round it was queued for; -1 to begin with
    StateId* frontier[2];       // by node; a group uses the places of its own nodes
    std::int32_t* queue_sizes;  // 3 per group, and 3 for the large ones together; 0 to begin with

    [[nodiscard]] GRAPHGPO_HD std::int32_t num_edges(std::int64_t group) const {
        return edge_offsets[node_offsets[group + 1]] - edge_offsets[node_offsets[group]];
    }
};

// The groups that threads search together.
struct SearchedGroups {
    GroupId begin;
    GroupId end;
    std::int32_t fewest_edges;  // groups with fewer are not searched
    std::int32_t queue;         // of `queue_sizes`, which three
};

// The barriers by name, so that tests can take one away.
enum class Barrier : std::uint8_t { none, seeds, round };

// Takes   edges by target and a goal per group.
// Gives   distance[v], the least cost from v to its group's goal along edges; infinity: no way.
// Idea    Rounds. A round's frontier holds the nodes whose distance the round before lowered; each
//         offers distance + cost to the sources of the edges into it, and a source that takes the
//         offer joins the next frontier, once. With unit costs round r finds the nodes at distance
//         r and no node joins twice: breadth-first search from all goals at once. With others it
//         is Bellman-Ford on the nodes that changed. What order threads come in decides who is
//         queued where and how many rounds it takes, never the result: a distance is the least
//         rounded sum over all walks, and adding a cost is monotone, so it is Dijkstra's, bit for
//         bit. One barrier a round: sizes rotate through three counters, of which one is read, one
//         counted up, and one, read the round before, set to 0.
// Memory  Per edge of a node that joins: 4 bytes of source and 8 of cost, read in order, and 8 of
//         distance at random; an atomic per offer that is better. Per node that joins: 16 bytes.
// Cost    O(nodes + edges) with unit costs, in as many rounds as the farthest node has edges to the
//         goal; O(rounds * edges) at worst otherwise. A round costs a barrier: about 1 us in a
//         block, a few us over the grid.
//
// A block searches one group at a time; the groups that would keep a block busy for too long are
// searched by the whole grid, all at once (`kLargeGroup` in `search.cu`).
//
// Every one of `threads` calls it with its own number; `sync` is their barrier, after which each
// sees what all wrote before it.
template <typename Sync>
GRAPHGPO_HD void search_from_goals(std::int64_t thread, std::int64_t threads, const Sync& sync,
                                   const Search& search, const SearchedGroups& groups) {
    const std::int32_t first_place = search.node_offsets[groups.begin];
    std::int32_t* const queue_sizes = search.queue_sizes + 3 * std::int64_t{groups.queue};
    for (std::int64_t group = groups.begin + thread; group < groups.end; group += threads) {
        const StateId goal = search.goal[group];
        if (goal == none || search.num_edges(group) < groups.fewest_edges) continue;
        Atomic<double>(search.distance[goal]).store(0.0, relaxed);
        const auto place = Atomic<std::int32_t>(queue_sizes[0]).fetch_add(1, relaxed);
        search.frontier[0][first_place + place] = goal;
    }
    sync(Barrier::seeds);

    for (std::int32_t round = 0;; ++round) {
        const auto size = Atomic<std::int32_t>(queue_sizes[round % 3]).load(relaxed);
        if (size == 0) return;
        const StateId* const frontier = search.frontier[round % 2] + first_place;
        StateId* const next_frontier = search.frontier[(round + 1) % 2] + first_place;
        const Atomic<std::int32_t> next_size(queue_sizes[(round + 1) % 3]);
        for (std::int64_t i = thread; i < size; i += threads) {
            const StateId node = frontier[i];
            const double distance = Atomic<double>(search.distance[node]).load(relaxed);
            const std::int32_t end = search.edge_offsets[node + 1];
            for (std::int32_t edge = search.edge_offsets[node]; edge < end; ++edge) {
                const StateId source = search.edge_source[edge];
                const double offer = distance + search.edge_cost[edge];
                if (!(offer < atomic_min(search.distance[source], offer))) continue;
                const Atomic<std::int32_t> queued_in(search.queued_in[source]);
                if (queued_in.exchange(round + 1, relaxed) == round + 1) continue;
                next_frontier[next_size.fetch_add(1, relaxed)] = source;
            }
        }
        const Atomic<std::int32_t> size_before(queue_sizes[(round + 2) % 3]);
        if (thread == 0) size_before.store(0, relaxed);
        sync(Barrier::round);
    }
}

// Queues the search, of memory on the device, on its current stream; nothing is waited for. Throws
// std::runtime_error if CUDA refuses.
void search_on_device(Search search, void* stream);

}  // namespace graphgpo::cuda
