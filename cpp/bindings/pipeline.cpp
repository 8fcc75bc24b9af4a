// compute_advantages and build_graph: columns in, the GIL released once, arrays out.
#include "graphgpo/pipeline.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <utility>

#include "arrays.hpp"
#include "call.hpp"
#include "key_column.hpp"

namespace graphgpo::bindings {

namespace py = pybind11;
using py::literals::operator""_a;

namespace {

using Flags = std::optional<py::array_t<bool, py::array::c_style>>;
using Integers = std::optional<py::array_t<std::int64_t, py::array::c_style>>;
using Reals = std::optional<py::array_t<double, py::array::c_style>>;

// The row arguments both functions take. Holds references, so that the views of `batch` stay valid
// while the GIL is released.
struct Columns {
    const OwnedKeyColumn& states;
    const OwnedKeyColumn* next_states;
    const OwnedKeyColumn& group_ids;
    const OwnedKeyColumn& trajectory_ids;
    Flags success;
    Integers step_ids;
    Reals rewards;
    Reals episode_returns;
    Reals edge_costs;
    Flags action_valid;
    Flags mask;

    [[nodiscard]] Batch batch() const {
        Batch batch{.states = states.view(),
                    .group_ids = group_ids.view(),
                    .trajectory_ids = trajectory_ids.view(),
                    .success = view(success),
                    .step_ids = view(step_ids),
                    .rewards = view(rewards),
                    .episode_returns = view(episode_returns),
                    .edge_costs = view(edge_costs),
                    .action_valid = view(action_valid),
                    .mask = view(mask)};
        if (next_states != nullptr) batch.next_states = next_states->view();
        return batch;
    }
};

// Arrays by name for the result, and the views the core writes through. All share one allocation:
// NumPy asks the system for huge pages only where an array is large, and new small pages are a
// quarter of the time of a large call on integer keys.
class OwnedAdvantages {
  public:
    explicit OwnedAdvantages(std::size_t rows)
        : rows_(rows), memory_(static_cast<py::ssize_t>(rows * bytes_per_row)) {
        // Eight-byte columns first, so that every column is aligned.
        columns.edge_returns = take<double>("edge_returns");
        columns.distances = take<Distance>("distances");
        columns.next_distances = take<Distance>("next_distances");
        columns.state_ids = take<std::int64_t>("state_ids");
        columns.next_state_ids = take<std::int64_t>("next_state_ids");
        columns.advantages = take<float>("advantages");
        columns.step_advantages = take<float>("step_advantages");
        columns.episode_advantages = take<float>("episode_advantages");
    }

    AdvantageColumns columns{};
    py::dict dict;

  private:
    static constexpr std::size_t bytes_per_row = 3 * 8 + 2 * 8 + 3 * 4;

    template <typename T>
    std::span<T> take(const char* name) {
        T* const begin = reinterpret_cast<T*>(memory_.mutable_data() + taken_);
        taken_ += static_cast<py::ssize_t>(rows_ * sizeof(T));
        // Interned: Python finds the argument of that name by identity.
        dict[py::reinterpret_steal<py::str>(PyUnicode_InternFromString(name))] =
            py::array_t<T>(static_cast<py::ssize_t>(rows_), begin, memory_);
        return {begin, rows_};
    }

    std::size_t rows_;
    py::array_t<char> memory_;
    py::ssize_t taken_ = 0;
};

}  // namespace

void bind_pipeline(py::module_& module) {
    // A config as the core has it: read once, used by many calls.
    py::class_<Options>(module, "Options", py::is_final(),
                        py::metaclass(reinterpret_cast<PyObject*>(&PyType_Type)),
                        "The options of calls, in the words of GraphGPOConfig. Opaque.")
        .def(py::init(&read_options), py::kw_only(), "estimator"_a, "omega"_a, "success_reward"_a,
             "exponent"_a, "normalization"_a, "epsilon"_a, "epsilon_scale"_a, "step_weight"_a,
             "episode_weight"_a, "episode_weighting"_a, "invalid_action_penalty"_a, "gamma"_a);

    module.def(
        "compute_advantages",
        [](const OwnedKeyColumn& states, const OwnedKeyColumn* next_states,
           const OwnedKeyColumn& group_ids, const OwnedKeyColumn& trajectory_ids, Flags success,
           Integers step_ids, Reals rewards, Reals episode_returns, Reals edge_costs,
           Flags action_valid, Flags mask, Options options, std::size_t num_threads) {
            const Columns columns{states,     next_states,  group_ids, trajectory_ids,
                                  success,    step_ids,     rewards,   episode_returns,
                                  edge_costs, action_valid, mask};
            const Batch batch = columns.batch();
            options.num_threads = num_threads;
            OwnedAdvantages result(num_rows(batch.states));
            const Metrics metrics = [&] {
                const py::gil_scoped_release release;
                return graphgpo::compute_advantages(batch, options, result.columns);
            }();
            result.dict["metrics"] = metrics_dict(metrics);
            return result.dict;
        },
        py::kw_only(), "states"_a, "next_states"_a.none(true), "group_ids"_a, "trajectory_ids"_a,
        "success"_a, "step_ids"_a, "rewards"_a, "episode_returns"_a, "edge_costs"_a,
        "action_valid"_a, "mask"_a, "options"_a, "num_threads"_a);

    module.def(
        "build_graph",
        [](const OwnedKeyColumn& states, const OwnedKeyColumn* next_states,
           const OwnedKeyColumn& group_ids, const OwnedKeyColumn& trajectory_ids, Flags success,
           Integers step_ids, Reals rewards, Reals episode_returns, Reals edge_costs,
           Flags action_valid, Flags mask, std::size_t num_threads) {
            const Columns columns{states,     next_states,  group_ids, trajectory_ids,
                                  success,    step_ids,     rewards,   episode_returns,
                                  edge_costs, action_valid, mask};
            const Batch batch = columns.batch();
            BatchGraph graph = [&] {
                const py::gil_scoped_release release;
                return graphgpo::build_graph(batch, num_threads);
            }();
            const auto widened = [](const auto& narrow) {
                return to_numpy(std::vector<std::int64_t>(narrow.begin(), narrow.end()));
            };
            std::vector<std::int64_t> kinds;
            for (const NodeKind kind : graph.node_kind) kinds.push_back(static_cast<int>(kind));
            return py::dict(
                "node_kinds"_a = to_numpy(std::move(kinds)),
                "node_rows"_a = widened(graph.node_row),
                "node_distances"_a = to_numpy(std::move(graph.node_distance)),
                "node_reached"_a = to_numpy(std::move(graph.node_reached)).attr("view")("?"),
                "edge_rows"_a = widened(graph.edge_row),
                "edge_sources"_a = to_numpy(std::move(graph.edge_source)),
                "edge_targets"_a = to_numpy(std::move(graph.edge_target)),
                "edge_costs"_a = to_numpy(std::move(graph.edge_cost)));
        },
        py::kw_only(), "states"_a, "next_states"_a.none(true), "group_ids"_a, "trajectory_ids"_a,
        "success"_a, "step_ids"_a, "rewards"_a, "episode_returns"_a, "edge_costs"_a,
        "action_valid"_a, "mask"_a, "num_threads"_a);
}

}  // namespace graphgpo::bindings
