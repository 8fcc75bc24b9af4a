// What lets one source be compiled by nvcc for a GPU and by the C++ compiler for the tests: markers
// for functions and lambdas, and atomics of memory that both sides see as plain arrays.
#pragma once

#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#ifdef __CUDACC__
#define GRAPHGPO_HD __host__ __device__
#define GRAPHGPO_GPU \
    __device__  // of a lambda that Device::each runs; it captures pointers and numbers
#else
#define GRAPHGPO_HD
#define GRAPHGPO_GPU
#endif

namespace graphgpo::cuda {

// Atomics are relaxed: order between threads comes from barriers and from one launch following
// another. All give the value before.

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

GRAPHGPO_HD inline std::int64_t atomic_add(std::int64_t* at, std::int64_t value) {
#ifdef __CUDA_ARCH__
    // Two's complement: unsigned addition is the same.
    return static_cast<std::int64_t>(atomicAdd(reinterpret_cast<unsigned long long*>(at),
                                               static_cast<unsigned long long>(value)));
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

GRAPHGPO_HD inline void atomic_or(std::uint32_t* at, std::uint32_t bits) {
#ifdef __CUDA_ARCH__
    atomicOr(at, bits);
#else
    std::atomic_ref(*at).fetch_or(bits, std::memory_order_relaxed);
#endif
}

#ifndef __CUDA_ARCH__
template <typename T>
T atomic_replace_if(T* at, T value, auto&& is_better) {
    const std::atomic_ref<T> held(*at);
    T before = held.load(std::memory_order_relaxed);
    while (is_better(value, before) &&
           !held.compare_exchange_weak(before, value, std::memory_order_relaxed)) {
    }
    return before;
}
#endif

// A read first: where many rows share one extreme, most leave it as it is, and reads do not queue.
template <typename T>
GRAPHGPO_HD T atomic_min(T* at, T value) {
    const T seen = atomic_load(at);
    if (!(value < seen)) return seen;
#ifdef __CUDA_ARCH__
    return atomicMin(at, value);
#else
    return atomic_replace_if(at, value, [](T a, T b) { return a < b; });
#endif
}

// Doubles that are not negative are ordered as their bits are.
template <>
GRAPHGPO_HD inline double atomic_min(double* at, double value) {
    const double seen = atomic_load(at);
    if (!(value < seen)) return seen;
#ifdef __CUDA_ARCH__
    return __longlong_as_double(static_cast<long long>(
        atomicMin(reinterpret_cast<unsigned long long*>(at),
                  static_cast<unsigned long long>(__double_as_longlong(value)))));
#else
    return atomic_replace_if(at, value, [](double a, double b) { return a < b; });
#endif
}

GRAPHGPO_HD inline void atomic_max(double* at, double value) {
    if (!(atomic_load(at) < value)) return;
#ifdef __CUDA_ARCH__
    atomicMax(reinterpret_cast<unsigned long long*>(at),
              static_cast<unsigned long long>(__double_as_longlong(value)));
#else
    atomic_replace_if(at, value, [](double a, double b) { return a > b; });
#endif
}

GRAPHGPO_HD inline void atomic_max(std::int32_t* at, std::int32_t value) {
    if (!(atomic_load(at) < value)) return;
#ifdef __CUDA_ARCH__
    atomicMax(at, value);
#else
    atomic_replace_if(at, value, [](std::int32_t a, std::int32_t b) { return a > b; });
#endif
}

inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double largest_double = std::numeric_limits<double>::max();
inline constexpr float largest_float = std::numeric_limits<float>::max();

GRAPHGPO_HD inline bool is_finite(double value) {
    return value <= largest_double && value >= -largest_double;
}
GRAPHGPO_HD inline bool is_finite(float value) {
    return value <= largest_float && value >= -largest_float;
}

// The first of `size` ascending values that is not below `value`.
template <typename T>
GRAPHGPO_HD std::int32_t lower_bound(const T* values, std::int64_t size, T value) {
    std::int64_t begin = 0;
    while (begin < size) {
        const std::int64_t middle = begin + (size - begin) / 2;
        if (values[middle] < value) {
            begin = middle + 1;
        } else {
            size = middle;
        }
    }
    return static_cast<std::int32_t>(begin);
}

}  // namespace graphgpo::cuda
