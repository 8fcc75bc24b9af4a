// Strongly connected components: nodes that lead to each other.
#pragma once

#include <cstdint>
#include <span>

#include "graphgpo/memory.hpp"
#include "graphgpo/potentials/chances.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

struct Components {
    Array<std::int32_t> of;       // by node
    Array<StateId> nodes;         // component after component
    Array<std::int32_t> offsets;  // by component, into `nodes`; components + 1

    [[nodiscard]] std::size_t size() const noexcept { return offsets.size() - 1; }
    [[nodiscard]] std::span<const StateId> operator[](std::size_t component) const noexcept {
        const auto begin = index(offsets[component]);
        return std::span(nodes).subspan(begin, index(offsets[component + 1]) - begin);
    }
};

// Every one after those that its steps lead to (Tarjan, with a stack of its own: a chain may be as
// long as the group). O(nodes + edges).
[[nodiscard]] Components components_of(const Chances& chances);

}  // namespace graphgpo
