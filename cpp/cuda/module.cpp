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

// The array at one of the addresses.
template <typename T>
T* at(const py::kwargs& addresses, const char* name) {
    const auto address = addresses[name].cast<std::uintptr_t>();
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
        [](std::int32_t num_groups, std::uintptr_t stream, const py::kwargs& addresses) {
            const Search search{
                num_groups,
                at<const std::int32_t>(addresses, "node_offsets"),
                at<const std::int32_t>(addresses, "edge_offsets"),
                at<const StateId>(addresses, "edge_sources"),
                at<const double>(addresses, "edge_costs"),
                at<const StateId>(addresses, "goals"),
                at<double>(addresses, "distances"),
                at<std::int32_t>(addresses, "queued_in"),
                {at<StateId>(addresses, "frontier"), at<StateId>(addresses, "next_frontier")},
                at<std::int32_t>(addresses, "queue_sizes")};
            const py::gil_scoped_release released;
            search_on_device(search, reinterpret_cast<void*>(stream));
        },
        py::kw_only(), "num_groups"_a, "stream"_a);
}

}  // namespace graphgpo::cuda
