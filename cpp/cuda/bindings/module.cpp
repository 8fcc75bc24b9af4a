// The method on a device, for Python: addresses in, the GIL released around the call.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/call.hpp"
#include "cuda/pipeline.hpp"
#include "tensors.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

const char* name_of(cuda::Status status) {
    using enum cuda::Status;
    switch (status) {
        case ok:
            return "ok";
        case driver_missing:
            return "driver_missing";
        case no_device:
            return "no_device";
        case unsupported_architecture:
            return "unsupported_architecture";
        case out_of_memory:
            return "out_of_memory";
        case failed:
            break;
    }
    return "failed";
}

[[nodiscard]] cuda::Queue queue_of(int device, std::uintptr_t stream) {
    return {.device = device, .stream = pointer_of(stream)};
}

// (address, dtype, stride in elements).
using GivenColumn = std::optional<std::tuple<std::uintptr_t, std::string, std::int64_t>>;

[[nodiscard]] cuda::Column column_of(const GivenColumn& given) {
    if (!given) return {};
    const auto& [address, dtype, stride] = *given;
    return {.data = pointer_of(address), .type = element_type(dtype), .stride = stride};
}

// Device memory that is given back, on the stream it was taken on, with the object. `keeps` is
// whatever the stream lives by.
class Memory {
  public:
    Memory(std::size_t bytes, int device, std::uintptr_t stream, py::object keeps)
        : queue_(queue_of(device, stream)),
          bytes_(bytes),
          data_(bytes == 0 ? nullptr : cuda::allocate(bytes, queue_)),
          keeps_(std::move(keeps)) {}
    ~Memory() {
        if (data_ != nullptr) cuda::release(data_, queue_);
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    [[nodiscard]] std::uintptr_t pointer() const { return reinterpret_cast<std::uintptr_t>(data_); }
    [[nodiscard]] int device() const { return queue_.device; }

    void read(std::size_t offset, py::array to) const {
        const auto size = checked_size(offset, to);
        void* const destination = to.mutable_data();
        const py::gil_scoped_release release;
        if (size > 0) cuda::copy_to_host(destination, at(offset), size, queue_);
    }
    void write(std::size_t offset, const py::array& from) {
        const auto size = checked_size(offset, from);
        const void* const source = from.data();
        const py::gil_scoped_release release;
        if (size > 0) cuda::copy_to_device(at(offset), source, size, queue_);
    }

  private:
    [[nodiscard]] char* at(std::size_t offset) const { return static_cast<char*>(data_) + offset; }
    [[nodiscard]] std::size_t checked_size(std::size_t offset, const py::array& array) const {
        const auto size = static_cast<std::size_t>(array.nbytes());
        const bool is_contiguous = (array.flags() & py::array::c_style) != 0;
        if (!is_contiguous || offset > bytes_ || size > bytes_ - offset) {
            throw std::invalid_argument("expected a C-contiguous array inside the memory");
        }
        return size;
    }

    cuda::Queue queue_;
    std::size_t bytes_;
    void* data_;
    py::object keeps_;
};

void bind_device(py::module_& module) {
    module.attr("DEVICE_TYPE") = GRAPHGPO_DEVICE_TYPE;

    // Its arguments: the status, the message.
    static const py::handle device_error =
        py::exception<cuda::DeviceError>(module, "DeviceError", PyExc_RuntimeError).release();
    py::register_local_exception_translator([](std::exception_ptr error) {
        try {
            if (error) std::rethrow_exception(std::move(error));
        } catch (const cuda::DeviceError& failure) {
            const py::tuple arguments = py::make_tuple(name_of(failure.status()), failure.what());
            PyErr_SetObject(device_error.ptr(), arguments.ptr());
        }
    });

    module.def(
        "status",
        [](int device) {
            const cuda::DeviceReport report = [&] {
                const py::gil_scoped_release release;
                return cuda::status(device);
            }();
            return std::pair(name_of(report.status), report.reason);
        },
        py::kw_only(), "device"_a);

    module.def(
        "device_of", [](std::uintptr_t pointer) { return cuda::device_of(pointer_of(pointer)); },
        py::kw_only(), "pointer"_a);
    module.def(
        "wait",
        [](int device, std::uintptr_t stream) {
            const py::gil_scoped_release release;
            cuda::wait(queue_of(device, stream));
        },
        py::kw_only(), "device"_a, "stream"_a);

    py::class_<Memory>(module, "Memory", py::is_final(),
                       py::metaclass(reinterpret_cast<PyObject*>(&PyType_Type)),
                       "Device memory, given back with the object.")
        .def(py::init<std::size_t, int, std::uintptr_t, py::object>(), py::kw_only(), "bytes"_a,
             "device"_a, "stream"_a, "keeps"_a)
        .def_property_readonly("pointer", &Memory::pointer)
        .def_property_readonly("device", &Memory::device)
        .def("read", &Memory::read, py::kw_only(), "offset"_a, "to"_a)
        .def("write", &Memory::write, py::kw_only(), "offset"_a, "array"_a);
}

void bind_compute_advantages(py::module_& module) {
    module.def(
        "compute_advantages",
        [](std::int64_t num_rows, const GivenColumn& state_keys, const GivenColumn& next_state_keys,
           const GivenColumn& next_state_known, const GivenColumn& group_ids,
           const GivenColumn& trajectory_ids, const GivenColumn& success,
           const GivenColumn& step_ids, const GivenColumn& rewards,
           const GivenColumn& episode_returns, const GivenColumn& edge_costs,
           const GivenColumn& action_valid, const GivenColumn& mask, std::string_view estimator,
           double omega, double success_reward, std::string_view exponent,
           std::string_view normalization, double epsilon, std::string_view epsilon_scale,
           double step_weight, double episode_weight, std::string_view episode_weighting,
           double invalid_action_penalty, double gamma, std::uintptr_t advantages,
           std::uintptr_t step_advantages, std::uintptr_t episode_advantages,
           std::uintptr_t edge_returns, std::uintptr_t distances, std::uintptr_t next_distances,
           std::uintptr_t state_ids, std::uintptr_t next_state_ids, int device,
           std::uintptr_t stream) {
            const cuda::DeviceBatch batch{.num_rows = num_rows,
                                          .state_keys = column_of(state_keys),
                                          .next_state_keys = column_of(next_state_keys),
                                          .next_state_known = column_of(next_state_known),
                                          .group_ids = column_of(group_ids),
                                          .trajectory_ids = column_of(trajectory_ids),
                                          .success = column_of(success),
                                          .step_ids = column_of(step_ids),
                                          .rewards = column_of(rewards),
                                          .episode_returns = column_of(episode_returns),
                                          .edge_costs = column_of(edge_costs),
                                          .action_valid = column_of(action_valid),
                                          .mask = column_of(mask)};
            const Options options = read_options(
                estimator, omega, success_reward, exponent, normalization, epsilon, epsilon_scale,
                step_weight, episode_weight, episode_weighting, invalid_action_penalty, gamma);
            const cuda::DeviceAdvantages results{
                .advantages = static_cast<float*>(pointer_of(advantages)),
                .step_advantages = static_cast<float*>(pointer_of(step_advantages)),
                .episode_advantages = static_cast<float*>(pointer_of(episode_advantages)),
                .edge_returns = static_cast<double*>(pointer_of(edge_returns)),
                .distances = static_cast<double*>(pointer_of(distances)),
                .next_distances = static_cast<double*>(pointer_of(next_distances)),
                .state_ids = static_cast<std::int64_t*>(pointer_of(state_ids)),
                .next_state_ids = static_cast<std::int64_t*>(pointer_of(next_state_ids))};
            const cuda::RunReport report = [&] {
                const py::gil_scoped_release release;
                return cuda::compute_advantages(batch, options, results, queue_of(device, stream));
            }();
            return py::dict("metrics"_a = metrics_dict(report.metrics),
                            "workspace_bytes"_a = report.workspace_bytes,
                            "launches"_a = report.launches,
                            "synchronisations"_a = report.synchronisations);
        },
        py::kw_only(), "num_rows"_a, "state_keys"_a.none(true), "next_state_keys"_a.none(true),
        "next_state_known"_a.none(true), "group_ids"_a.none(true), "trajectory_ids"_a.none(true),
        "success"_a.none(true), "step_ids"_a.none(true), "rewards"_a.none(true),
        "episode_returns"_a.none(true), "edge_costs"_a.none(true), "action_valid"_a.none(true),
        "mask"_a.none(true), "estimator"_a, "omega"_a, "success_reward"_a, "exponent"_a,
        "normalization"_a, "epsilon"_a, "epsilon_scale"_a, "step_weight"_a, "episode_weight"_a,
        "episode_weighting"_a, "invalid_action_penalty"_a, "gamma"_a, "advantages"_a,
        "step_advantages"_a, "episode_advantages"_a, "edge_returns"_a, "distances"_a,
        "next_distances"_a, "state_ids"_a, "next_state_ids"_a, "device"_a, "stream"_a);
}

void bind_state_keys(py::module_& module) {
    module.def(
        "state_keys",
        [](std::uintptr_t pointer, std::string_view dtype, std::int64_t num_rows,
           const std::vector<std::int64_t>& row_shape, std::uintptr_t keys, int device,
           std::uintptr_t stream) {
            const cuda::DeviceRows rows{.data = pointer_of(pointer),
                                        .type = element_type(dtype),
                                        .num_rows = num_rows,
                                        .row_shape = row_shape};
            const py::gil_scoped_release release;
            cuda::state_keys(rows, static_cast<std::int64_t*>(pointer_of(keys)),
                             queue_of(device, stream));
        },
        py::kw_only(), "pointer"_a, "dtype"_a, "num_rows"_a, "row_shape"_a, "keys"_a, "device"_a,
        "stream"_a);
}

}  // namespace

}  // namespace graphgpo::bindings

PYBIND11_MODULE(GRAPHGPO_MODULE, module) {
    namespace bindings = graphgpo::bindings;
    module.doc() = "The method on a device. Private: use the functions of graphgpo.cuda.";
    bindings::bind_device(module);              // status, memory, errors
    bindings::bind_tensors(module);             // DLPack, both ways
    bindings::bind_compute_advantages(module);  // columns to credit
    bindings::bind_state_keys(module);          // rows to keys
}
