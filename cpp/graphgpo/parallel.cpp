#include "graphgpo/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace graphgpo {

void parallel_for(std::size_t count, std::size_t num_threads,
                  const std::function<void(std::size_t)>& work) {
    if (count <= 1 || num_threads <= 1) {
        for (std::size_t i = 0; i < count; ++i) work(i);
        return;
    }

    std::atomic<std::size_t> next = 0;
    std::mutex mutex;
    std::exception_ptr error;
    std::size_t error_index = count;

    const auto run = [&] {
        for (std::size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
            try {
                work(i);
            } catch (...) {
                const std::lock_guard lock(mutex);
                if (i < error_index) {
                    error_index = i;
                    error = std::current_exception();
                }
            }
        }
    };

    {
        std::vector<std::jthread> helpers;
        helpers.reserve(std::min(num_threads, count) - 1);
        try {
            while (helpers.size() + 1 < std::min(num_threads, count)) helpers.emplace_back(run);
        } catch (const std::system_error&) {
            // The process may start no more threads: those that run, and this one, do the work.
        }
        run();
    }
    if (error) std::rethrow_exception(error);
}

std::size_t useful_threads(std::size_t num_threads, std::size_t num_rows) {
    // Starting a thread takes some 60 us, as long as crediting one or two thousand rows.
    constexpr std::size_t rows_per_thread = 2048;
    return std::clamp<std::size_t>(num_rows / rows_per_thread, 1,
                                   std::max<std::size_t>(num_threads, 1));
}

}  // namespace graphgpo
