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

// Of doubles that are not negative, which are ordered as their bits are: the value before. A read
// first: an offer that is no better, as most are, does not queue.
GRAPHGPO_HD inline double atomic_min(double& held, double value) {
    const Atomic<double> at(held);
    double seen = at.load(relaxed);
    if (!(value < seen)) return seen;
#ifdef __CUDA_ARCH__
    return __longlong_as_double(static_cast<long long>(
        atomicMin(reinterpret_cast<unsigned long long*>(&held),
                  static_cast<unsigned long long>(__double_as_longlong(value)))));
#else
    while (value < seen && !at.compare_exchange_weak(seen, value, relaxed)) {
    }
    return seen;
#endif
}

}  // namespace graphgpo::cuda
