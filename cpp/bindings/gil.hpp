// The GIL let go around a pure call.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <thread>

namespace graphgpo::bindings {

// As pybind11's, but safe in a thread that outlives the interpreter: taking the GIL then ends the
// thread by unwinding it, which a destructor must not let through. It stays here instead, as
// daemon threads do from CPython 3.14 on.
class ReleasedGil {
  public:
    ReleasedGil() : state_(PyEval_SaveThread()) {}
    ReleasedGil(const ReleasedGil&) = delete;
    ReleasedGil& operator=(const ReleasedGil&) = delete;
    ~ReleasedGil() {
        try {
            PyEval_RestoreThread(state_);
        } catch (...) {
            // Not left, so that the unwinding does not go on.
            for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
        }
    }

  private:
    PyThreadState* state_;
};

}  // namespace graphgpo::bindings
