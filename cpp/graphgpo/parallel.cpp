#include "graphgpo/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "graphgpo/stop.hpp"

namespace graphgpo {

namespace {

// Helpers that still run, so that the thread that waits for them can look up now and then.
class Running {
  public:
    void begin() {
        const std::lock_guard lock(mutex_);
        ++count_;
    }
    void end() {
        const std::lock_guard lock(mutex_);
        --count_;
        ended_.notify_one();
    }
    // Until none runs.
    void wait(auto&& look) {
        std::unique_lock lock(mutex_);
        const auto is_over = [&] { return count_ == 0; };
        // By the system's clock: waiting on the steady one is unknown to ThreadSanitizer.
        while (!ended_.wait_until(lock, std::chrono::system_clock::now() + Stoppable::interval,
                                  is_over)) {
            lock.unlock();
            look();
            lock.lock();
        }
    }

  private:
    std::mutex mutex_;
    std::condition_variable ended_;
    std::size_t count_ = 0;
};

}  // namespace

void parallel_for(std::size_t count, std::size_t num_threads,
                  const std::function<void(std::size_t)>& work) {
    if (count <= 1 || num_threads <= 1) {
        for (std::size_t i = 0; i < count; ++i) {
            stop_if_asked();
            work(i);
        }
        return;
    }

    std::atomic<std::size_t> next = 0;
    std::mutex mutex;
    std::exception_ptr error;
    std::size_t error_index = count;
    std::atomic<bool> is_stopped = false;

    const auto run = [&] {
        for (std::size_t i = next.fetch_add(1); i < count && !is_stopped; i = next.fetch_add(1)) {
            try {
                stop_if_asked();
                work(i);
            } catch (const Stopped&) {
                is_stopped = true;
            } catch (...) {
                const std::lock_guard lock(mutex);
                if (i < error_index) {
                    error_index = i;
                    error = std::current_exception();
                }
            }
        }
    };

    Running running;
    const auto help = [&, stop = SharedStop::current()] {
        const SharedStop shared(stop);
        run();
        running.end();
    };
    {
        std::vector<std::jthread> helpers;
        helpers.reserve(std::min(num_threads, count) - 1);
        try {
            while (helpers.size() + 1 < std::min(num_threads, count)) {
                running.begin();
                helpers.emplace_back(help);
            }
        } catch (const std::system_error&) {
            // The process may start no more threads: those that run, and this one, do the work.
            running.end();
        }
        run();
        running.wait([&] {
            try {
                stop_if_asked();
            } catch (const Stopped&) {
                is_stopped = true;
            }
        });
    }
    if (is_stopped) throw Stopped();
    if (error) std::rethrow_exception(error);
}

std::size_t useful_threads(std::size_t num_threads, std::size_t num_rows) {
    // Starting a thread takes some 60 us, as long as crediting one or two thousand rows.
    constexpr std::size_t rows_per_thread = 2048;
    return std::clamp<std::size_t>(num_rows / rows_per_thread, 1,
                                   std::max<std::size_t>(num_threads, 1));
}

}  // namespace graphgpo
