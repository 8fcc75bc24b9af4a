// A call that is given up on its way: the caller may ask for it, the loops look now and then.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>

namespace graphgpo {

// Leaves a call whose caller wants its result no more. What it has written so far means nothing.
class Stopped : public std::exception {
  public:
    [[nodiscard]] const char* what() const noexcept override { return "stopped"; }
};

// While one exists, calls of its thread end with `Stopped` soon after `is_asked_for` has answered
// true. It is asked every `interval`, by this thread alone, in the middle of the work; it may call
// into the library. The innermost of a thread counts.
class Stoppable {
  public:
    static constexpr std::chrono::milliseconds interval{50};

    explicit Stoppable(std::function<bool()> is_asked_for);
    ~Stoppable();
    Stoppable(const Stoppable&) = delete;
    Stoppable& operator=(const Stoppable&) = delete;

  private:
    friend void stop_if_asked();

    void look();

    std::function<bool()> is_asked_for_;
    std::chrono::steady_clock::time_point next_look_;
    std::atomic<bool> is_stopped_ = false;
    std::uint32_t looks_ = 0;
    Stoppable* outer_;
    bool outer_is_ours_;
};

// A helper's part in the `Stoppable` of the thread that started it, if that has one.
class SharedStop {
  public:
    // Of the calling thread.
    [[nodiscard]] static Stoppable* current() noexcept;

    explicit SharedStop(Stoppable* of_starter) noexcept;
    ~SharedStop();
    SharedStop(const SharedStop&) = delete;
    SharedStop& operator=(const SharedStop&) = delete;
};

// Throws `Stopped` where that was asked for. Some nanoseconds; to be called every few milliseconds.
void stop_if_asked();

// So many passes of a loop over steps are a few milliseconds at most.
inline constexpr std::size_t passes_between_stops = 4096;

// After a loop of so many passes: a small one is not worth it.
inline void stop_if_asked_after(std::size_t passes) {
    if (passes >= passes_between_stops) stop_if_asked();
}

// Looks every so many passes, for loops that `for_each_stoppable` is none for.
class StopMeter {
  public:
    void operator()(std::size_t passes = 1) {
        passes_ += passes;
        if (passes_ < passes_between_stops) [[likely]]
            return;
        passes_ = 0;
        stop_if_asked();
    }

  private:
    std::size_t passes_ = 0;
};

// work(0) ... work(count - 1), in order, with a look between blocks of them: nothing for each.
template <typename Work>
void for_each_stoppable(std::size_t count, Work&& work) {
    std::size_t begin = 0;
    while (count - begin > passes_between_stops) {
        for (const std::size_t end = begin + passes_between_stops; begin < end; ++begin)
            work(begin);
        stop_if_asked();
    }
    for (; begin < count; ++begin) work(begin);
}

}  // namespace graphgpo
