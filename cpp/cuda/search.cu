// The search on a GPU: a block for each small group, then the whole grid for the large ones.
#include <cooperative_groups.h>
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "cuda/search.hpp"

namespace graphgpo::cuda {

namespace {

constexpr int kBlockSize = 256;
constexpr int kGridBlockSize = 1024;           // fewer blocks meet faster at a barrier
constexpr std::int32_t kLargeGroup = 1 << 15;  // edges: beyond, a block would hold up the others

void check(cudaError_t error) {
    if (error == cudaSuccess) return;
    (void)cudaGetLastError();  // not sticky: the next call starts anew
    throw std::runtime_error(std::string("CUDA refused the search: ") + cudaGetErrorName(error) +
                             ": " + cudaGetErrorString(error));
}

__global__ void __launch_bounds__(kBlockSize) small_groups(Search search) {
    const auto group = static_cast<GroupId>(blockIdx.x);
    if (search.num_edges(group) >= kLargeGroup) return;
    const auto sync = [](Barrier) { __syncthreads(); };
    search_from_goals(threadIdx.x, blockDim.x, sync, search, {group, group + 1, 0, group});
}

__global__ void __launch_bounds__(kGridBlockSize) large_groups(Search search) {
    const std::int64_t thread = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    const std::int64_t threads = std::int64_t{gridDim.x} * blockDim.x;
    const auto sync = [](Barrier) { cooperative_groups::this_grid().sync(); };
    search_from_goals(thread, threads, sync, search,
                      {0, search.num_groups, kLargeGroup, search.num_groups});
}

}  // namespace

void search_on_device(Search search, void* stream) {
    if (search.num_groups == 0) return;
    const auto queue = static_cast<cudaStream_t>(stream);
    small_groups<<<search.num_groups, kBlockSize, 0, queue>>>(search);
    check(cudaGetLastError());

    int device = 0;
    int processors = 0;
    check(cudaGetDevice(&device));
    check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
    void* arguments[] = {&search};
    // One block a processor; where others hold processors (MPS, MIG), as many as come in at once.
    for (int grid = processors; grid > 0; grid /= 2) {
        const cudaError_t error = cudaLaunchCooperativeKernel(
            reinterpret_cast<const void*>(&large_groups), dim3(static_cast<unsigned>(grid)),
            dim3(kGridBlockSize), arguments, 0, queue);
        if (error != cudaErrorCooperativeLaunchTooLarge || grid == 1) {
            check(error);
            return;
        }
        (void)cudaGetLastError();
    }
}

}  // namespace graphgpo::cuda
