// A graph that remembers, and a batch in its words.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>

#include "arrays.hpp"
#include "graphgpo/graph_memory.hpp"

namespace graphgpo::bindings {

// Holds the arrays that `view` views.
struct OwnedRemembering {
    pybind11::object memory;
    Column<std::int64_t> tasks;
    Column<std::int64_t> states;
    std::optional<Column<std::int64_t>> next_states;
    std::optional<Column<bool>> next_is_unknown;

    [[nodiscard]] Remembering view() const;
};

// Of a dict with "memory", "tasks", "states", "next_states" and "next_is_unknown", the last two
// None where there are no next states; of None, none.
[[nodiscard]] std::optional<OwnedRemembering> remembering_of(const pybind11::object& given);

void bind_graph_memory(pybind11::module_& module);

}  // namespace graphgpo::bindings
