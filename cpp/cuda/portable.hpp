// What lets one source be compiled by nvcc for a GPU and by the C++ compiler for the tests: a
// marker for functions, and atomics of memory that both sides see as plain arrays.
#pragma once

#include <atomic>
#include <cstdint>

#ifdef __CUDACC__
#define GRAPHGPO_HD __host__ __device__
#else
#define GRAPHGPO_HD
#endif

namespace graphgpo::cuda {

// Atomics are relaxed: order between threads comes from barriers. All give the value before.

template <typename T>
GRAPHGPO_HD T atomic_load(const T* at) {
#ifdef __CUDA_ARCH__
    return *static_cast<const volatile T*>(at);
#else
    return std::atomic_ref<T>(*const_cast<T*>(at)).load(std::memory_order_relaxed);
#endif
}

template <typename T>
GRAPHGPO_HD void atomic_store(T* at, T value) {
#ifdef __CUDA_ARCH__
    *static_cast<volatile T*>(at) = value;
#else
    std::atomic_ref<T>(*at).store(value, std::memory_order_relaxed);
#endif
}

GRAPHGPO_HD inline std::int32_t atomic_add(std::int32_t* at, std::int32_t value) {
#ifdef __CUDA_ARCH__
    return atomicAdd(at, value);
#else
    return std::atomic_ref(*at).fetch_add(value, std::memory_order_relaxed);
#endif
}

GRAPHGPO_HD inline std::int32_t atomic_exchange(std::int32_t* at, std::int32_t value) {
#ifdef __CUDA_ARCH__
    return atomicExch(at, value);
#else
    return std::atomic_ref(*at).exchange(value, std::memory_order_relaxed);
#endif
}

// Of doubles that are not negative, which are ordered as their bits are. A read first: an offer
// that is no better, as most are, does not queue.
GRAPHGPO_HD inline double atomic_min(double* at, double value) {
    double seen = atomic_load(at);
    if (!(value < seen)) return seen;
#ifdef __CUDA_ARCH__
    return __longlong_as_double(static_cast<long long>(
        atomicMin(reinterpret_cast<unsigned long long*>(at),
                  static_cast<unsigned long long>(__double_as_longlong(value)))));
#else
    const std::atomic_ref<double> held(*at);
    while (value < seen && !held.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
    }
    return seen;
#endif
}

}  // namespace graphgpo::cuda
