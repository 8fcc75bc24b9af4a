// The search on a GPU: a block for each small group, then the whole grid for the large ones.
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "cuda/search.hpp"

namespace graphgpo::cuda {

namespace {

constexpr int kBlockSize = 256;
constexpr int kGridBlockSize = 1024;           // fewer blocks meet faster at a barrier
constexpr std::int32_t kLargeGroup = 1 << 15;  // edges: beyond, a block would hold up the others
constexpr std::int32_t kMostBlocks = 1 << 16;

void check(cudaError_t error) {
    if (error == cudaSuccess) return;
    (void)cudaGetLastError();  // not sticky: the next call starts anew
    throw std::runtime_error(std::string("CUDA refused the search: ") + cudaGetErrorName(error) +
                             ": " + cudaGetErrorString(error));
}

__global__ void __launch_bounds__(kBlockSize) small_groups(Search search) {
    const auto& [graph, memory, num_groups] = search;
    for (std::int64_t g = blockIdx.x; g < num_groups; g += gridDim.x) {
        if (graph.num_edges(g) >= kLargeGroup) continue;
        const auto group = static_cast<GroupId>(g);
        search_from_goals(BlockContext(), graph, memory, {group, group + 1, 0},
                          graph.node_offsets[g], memory.queue_sizes + 3 * g);
    }
}

__global__ void __launch_bounds__(kGridBlockSize) large_groups(Search search) {
    search_from_goals(GridContext(), search.graph, search.memory,
                      {0, static_cast<GroupId>(search.num_groups), kLargeGroup}, 0,
                      search.memory.queue_sizes + 3 * std::int64_t{search.num_groups});
}

}  // namespace

void search_on_device(const Search& search, void* stream) {
    if (search.num_groups == 0) return;
    const auto queue = static_cast<cudaStream_t>(stream);
    const int blocks = search.num_groups < kMostBlocks ? search.num_groups : kMostBlocks;
    small_groups<<<blocks, kBlockSize, 0, queue>>>(search);
    check(cudaGetLastError());

    int device = 0;
    int processors = 0;
    check(cudaGetDevice(&device));
    check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
    Search copy = search;
    void* arguments[] = {&copy};
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
