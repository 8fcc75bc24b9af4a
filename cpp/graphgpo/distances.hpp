// The potential of a node: how far it is from the goal.
#pragma once

#include <cstdint>
#include <span>

#include "graphgpo/memory.hpp"
#include "graphgpo/transition_graph.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

struct Distances {
    Array<Distance> to_goal;   // by node; `unreachable` where no way is known
    Distance largest = 0;      // of a node from which the goal can be reached
    Distance unreachable = 0;  // largest + c_max, which is more

    [[nodiscard]] Distance operator[](StateId node) const noexcept { return to_goal[index(node)]; }
    [[nodiscard]] bool is_finite(Distance distance) const noexcept {
        return distance < unreachable;
    }
};

// Least total cost from every node to GOAL along edges, parallel edges at their cheapest. Nodes
// that never reached it get the largest finite distance plus the largest edge cost of the group:
// the paper's d_max + 1 for unit costs, and for others never better than an edge that does reach
// it.
//
// `costs` by step, empty for unit costs. Breadth-first from GOAL against the edges when all costs
// are 1, O(nodes + edges); else Dijkstra, O(edges log edges). Throws `std::invalid_argument` when
// costs add up to more than a double holds.
[[nodiscard]] Distances distances_to_goal(const TransitionGraph& graph,
                                          std::span<const double> costs);

}  // namespace graphgpo
