#include "graphgpo/stop.hpp"

#include <utility>

namespace graphgpo {

namespace {

// Of this thread; whether it made it, and so asks, or was started by the thread that did.
thread_local Stoppable* stoppable = nullptr;
thread_local bool is_ours = false;

}  // namespace

Stoppable::Stoppable(std::function<bool()> is_asked_for)
    : is_asked_for_(std::move(is_asked_for)),
      next_look_(std::chrono::steady_clock::now() + interval),
      outer_(std::exchange(stoppable, this)),
      outer_is_ours_(std::exchange(is_ours, true)) {}

Stoppable::~Stoppable() {
    stoppable = outer_;
    is_ours = outer_is_ours_;
}

void Stoppable::look() {
    // Reading the clock is most of what a look takes, and groups may be tiny.
    if (++looks_ % 4 != 0 || std::chrono::steady_clock::now() < next_look_) return;
    if (is_asked_for_()) is_stopped_ = true;
    next_look_ = std::chrono::steady_clock::now() + interval;
}

Stoppable* SharedStop::current() noexcept { return stoppable; }

SharedStop::SharedStop(Stoppable* of_starter) noexcept { stoppable = of_starter; }

SharedStop::~SharedStop() { stoppable = nullptr; }

void stop_if_asked() {
    if (stoppable == nullptr) return;
    if (is_ours && !stoppable->is_stopped_) stoppable->look();
    if (stoppable->is_stopped_) throw Stopped();
}

}  // namespace graphgpo
