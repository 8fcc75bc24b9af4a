// compute_advantages and build_graph: columns in, the GIL released once, arrays out.
#include "graphgpo/pipeline.hpp"

#include <pybind11/gil_safe_call_once.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "gil.hpp"
#include "graph_memory.hpp"
#include "graphgpo/graph_export.hpp"
#include "key_column.hpp"
#include "plan.hpp"

namespace graphgpo::bindings {

namespace py = pybind11;
using py::literals::operator""_a;

namespace {

// A name as Python's own code has it: it is found in a dict, or among arguments, by identity. Made
// once for every literal, and kept.
py::handle interned(const char* name) {
    static auto& known = *new std::unordered_map<const char*, PyObject*>;  // under the GIL
    PyObject*& made = known[name];
    if (made == nullptr) made = PyUnicode_InternFromString(name);
    if (made == nullptr) throw py::error_already_set();
    return made;
}

// The columns of a batch by name, as `graphgpo.columns` lists them. Holds references, so that the
// views of `batch` stay valid while the GIL is released.
class Columns {
  public:
    explicit Columns(const py::dict& columns)
        : batch_{.states = *keys(columns, "states"),
                 .next_states = keys(columns, "next_states"),
                 .group_ids = *keys(columns, "group_ids"),
                 .trajectory_ids = *keys(columns, "trajectory_ids"),
                 .success = numbers<std::uint8_t>(columns, "success"),
                 .step_ids = numbers<std::int64_t>(columns, "step_ids"),
                 .rewards = numbers<double>(columns, "rewards"),
                 .episode_returns = numbers<double>(columns, "episode_returns"),
                 .edge_costs = numbers<double>(columns, "edge_costs"),
                 .action_valid = numbers<bool>(columns, "action_valid"),
                 .mask = numbers<bool>(columns, "mask"),
                 .actions = keys(columns, "actions"),
                 .peer_keys = keys(columns, "peer_keys"),
                 .given_states = keys(columns, "given_states")} {}

    [[nodiscard]] const Batch& batch() const noexcept { return batch_; }

  private:
    // None, or held.
    py::handle column(const py::dict& columns, const char* name) {
        PyObject* const found = PyDict_GetItemWithError(columns.ptr(), interned(name).ptr());
        if (found == nullptr && PyErr_Occurred() != nullptr) throw py::error_already_set();
        if (found == nullptr || found == Py_None) return py::none();
        return held_.emplace_back(py::reinterpret_borrow<py::object>(found));
    }
    std::optional<KeyColumn> keys(const py::dict& columns, const char* name) {
        const py::handle given = column(columns, name);
        if (given.is_none()) return std::nullopt;
        return given.cast<const OwnedKeyColumn&>().view();
    }
    template <typename T>
    std::optional<std::span<const typename ViewedAs<T>::type>> numbers(const py::dict& columns,
                                                                       const char* name) {
        const py::handle given = column(columns, name);
        if (given.is_none()) return std::nullopt;
        if (!py::isinstance<Column<T>>(given)) {
            throw py::type_error(std::string(name) + " is no array as the core reads it");
        }
        return view(py::reinterpret_borrow<Column<T>>(given));
    }

    std::vector<py::object> held_;  // before `batch_`, which is made of it
    Batch batch_;
};

// Arrays by name for the result, and the spans the core writes through. All of one set of columns
// share one allocation: NumPy asks the system for huge pages only where an array is large, and new
// small pages are a quarter of the time of a large call on integer keys.
class OwnedArrays {
  public:
    OwnedArrays(std::size_t rows, std::size_t bytes_per_row)
        : rows_(rows), memory_(static_cast<py::ssize_t>(rows * bytes_per_row)) {}

    // Columns of eight bytes a row first, so that all are aligned.
    template <typename T>
    std::span<T> take(py::dict& arrays, const char* name) {
        T* const begin = reinterpret_cast<T*>(memory_.mutable_data() + taken_);
        taken_ += static_cast<py::ssize_t>(rows_ * sizeof(T));
        arrays[interned(name)] = py::array_t<T>(static_cast<py::ssize_t>(rows_), begin, memory_);
        return {begin, rows_};
    }

  private:
    std::size_t rows_;
    py::array_t<char> memory_;
    py::ssize_t taken_ = 0;
};

GraphColumns graph_columns(std::size_t rows, py::dict& arrays) {
    OwnedArrays memory(rows, 4 * 8);
    GraphColumns columns;
    columns.distances = memory.take<Distance>(arrays, "distances");
    columns.next_distances = memory.take<Distance>(arrays, "next_distances");
    columns.state_ids = memory.take<std::int64_t>(arrays, "state_ids");
    columns.next_state_ids = memory.take<std::int64_t>(arrays, "next_state_ids");
    return columns;
}

CreditColumns credit_columns(std::size_t rows, py::dict& arrays) {
    OwnedArrays memory(rows, 8 + 4 * 4);
    CreditColumns columns;
    columns.scores = memory.take<double>(arrays, "scores");
    columns.advantages = memory.take<float>(arrays, "advantages");
    columns.step_advantages = memory.take<float>(arrays, "step_advantages");
    columns.episode_advantages = memory.take<float>(arrays, "episode_advantages");
    columns.num_peers = memory.take<std::int32_t>(arrays, "num_peers");
    return columns;
}

// Under names that are made once.
py::dict metrics_dict(const Metrics& metrics) {
    PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::tuple> storage;
    const py::tuple& names = storage
                                 .call_once_and_store_result([&] {
                                     py::tuple made(Metrics::num_common);
                                     for (std::size_t i = 0; i < made.size(); ++i) {
                                         made[i] = py::str(metrics[i].first);
                                     }
                                     return made;
                                 })
                                 .get_stored();
    py::dict dict;
    for (std::size_t i = 0; i < names.size(); ++i) dict[names[i]] = metrics[i].second;
    for (std::size_t i = names.size(); i < metrics.size(); ++i) {
        dict[py::str(metrics[i].first)] = metrics[i].second;
    }
    return dict;
}

// A dict of arrays and metrics for every plan; those of the graph are shared.
py::list credit(const py::dict& given, const std::vector<const OwnedPlan*>& plans,
                std::size_t num_threads, const py::object& remembering) {
    const Columns columns(given);
    const std::optional<OwnedRemembering> memory = remembering_of(remembering);
    Batch batch = columns.batch();
    if (memory) batch.remembering = memory->view();
    const std::size_t rows = num_rows(batch.states);
    py::dict of_graph;
    const GraphColumns graph = graph_columns(rows, of_graph);
    py::list results;
    std::vector<PlanColumns> asked;
    for (const OwnedPlan* plan : plans) {
        py::dict arrays(py::reinterpret_steal<py::dict>(PyDict_Copy(of_graph.ptr())));
        asked.push_back({&plan->plan, credit_columns(rows, arrays)});
        results.append(std::move(arrays));
    }
    const std::vector<Metrics> metrics =
        without_gil([&] { return graphgpo::compute_advantages(batch, asked, graph, num_threads); });
    for (std::size_t p = 0; p < metrics.size(); ++p)
        results[p]["metrics"] = metrics_dict(metrics[p]);
    return results;
}

py::dict graph_of(const py::dict& given, std::size_t num_threads) {
    const Columns columns(given);
    BatchGraph graph =
        without_gil([&] { return graphgpo::build_graph(columns.batch(), num_threads); });
    const auto widened = [](const auto& narrow) {
        return to_numpy(std::vector<std::int64_t>(narrow.begin(), narrow.end()));
    };
    std::vector<std::int64_t> kinds;
    for (const NodeKind kind : graph.node_kind) kinds.push_back(static_cast<int>(kind));
    return py::dict("node_kinds"_a = to_numpy(std::move(kinds)),
                    "node_rows"_a = widened(graph.node_row),
                    "node_distances"_a = to_numpy(std::move(graph.node_distance)),
                    "node_reached"_a = as_bools(to_numpy(std::move(graph.node_reached))),
                    "edge_rows"_a = widened(graph.edge_row),
                    "edge_sources"_a = to_numpy(std::move(graph.edge_source)),
                    "edge_targets"_a = to_numpy(std::move(graph.edge_target)),
                    "edge_costs"_a = to_numpy(std::move(graph.edge_cost)));
}

}  // namespace

void bind_pipeline(py::module_& module) {
    module.def("compute_advantages", &credit, py::kw_only(), "columns"_a, "plans"_a,
               "num_threads"_a, "remembering"_a);
    module.def("build_graph", &graph_of, py::kw_only(), "columns"_a, "num_threads"_a);
}

}  // namespace graphgpo::bindings
