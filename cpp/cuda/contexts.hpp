// Threads that work on one thing together: what a kernel written once is run by.
//
// A context has `each(begin, end, body)`, which shares indices out among its threads;
// `sync(where)`, after which every thread sees what all wrote before it; and `is_first()`, true of
// one thread.
#pragma once

#include <cstdint>

#include "cuda/portable.hpp"

#ifdef __CUDACC__
#include <cooperative_groups.h>
#else
#include <barrier>
#endif

namespace graphgpo::cuda {

// The barriers of the kernels by name, so that tests can take one away.
enum class Barrier : std::uint8_t { none, seeds, round };

#ifdef __CUDACC__

// The threads of one block.
struct BlockContext {
    template <typename Body>
    __device__ void each(std::int64_t begin, std::int64_t end, const Body& body) const {
        for (std::int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) body(i);
    }
    __device__ void sync(Barrier) const { __syncthreads(); }
    __device__ bool is_first() const { return threadIdx.x == 0; }
};

// All threads of a cooperative launch.
struct GridContext {
    template <typename Body>
    __device__ void each(std::int64_t begin, std::int64_t end, const Body& body) const {
        const std::int64_t thread = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
        const std::int64_t threads = std::int64_t{gridDim.x} * blockDim.x;
        for (std::int64_t i = begin + thread; i < end; i += threads) body(i);
    }
    __device__ void sync(Barrier) const { cooperative_groups::this_grid().sync(); }
    __device__ bool is_first() const { return blockIdx.x == 0 && threadIdx.x == 0; }
};

#else

// Real threads and a real barrier. `dropped` is a barrier that the mutants of the tests leave out.
class ThreadedContext {
  public:
    ThreadedContext(std::barrier<>& barrier, std::int64_t thread, std::int64_t threads,
                    Barrier dropped)
        : barrier_(&barrier), thread_(thread), threads_(threads), dropped_(dropped) {}

    void each(std::int64_t begin, std::int64_t end, const auto& body) const {
        for (std::int64_t i = begin + thread_; i < end; i += threads_) body(i);
    }
    void sync(Barrier where) const {
        if (where != dropped_) barrier_->arrive_and_wait();
    }
    [[nodiscard]] bool is_first() const { return thread_ == 0; }

  private:
    std::barrier<>* barrier_;
    std::int64_t thread_;
    std::int64_t threads_;
    Barrier dropped_;
};

#endif

}  // namespace graphgpo::cuda
