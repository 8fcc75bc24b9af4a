// The host playing a device, for tests: the same members as `gpu_device.hpp`. Sorts and scans are
// Thrust's sequential ones; everything else runs on as many threads as asked for.
#pragma once

#include <thrust/iterator/counting_iterator.h>
#include <thrust/scan.h>
#include <thrust/sort.h>
#include <thrust/system/cpp/execution_policy.h>
#include <thrust/system_error.h>

#include <barrier>
#include <cstdint>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include "cuda/contexts.hpp"
#include "cuda/pipeline.hpp"
#include "cuda/search.hpp"

namespace graphgpo::cuda {

[[nodiscard]] inline DeviceError device_error(const thrust::system_error& error) {
    return {Status::failed, error.what()};
}

class DeviceBase {
  public:
    DeviceBase(const Queue& /*queue*/, std::size_t threads)
        : threads_(static_cast<std::int64_t>(threads)) {}

    [[nodiscard]] static void* allocate(std::size_t bytes) {
        return ::operator new(bytes, std::align_val_t{256});
    }
    static void release(void* memory) noexcept { ::operator delete(memory, std::align_val_t{256}); }
    static void copy_to_host(void* to, const void* from, std::size_t bytes) {
        std::memcpy(to, from, bytes);
    }
    static void copy_to_device(void* to, const void* from, std::size_t bytes) {
        std::memcpy(to, from, bytes);
    }
    static void wait() {}

    template <typename Body>
    void launch_each(std::int64_t size, const Body& body) {
        run([&](std::int64_t thread) {
            for (std::int64_t i = thread; i < size; i += threads_) body(i);
        });
    }

    // Groups one after the other: each is searched by all threads, as a block would.
    void launch_small_searches(const SearchGraph& graph, const SearchMemory& memory,
                               std::int64_t num_groups, std::int32_t most_edges) {
        const auto search = [&](const auto& context, std::int64_t g) {
            const auto group = static_cast<GroupId>(g);
            if (graph.num_edges(group) > most_edges) return;
            search_from_goals(context, graph, memory, {group, group + 1, 0},
                              graph.node_offsets[group], memory.queue_sizes + 3 * g);
        };
        in_context([&](const auto& context) {
            for (std::int64_t group = 0; group < num_groups; ++group) search(context, group);
        });
    }

    void launch_large_search(const SearchGraph& graph, const SearchMemory& memory,
                             std::int64_t num_groups, std::int32_t fewest_edges) {
        const SearchedGroups groups{0, static_cast<GroupId>(num_groups), fewest_edges};
        in_context([&](const auto& context) {
            search_from_goals(context, graph, memory, groups, 0,
                              memory.queue_sizes + 3 * num_groups);
        });
    }

  protected:
    [[nodiscard]] static auto policy(auto& allocator) { return thrust::cpp::par(allocator); }

  private:
    void in_context(const auto& body) {
        if (threads_ == 1) return body(SequentialContext());
        std::barrier<> barrier(threads_);
        run([&](std::int64_t thread) {
            body(ThreadedContext(barrier, thread, threads_, Barrier::none));
        });
    }

    void run(const auto& body) {
        std::vector<std::jthread> helpers;
        for (std::int64_t thread = 1; thread < threads_; ++thread) {
            helpers.emplace_back([&body, thread] { body(thread); });
        }
        body(0);
    }

    std::int64_t threads_;
};

}  // namespace graphgpo::cuda
