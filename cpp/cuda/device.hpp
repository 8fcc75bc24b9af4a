// What the stages ask of a device: arrays, work on every index, sorts, scans, answers for the host.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#ifdef __CUDACC__
#include "cuda/gpu_device.hpp"
#else
#include "cuda/cpu_device.hpp"
#endif

namespace graphgpo::cuda {

struct AddInts {
    GRAPHGPO_HD std::int32_t operator()(std::int32_t a, std::int32_t b) const { return a + b; }
};

class Device : private DeviceBase {
  public:
    Device(const Queue& queue, std::size_t threads) : DeviceBase(queue, threads) {}
    ~Device() { release_down_to(0); }
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    using DeviceBase::allocate;
    using DeviceBase::copy_to_device;
    using DeviceBase::copy_to_host;
    using DeviceBase::release;
    using DeviceBase::wait;

    // Arrays live until the innermost scope around them ends, or with the device. Not initialised.
    template <typename T>
    [[nodiscard]] T* array(std::int64_t size) {
        static_assert(std::is_trivially_copyable_v<T>);
        const std::size_t bytes =
            static_cast<std::size_t>(std::max<std::int64_t>(size, 1)) * sizeof(T);
        held_.reserve(held_.size() + 1);
        void* const memory = take(bytes);
        held_.push_back({memory, bytes});
        return static_cast<T*>(memory);
    }
    template <typename T>
    [[nodiscard]] T* filled(std::int64_t size, T value) {
        T* const values = array<T>(size);
        each(size, [=] GRAPHGPO_GPU(std::int64_t i) { values[i] = value; });
        return values;
    }

    class Scope {
      public:
        explicit Scope(Device& device) : device_(&device), arrays_(device.held_.size()) {}
        ~Scope() { device_->release_down_to(arrays_); }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

      private:
        Device* device_;
        std::size_t arrays_;
    };

    // `body(i)` for every i in [0, size), in any order and at the same time.
    template <typename Body>
    void each(std::int64_t size, const Body& body) {
        if (size == 0) return;
        ++launches_;
        launch_each(size, body);
    }

    // Stable, ascending. 32-bit keys must not be negative: Thrust's sequential sort puts those last
    // (CCCL 3.0), which a GPU does not. Two kinds of keys only: each is a minute of nvcc's time.
    template <typename Key>
        requires std::same_as<Key, std::int32_t> || std::same_as<Key, std::int64_t>
    void sort_by_key(Key* keys, std::int32_t* values, std::int64_t size) {
        if (size == 0) return;
        ++launches_;
        Temporary temporary(*this);
        thrust::stable_sort_by_key(policy(temporary), keys, keys + size, values);
    }

    template <typename T, typename Plus>
    void inclusive_scan(T* values, std::int64_t size, Plus plus) {
        if (size == 0) return;
        ++launches_;
        Temporary temporary(*this);
        thrust::inclusive_scan(policy(temporary), values, values + size, values, plus);
    }
    // In place: values[i] becomes the sum of those before it.
    template <typename T>
    void exclusive_scan(T* values, std::int64_t size) {
        if (size == 0) return;
        ++launches_;
        Temporary temporary(*this);
        thrust::exclusive_scan(policy(temporary), values, values + size, values, T{});
    }

    void search(const SearchGraph& graph, const SearchMemory& memory, std::int64_t num_groups,
                std::int32_t most_edges_of_small, bool has_large) {
        ++launches_;
        launch_small_searches(graph, memory, num_groups, most_edges_of_small);
        if (!has_large) return;
        ++launches_;
        launch_large_search(graph, memory, num_groups, most_edges_of_small + 1);
    }

    // Waits for everything so far.
    template <typename T>
    [[nodiscard]] T read(const T* at) {
        T value;
        ++synchronisations_;
        copy_to_host(&value, at, sizeof(T));
        return value;
    }
    template <typename T>
    [[nodiscard]] std::vector<T> read(const T* values, std::int64_t size) {
        std::vector<T> copy(static_cast<std::size_t>(size));
        ++synchronisations_;
        if (size > 0) copy_to_host(copy.data(), values, copy.size() * sizeof(T));
        return copy;
    }

    [[nodiscard]] std::size_t peak_bytes() const noexcept { return peak_bytes_; }
    [[nodiscard]] std::int64_t launches() const noexcept { return launches_; }
    [[nodiscard]] std::int64_t synchronisations() const noexcept { return synchronisations_; }

  private:
    struct Held {
        void* memory;
        std::size_t bytes;
    };

    // Thrust's temporary storage, out of the same pool and counted with the rest.
    class Temporary {
      public:
        using value_type = char;
        explicit Temporary(Device& device) : device_(&device) {}
        [[nodiscard]] char* allocate(std::ptrdiff_t bytes) {
            return static_cast<char*>(device_->take(static_cast<std::size_t>(bytes)));
        }
        void deallocate(char* memory, std::size_t bytes) { device_->give_back({memory, bytes}); }

      private:
        Device* device_;
    };

    [[nodiscard]] void* take(std::size_t bytes) {
        void* const memory = allocate(bytes);
        bytes_ += bytes;
        peak_bytes_ = std::max(peak_bytes_, bytes_);
        return memory;
    }
    void give_back(const Held& held) noexcept {
        release(held.memory);
        bytes_ -= held.bytes;
    }
    void release_down_to(std::size_t arrays) noexcept {
        while (held_.size() > arrays) {
            give_back(held_.back());
            held_.pop_back();
        }
    }

    std::vector<Held> held_;
    std::size_t bytes_ = 0;
    std::size_t peak_bytes_ = 0;
    std::int64_t launches_ = 0;
    std::int64_t synchronisations_ = 0;
};

}  // namespace graphgpo::cuda
