// What lets one source be compiled by nvcc for a GPU and by the C++ compiler for the tests: a
// marker for functions, and atomics of memory that both sides see as plain arrays.
#pragma once

#ifdef __CUDACC__
#include <cuda/atomic>
#define GRAPHGPO_HD __host__ __device__
#else
#include <atomic>
#define GRAPHGPO_HD
#endif

namespace graphgpo::cuda {

// Relaxed: order between threads comes from barriers.
#ifdef __CUDACC__
template <typename T>
using Atomic = ::cuda::atomic_ref<T, ::cuda::thread_scope_device>;
constexpr auto relaxed = ::cuda::memory_order_relaxed;
#else
template <typename T>
using Atomic = std::atomic_ref<T>;
constexpr auto relaxed = std::memory_order_relaxed;
#endif

// Of doubles: the value before. An offer that is no better, as most are, only reads.
GRAPHGPO_HD inline double atomic_min(double& held, double value) {
    const Atomic<double> at(held);
    double seen = at.load(relaxed);
    while (value < seen && !at.compare_exchange_weak(seen, value, relaxed)) {
    }
    return seen;
}

}  // namespace graphgpo::cuda
