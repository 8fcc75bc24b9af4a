// graphgpo._cuda: addresses of torch's memory and torch's stream in, nothing out. Private: use
// graphgpo.torch.device.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "cuda/search.hpp"

namespace py = pybind11;
using namespace pybind11::literals;

namespace graphgpo::cuda {

namespace {

template <typename T>
T* at(std::uintptr_t address, const char* name) {
    // A misaligned access ends the process's CUDA context.
    if (address % alignof(T) != 0) {
        throw std::invalid_argument(std::string(name) + " is at address " +
                                    std::to_string(address) + "; expected a multiple of " +
                                    std::to_string(alignof(T)));
    }
    return reinterpret_cast<T*>(address);
}

}  // namespace

PYBIND11_MODULE(_cuda, module) {
    module.doc() = "The search of graphgpo.torch.device on NVIDIA GPUs.";
    module.def(
        "search_from_goals",
        [](std::uintptr_t edge_offsets, std::uintptr_t edge_sources, std::uintptr_t edge_costs,
           std::uintptr_t goals, std::uintptr_t node_offsets, std::int32_t num_groups,
           std::uintptr_t distances, std::uintptr_t queued_in, std::uintptr_t frontier,
           std::uintptr_t next_frontier, std::uintptr_t queue_sizes, std::uintptr_t stream) {
            const Search search{
                {at<const std::int32_t>(edge_offsets, "edge_offsets"),
                 at<const StateId>(edge_sources, "edge_sources"),
                 at<const double>(edge_costs, "edge_costs"), at<const StateId>(goals, "goals"),
                 at<const std::int32_t>(node_offsets, "node_offsets")},
                {at<double>(distances, "distances"),
                 at<std::int32_t>(queued_in, "queued_in"),
                 {at<StateId>(frontier, "frontier"), at<StateId>(next_frontier, "next_frontier")},
                 at<std::int32_t>(queue_sizes, "queue_sizes")},
                num_groups};
            const py::gil_scoped_release released;
            search_on_device(search, reinterpret_cast<void*>(stream));
        },
        py::kw_only(), "edge_offsets"_a, "edge_sources"_a, "edge_costs"_a, "goals"_a,
        "node_offsets"_a, "num_groups"_a, "distances"_a, "queued_in"_a, "frontier"_a,
        "next_frontier"_a, "queue_sizes"_a, "stream"_a);
}

}  // namespace graphgpo::cuda
