// Where steps lead, counted: the graph of a Bellman mean.
#pragma once

#include <cstdint>
#include <span>

#include "graphgpo/memory.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

struct Chances {
    struct Edge {
        StateId target;
        double count;
    };

    Array<std::int32_t> offsets;  // by node; nodes + 1
    Array<Edge> edges;            // between different nodes, parallel steps as one edge
    Array<double> staying;        // by node: steps that stay
    Array<double> leaving;        // by node: all steps, those that end somewhere included
    Array<double> earned;         // by node: sum of what stands where its steps end

    [[nodiscard]] std::span<const Edge> of(StateId node) const noexcept {
        const auto begin = index(offsets[index(node)]);
        return std::span(edges).subspan(begin, index(offsets[index(node) + 1]) - begin);
    }
    [[nodiscard]] std::size_t size() const noexcept { return leaving.size(); }
};

}  // namespace graphgpo
