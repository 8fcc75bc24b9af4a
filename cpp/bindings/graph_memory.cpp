#include "graph_memory.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <utility>
#include <vector>

#include "gil.hpp"

namespace graphgpo::bindings {

namespace py = pybind11;
using py::literals::operator""_a;

namespace {

// Waits for the memory without the GIL: whoever has it may be computing.
template <typename Work>
auto locked(GraphMemory& memory, Work&& work) {
    const ReleasedGil released;
    const std::lock_guard lock(memory.mutex);
    return work();
}

template <typename T>
std::vector<T> column(const std::vector<RememberedEdge>& edges, auto&& value_of) {
    std::vector<T> values;
    values.reserve(edges.size());
    for (const RememberedEdge& edge : edges) values.push_back(static_cast<T>(value_of(edge)));
    return values;
}

py::dict edges_of(GraphMemory& memory) {
    std::vector<RememberedEdge> edges;
    std::int64_t num_batches = 0;
    locked(memory, [&] {
        edges = memory.edges();
        num_batches = memory.num_batches();
    });
    const auto whole = [&](auto member) {
        return to_numpy(column<std::int64_t>(edges, [&](const auto& e) { return e.*member; }));
    };
    return py::dict(
        "num_batches"_a = num_batches, "task"_a = whole(&RememberedEdge::task),
        "source"_a = whole(&RememberedEdge::source), "target"_a = whole(&RememberedEdge::target),
        "is_goal"_a = as_bools(
            to_numpy(column<std::uint8_t>(edges, [](const auto& e) { return e.is_goal; }))),
        "last_seen"_a = whole(&RememberedEdge::last_seen));
}

void add_edges(GraphMemory& memory, std::int64_t num_batches, const Column<std::int64_t>& task,
               const Column<std::int64_t>& source, const Column<std::int64_t>& target,
               const Column<bool>& is_goal, const Column<std::int64_t>& last_seen) {
    const auto tasks = view(task);
    const auto sources = view(source);
    const auto targets = view(target);
    const auto goals = view(is_goal);
    const auto seen = view(last_seen);
    const auto differs = [&](const auto& other) { return other.size() != tasks.size(); };
    if (differs(sources) || differs(targets) || differs(goals) || differs(seen)) {
        throw std::invalid_argument("columns of edges differ in length; expected one value each");
    }
    std::vector<RememberedEdge> edges;
    for (std::size_t e = 0; e < tasks.size(); ++e) {
        edges.push_back({.task = tasks[e],
                         .source = sources[e],
                         .target = goals[e] != 0 ? 0 : targets[e],
                         .is_goal = goals[e] != 0,
                         .last_seen = seen[e]});
    }
    locked(memory, [&] { memory.add(edges, num_batches); });
}

}  // namespace

Remembering OwnedRemembering::view() const {
    Remembering found{.memory = memory.cast<GraphMemory*>(),
                      .tasks = bindings::view(tasks),
                      .states = bindings::view(states),
                      .next_states = {},
                      .next_is_unknown = {}};
    if (next_states) found.next_states = bindings::view(*next_states);
    if (next_is_unknown) found.next_is_unknown = bindings::view(*next_is_unknown);
    return found;
}

std::optional<OwnedRemembering> remembering_of(const py::object& given) {
    if (given.is_none()) return std::nullopt;
    return OwnedRemembering{
        .memory = given["memory"],
        .tasks = given["tasks"].cast<Column<std::int64_t>>(),
        .states = given["states"].cast<Column<std::int64_t>>(),
        .next_states = given["next_states"].cast<std::optional<Column<std::int64_t>>>(),
        .next_is_unknown = given["next_is_unknown"].cast<std::optional<Column<bool>>>()};
}

void bind_graph_memory(py::module_& module) {
    py::class_<GraphMemory>(module, "GraphMemory", py::is_final(),
                            py::metaclass(reinterpret_cast<PyObject*>(&PyType_Type)),
                            "Edges between stable keys, by task. Opaque.")
        .def(py::init<std::size_t, std::optional<std::int64_t>>(), py::kw_only(),
             "max_states_per_task"_a, "max_age"_a)
        .def("edges", &edges_of)
        .def("add", &add_edges, py::kw_only(), "num_batches"_a, "task"_a, "source"_a, "target"_a,
             "is_goal"_a, "last_seen"_a)
        .def(
            "forget",
            [](GraphMemory& memory, std::int64_t task) {
                return locked(memory, [&] { return memory.forget(task); });
            },
            py::kw_only(), "task"_a)
        .def("sizes", [](GraphMemory& memory) {
            return locked(memory, [&] {
                return std::tuple(memory.num_tasks(), memory.num_states(), memory.num_edges(),
                                  memory.num_batches());
            });
        });
}

}  // namespace graphgpo::bindings
