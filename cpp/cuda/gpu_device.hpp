// A GPU: memory, copies and launches on one stream.
#pragma once

#include <cuda_runtime.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/scan.h>
#include <thrust/sort.h>
#include <thrust/system/cuda/execution_policy.h>
#include <thrust/system_error.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "cuda/contexts.hpp"
#include "cuda/pipeline.hpp"
#include "cuda/search.hpp"

namespace graphgpo::cuda {

[[nodiscard]] inline Status status_of(cudaError_t error) {
    switch (error) {
        case cudaSuccess:
            return Status::ok;
        case cudaErrorInsufficientDriver:
        case cudaErrorStubLibrary:
        case cudaErrorSystemDriverMismatch:
        case cudaErrorCompatNotSupportedOnDevice:
            return Status::driver_missing;
        case cudaErrorNoDevice:
        case cudaErrorInvalidDevice:
        case cudaErrorDevicesUnavailable:
            return Status::no_device;
        case cudaErrorNoKernelImageForDevice:
        case cudaErrorInvalidDeviceFunction:
        case cudaErrorUnsupportedPtxVersion:
        case cudaErrorInvalidPtx:
        case cudaErrorJitCompilerNotFound:
            return Status::unsupported_architecture;
        case cudaErrorMemoryAllocation:
            return Status::out_of_memory;
        default:
            return Status::failed;
    }
}

inline void check(cudaError_t error) {
    if (error == cudaSuccess) return;
    (void)cudaGetLastError();  // an error that is not sticky must not be reported twice
    throw DeviceError(status_of(error),
                      std::string(cudaGetErrorName(error)) + ": " + cudaGetErrorString(error));
}

[[nodiscard]] inline DeviceError device_error(const thrust::system_error& error) {
    (void)cudaGetLastError();
    return {status_of(static_cast<cudaError_t>(error.code().value())), error.what()};
}

// The calling thread's device, until the end of a scope. One that is current already is left alone:
// to set it, even to what it is, would initialise it.
class CurrentDevice {
  public:
    explicit CurrentDevice(int device) {
        check(cudaGetDevice(&before_));
        is_other_ = device != before_;
        if (is_other_) check(cudaSetDevice(device));
    }
    ~CurrentDevice() {
        if (is_other_) (void)cudaSetDevice(before_);
    }
    CurrentDevice(const CurrentDevice&) = delete;
    CurrentDevice& operator=(const CurrentDevice&) = delete;

  private:
    int before_ = 0;
    bool is_other_ = false;
};

// Workspace comes from a pool of the library's own, one per device, made at the first use and never
// unmade. It keeps this much between calls, which saves batches of up to a million rows from asking
// the driver; what is beyond goes back at the next wait.
inline constexpr std::uint64_t kept_bytes = std::uint64_t{256} << 20;

[[nodiscard]] inline cudaMemPool_t pool_of(int device) {
    static std::mutex mutex;
    static std::map<int, cudaMemPool_t> pools;
    const std::lock_guard lock(mutex);
    const auto known = pools.find(device);
    if (known != pools.end()) return known->second;
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location = {cudaMemLocationTypeDevice, device};
    cudaMemPool_t pool = nullptr;
    check(cudaMemPoolCreate(&pool, &properties));
    std::uint64_t threshold = kept_bytes;
    check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold));
    return pools.emplace(device, pool).first->second;
}

inline constexpr int block_size = 256;

template <typename Body>
__global__ void __launch_bounds__(block_size) each_kernel(std::int64_t size, Body body) {
    const std::int64_t thread = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    const std::int64_t threads = std::int64_t{gridDim.x} * blockDim.x;
    for (std::int64_t i = thread; i < size; i += threads) body(i);
}

// A block per group.
__global__ void __launch_bounds__(block_size)
    small_search_kernel(SearchGraph graph, SearchMemory memory, std::int64_t num_groups,
                        std::int32_t most_edges) {
    for (std::int64_t g = blockIdx.x; g < num_groups; g += gridDim.x) {
        const auto group = static_cast<GroupId>(g);
        if (graph.num_edges(group) > most_edges) continue;
        search_from_goals(BlockContext(), graph, memory, {group, group + 1, 0},
                          graph.node_offsets[group], memory.queue_sizes + 3 * g);
    }
}

// The whole grid for the large groups; launched cooperatively.
__global__ void __launch_bounds__(block_size)
    large_search_kernel(SearchGraph graph, SearchMemory memory, SearchedGroups groups,
                        std::int32_t* queue_sizes) {
    search_from_goals(GridContext(), graph, memory, groups, 0, queue_sizes);
}

class DeviceBase {
  public:
    DeviceBase(const Queue& queue, std::size_t /*threads*/)
        : current_(queue.device),
          device_(queue.device),
          stream_(static_cast<cudaStream_t>(queue.stream)),
          pool_(pool_of(queue.device)) {}

    [[nodiscard]] void* allocate(std::size_t bytes) const {
        void* memory = nullptr;
        check(cudaMallocFromPoolAsync(&memory, bytes, pool_, stream_));
        return memory;
    }
    void release(void* memory) const noexcept { (void)cudaFreeAsync(memory, stream_); }
    void copy_to_host(void* to, const void* from, std::size_t bytes) const {
        check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_));
        wait();
    }
    void copy_to_device(void* to, const void* from, std::size_t bytes) const {
        check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_));
        wait();
    }
    void wait() const { check(cudaStreamSynchronize(stream_)); }

    template <typename Body>
    void launch_each(std::int64_t size, const Body& body) const {
        constexpr std::int64_t most_blocks = 1 << 16;
        const auto blocks = std::min((size + block_size - 1) / block_size, most_blocks);
        each_kernel<<<static_cast<unsigned>(blocks), block_size, 0, stream_>>>(size, body);
        check(cudaGetLastError());
    }

    void launch_small_searches(const SearchGraph& graph, const SearchMemory& memory,
                               std::int64_t num_groups, std::int32_t most_edges) const {
        constexpr std::int64_t most_blocks = 1 << 16;
        const auto blocks = static_cast<unsigned>(std::min(num_groups, most_blocks));
        small_search_kernel<<<blocks, block_size, 0, stream_>>>(graph, memory, num_groups,
                                                                most_edges);
        check(cudaGetLastError());
    }

    void launch_large_search(SearchGraph graph, SearchMemory memory, std::int64_t num_groups,
                             std::int32_t fewest_edges) const {
        int blocks_per_processor = 0;
        int processors = 0;
        check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks_per_processor,
                                                            large_search_kernel, block_size, 0));
        check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device_));
        SearchedGroups groups{0, static_cast<GroupId>(num_groups), fewest_edges};
        std::int32_t* queue_sizes = memory.queue_sizes + 3 * num_groups;
        void* arguments[] = {&graph, &memory, &groups, &queue_sizes};
        check(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(&large_search_kernel),
                                          dim3(blocks_per_processor * processors), dim3(block_size),
                                          arguments, 0, stream_));
    }

  protected:
    [[nodiscard]] auto policy(auto& allocator) const {
        return thrust::cuda::par_nosync(allocator).on(stream_);
    }

  private:
    CurrentDevice current_;
    int device_;
    cudaStream_t stream_;
    cudaMemPool_t pool_;
};

}  // namespace graphgpo::cuda
