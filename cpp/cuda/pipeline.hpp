// The method of `graphgpo/pipeline.hpp` on a device: columns in device memory in, credit in device
// memory out. Plain C++: no CUDA type is named here, so whoever calls needs no CUDA compiler.
//
// The same source is built twice: by nvcc for a GPU (`graphgpo_cuda`), and by the C++ compiler for
// tests (`graphgpo_cuda_on_cpu`), where "device memory" is the host's, there are no streams, and
// `Options::num_threads` threads play the device's (1: one after the other).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

#include "graphgpo/metrics.hpp"
#include "graphgpo/options.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo::cuda {

// Why a device cannot be used; `ok` where it can.
enum class Status : std::uint8_t {
    ok,
    driver_missing,            // no driver, or one older than the runtime this was built with
    no_device,                 // a driver, and nothing to drive (or hidden: CUDA_VISIBLE_DEVICES)
    unsupported_architecture,  // built for other GPUs than this one
    out_of_memory,
    failed,  // anything else the runtime reports
};

struct DeviceReport {
    Status status;
    std::string reason;  // for people; names the device where there is one
};

// Of device `device`, without running anything on it.
[[nodiscard]] DeviceReport status(int device);

class DeviceError : public std::runtime_error {
  public:
    DeviceError(Status status, const std::string& message)
        : std::runtime_error(message), status_(status) {}
    [[nodiscard]] Status status() const noexcept { return status_; }

  private:
    Status status_;
};

enum class ElementType : std::uint8_t {
    none,  // there is no column
    boolean,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
    float16,
    bfloat16,
    float32,
    float64,
};

// One value per row, in device memory.
struct Column {
    const void* data = nullptr;
    ElementType type = ElementType::none;
    std::int64_t stride = 1;  // in elements

    [[nodiscard]] bool is_given() const noexcept { return type != ElementType::none; }
};

// `graphgpo::Batch` in device memory. Ids, keys and step ids are integers; flags are bools, or
// numbers that are exactly 0 or 1; the others are of any type. Anything that is not int64, float64
// or bool with stride 1 is widened into the workspace first.
struct DeviceBatch {
    std::int64_t num_rows = 0;
    Column state_keys = {};
    Column next_state_keys = {};
    Column next_state_known = {};  // 0: null, on a trajectory's last step only; not given: all are
    Column group_ids = {};
    Column trajectory_ids = {};
    Column success = {};
    Column step_ids = {};
    Column rewards = {};
    Column episode_returns = {};
    Column edge_costs = {};
    Column action_valid = {};
    Column mask = {};
};

// `graphgpo::AdvantageColumns` in device memory, `num_rows` values each. Ids are numbered as there.
struct DeviceAdvantages {
    float* advantages = nullptr;
    float* step_advantages = nullptr;
    float* episode_advantages = nullptr;
    double* edge_returns = nullptr;
    double* distances = nullptr;
    double* next_distances = nullptr;
    std::int64_t* state_ids = nullptr;
    std::int64_t* next_state_ids = nullptr;
};

// Where to run: work goes to the stream, in its order, and to no other.
struct Queue {
    int device = 0;
    void* stream = nullptr;  // a cudaStream_t; null: the legacy default stream
};

struct RunReport {
    Metrics metrics;
    std::size_t workspace_bytes = 0;    // the most that was held at once
    std::int64_t launches = 0;          // of own kernels, sorts and scans
    std::int64_t synchronisations = 0;  // waits for the stream
};

// Two nodes a row have to fit 32 bits; at 174 bytes a row or more no device has memory for more
// rows.
inline constexpr std::int64_t max_device_rows = std::int64_t{1} << 30;

// At most this much workspace is held at once, temporary storage of sorts included.
inline constexpr std::size_t workspace_bytes_per_row = 256;
inline constexpr std::size_t workspace_bytes_fixed = std::size_t{16} << 20;

// Results have the same integers as `graphgpo::compute_advantages` and floats within 1e-6 of its,
// and do not depend on how the device schedules its threads.
//
// Waits for the stream three times: for the sizes of the batch, for the number of its states, and
// for the metrics, after which all columns are written. Workspace is stream-ordered and goes back
// to a pool of the library's own.
//
// Of an empty batch nothing is read or written: pointers may be null.
//
// Throws what `graphgpo::compute_advantages` throws, with the same text: the device notices that
// something is wrong with a batch, then the columns are copied to the host and the core says what.
// Throws `DeviceError` for what is wrong with the device.
[[nodiscard]] RunReport compute_advantages(const DeviceBatch& batch, const Options& options,
                                           const DeviceAdvantages& results, const Queue& queue);

// An (N, ...) array in device memory, C-contiguous: row i is a state.
struct DeviceRows {
    const void* data = nullptr;
    ElementType type = ElementType::float32;
    std::int64_t num_rows = 0;
    std::span<const std::int64_t> row_shape;  // axes after the first
};

// The stable key of every row, bit for bit that of `graphgpo::stable_key`: -0.0 is hashed as 0.0.
// Throws `RowError` for a row with a NaN. `type` is not bfloat16, which NumPy lacks.
void state_keys(const DeviceRows& rows, std::int64_t* keys, const Queue& queue);

// Device memory for results, and copies of it: what a caller without a tensor library needs.
[[nodiscard]] void* allocate(std::size_t bytes, const Queue& queue);
void release(void* memory, const Queue& queue) noexcept;
void copy_to_host(void* to, const void* from, std::size_t bytes, const Queue& queue);
void copy_to_device(void* to, const void* from, std::size_t bytes, const Queue& queue);
void wait(const Queue& queue);

// The device whose memory this is. Throws `DeviceError` for the host's.
[[nodiscard]] int device_of(const void* memory);

}  // namespace graphgpo::cuda
