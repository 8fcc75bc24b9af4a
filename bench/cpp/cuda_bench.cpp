// The device pipeline beside the CPU's, by batch size. Built with nvcc's library it measures a GPU;
// built with the one that plays a device on the CPU it has no device time to show, and only prints
// what a GPU is expected to take.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "cuda/pipeline.hpp"
#include "cuda_model.hpp"
#include "graphgpo/pipeline.hpp"
#include "shapes.hpp"

#ifdef GRAPHGPO_BENCH_GPU
#include <cuda_runtime_api.h>
#endif

namespace graphgpo::bench {
namespace {

constexpr bool has_gpu =
#ifdef GRAPHGPO_BENCH_GPU
    true;
#else
    false;
#endif

// Bytes per second of the device's memory, as its attributes give it; 0: they do not.
double peak_bytes_per_second() {
#ifdef GRAPHGPO_BENCH_GPU
    int kilohertz = 0;
    int bits = 0;
    if (cudaDeviceGetAttribute(&kilohertz, cudaDevAttrMemoryClockRate, 0) == cudaSuccess &&
        cudaDeviceGetAttribute(&bits, cudaDevAttrGlobalMemoryBusWidth, 0) == cudaSuccess) {
        return 2.0 * kilohertz * 1e3 * bits / 8;  // double data rate
    }
#endif
    return 0;
}

// A column's copy on the device.
class DeviceArray {
  public:
    explicit DeviceArray(std::size_t bytes) : memory_(cuda::allocate(bytes, {})) {}
    DeviceArray(const void* values, std::size_t bytes) : DeviceArray(bytes) {
        cuda::copy_to_device(memory_, values, bytes, {});
    }
    ~DeviceArray() { cuda::release(memory_, {}); }
    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;

    [[nodiscard]] void* data() const { return memory_; }
    template <typename T>
    [[nodiscard]] std::vector<T> on_host(std::size_t size) const {
        std::vector<T> values(size);
        cuda::copy_to_host(values.data(), memory_, size * sizeof(T), {});
        return values;
    }

  private:
    void* memory_;
};

double wall_clock() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
}

// Of the process: a busy machine does not change it.
double processor_clock() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// Median of the seconds that calls take: at least three, for at least half a second.
double seconds_of(double (*clock)(), auto&& call) {
    call();
    std::vector<double> times;
    const double begin = wall_clock();
    while (times.size() < 3 || wall_clock() - begin < 0.5) {
        const double start = clock();
        call();
        times.push_back(clock() - start);
    }
    std::ranges::nth_element(times, times.begin() + std::ssize(times) / 2);
    return times[times.size() / 2];
}

bool agree(const std::vector<float>& advantages, const std::vector<std::int64_t>& state_ids,
           const StepAdvantages& expected) {
    for (std::size_t row = 0; row < advantages.size(); ++row) {
        const float difference = std::abs(advantages[row] - expected.advantages[row]);
        if (!(difference <= 1e-6F * std::max(1.0F, std::abs(expected.advantages[row]))))
            return false;
    }
    return state_ids == expected.state_ids;
}

// A line of the table; whether the device's answer is the core's.
bool measure(std::size_t groups, std::size_t all_threads) {
    const Walk walk{.groups = groups, .text_bytes = 8};
    const Workload workload(walk);
    const std::size_t rows = workload.num_steps();
    const Batch batch = workload.integer_batch();
    StepAdvantages expected = compute_advantages(batch, paper_options());
    const AdvantageColumns columns{.advantages = expected.advantages,
                                   .step_advantages = expected.step_advantages,
                                   .episode_advantages = expected.episode_advantages,
                                   .edge_returns = expected.edge_returns,
                                   .distances = expected.distances,
                                   .next_distances = expected.next_distances,
                                   .state_ids = expected.state_ids,
                                   .next_state_ids = expected.next_state_ids};
    const auto call_with = [&](std::size_t threads) {
        return [&, threads] { (void)compute_advantages(batch, paper_options(threads), columns); };
    };
    const double one_thread = seconds_of(processor_clock, call_with(1));

    const DeviceArray keys(workload.codes.data(), rows * 8);
    const DeviceArray group_ids(workload.group_ids.data(), rows * 8);
    const DeviceArray trajectory_ids(workload.trajectory_ids.data(), rows * 8);
    const DeviceArray success(workload.success.data(), rows);
    const DeviceArray singles(rows * 3 * 4);
    const DeviceArray doubles(rows * 3 * 8);
    const DeviceArray ids(rows * 2 * 8);
    using cuda::ElementType;
    const cuda::DeviceBatch device_batch{
        .num_rows = static_cast<std::int64_t>(rows),
        .state_keys = {.data = keys.data(), .type = ElementType::int64},
        .group_ids = {.data = group_ids.data(), .type = ElementType::int64},
        .trajectory_ids = {.data = trajectory_ids.data(), .type = ElementType::int64},
        .success = {.data = success.data(), .type = ElementType::boolean}};
    auto* const single = static_cast<float*>(singles.data());
    auto* const real = static_cast<double*>(doubles.data());
    auto* const id = static_cast<std::int64_t*>(ids.data());
    const cuda::DeviceAdvantages results{.advantages = single,
                                         .step_advantages = single + rows,
                                         .episode_advantages = single + 2 * rows,
                                         .edge_returns = real,
                                         .distances = real + rows,
                                         .next_distances = real + 2 * rows,
                                         .state_ids = id,
                                         .next_state_ids = id + rows};
    const auto on_device = [&] {
        return cuda::compute_advantages(device_batch, paper_options(), results, {});
    };
    const cuda::RunReport report = on_device();
    if (!agree(singles.on_host<float>(rows), ids.on_host<std::int64_t>(rows), expected)) {
        std::printf("WRONG ANSWER at %zu rows\n", rows);
        return false;
    }

    double nodes = 0;
    double rounds = 0;
    for (const auto& [name, value] : report.metrics) {
        if (name == "graphgpo/num_states") nodes = value;
        if (name == "graphgpo/max_distance") rounds = value + 1;
    }
    const double bytes = traffic(static_cast<double>(rows), nodes);
    const double expected_h100 = expected_seconds(
        h100, static_cast<double>(rows), nodes, static_cast<double>(report.launches),
        static_cast<double>(report.synchronisations), rounds);
    std::printf("| %zu | %zu | %.3f | %.0f | %.0f | %.2f | %.1f |", rows, groups, 1e3 * one_thread,
                1e9 * one_thread / static_cast<double>(rows), bytes / 1e6, 1e3 * expected_h100,
                one_thread / expected_h100);
    if (has_gpu) {
        const double all = seconds_of(wall_clock, call_with(all_threads));
        const double seconds = seconds_of(wall_clock, [&] { (void)on_device(); });
        const double peak = peak_bytes_per_second();
        std::printf(" %.3f | %.3f | %.0f | %.0f | %.1f | %.1f |", 1e3 * all, 1e3 * seconds,
                    bytes / seconds / 1e9, peak == 0 ? 0 : 100 * bytes / seconds / peak,
                    one_thread / seconds, all / seconds);
    }
    std::printf("\n");
    std::fflush(stdout);
    return true;
}

int run(std::size_t most_groups) {
    const cuda::DeviceReport device = cuda::status(0);
    if (device.status != cuda::Status::ok) {
        std::fprintf(stderr, "no device to measure: %s\n", device.reason.c_str());
        return 1;
    }
    const std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
    if (has_gpu) {
        std::printf("Measured on %s, peak %.0f GB/s.\n", device.reason.c_str(),
                    peak_bytes_per_second() / 1e9);
    }
    std::printf("MB moved and the time on an %s are computed, not measured.\n\n", h100.name);
    std::printf(
        "| rows | groups | CPU, 1 thread, ms | ns a row | MB moved, computed | "
        "%s, computed, ms | times faster, computed |",
        h100.name);
    if (has_gpu) {
        std::printf(
            " CPU, %zu threads, ms | device, ms | GB/s | %% of peak | x 1 thread | "
            "x %zu threads |",
            threads, threads);
    }
    std::printf("\n|---|---|---|---|---|---|---|%s\n", has_gpu ? "---|---|---|---|---|---|" : "");
    bool all_agree = true;
    for (std::size_t groups = 1; groups <= most_groups; groups *= 4) {
        all_agree = measure(groups, threads) && all_agree;
    }
    return all_agree ? 0 : 1;
}

}  // namespace
}  // namespace graphgpo::bench

int main(int argc, char** argv) {
    // Groups of the largest batch, of about 180 rows each.
    const std::size_t most_groups = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 16384;
    try {
        return graphgpo::bench::run(most_groups);
    } catch (const graphgpo::cuda::DeviceError& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
