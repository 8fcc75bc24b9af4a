// Nodes that nothing tells apart, in an order that does not depend on their numbers.
#pragma once

#include <cstdint>

#include "graphgpo/memory.hpp"
#include "graphgpo/potentials/chances.hpp"

namespace graphgpo {

// The coarsest classes whose members agree in what they earn, in how many steps leave and stay, and
// in how many lead to every class: so their values are equal. By node, dense; the numbers follow
// from the graph alone, whatever the numbers of its nodes. Partition refinement by the smaller
// parts (Hopcroft 1971; with counts: Derisavi, Hermanns, Sanders 2003): O(edges log nodes) and the
// sorts of what is split.
[[nodiscard]] Array<std::int32_t> classes_of(const Chances& chances);

// One node a class, numbered as these, edges by target.
[[nodiscard]] Chances merge_classes(const Chances& chances, const Array<std::int32_t>& class_of);

}  // namespace graphgpo
