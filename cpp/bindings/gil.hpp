// Pure calls of the core, during which other Python threads run and Ctrl-C is heard.
#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <type_traits>
#include <utility>

#include "graphgpo/stop.hpp"

namespace graphgpo::bindings {

namespace py = pybind11;

// As pybind11's, but safe in a thread that outlives the interpreter: taking the GIL then ends the
// thread by unwinding it, which a destructor must not let through. It stays here instead, as
// daemon threads do from CPython 3.14 on.
class ReleasedGil {
  public:
    ReleasedGil() : state_(PyEval_SaveThread()) {}
    ReleasedGil(const ReleasedGil&) = delete;
    ReleasedGil& operator=(const ReleasedGil&) = delete;
    ~ReleasedGil() { take(); }

    // Handlers of the signals that have arrived, under the GIL; true: one of them has raised, and
    // its exception waits for whoever has the GIL next.
    [[nodiscard]] bool is_interrupted() {
        take();
        const bool has_raised = PyErr_CheckSignals() != 0;
        state_ = PyEval_SaveThread();
        return has_raised;
    }

  private:
    void take() {
        try {
            PyEval_RestoreThread(state_);
        } catch (...) {
            // Not left, so that the unwinding does not go on.
            for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
        }
    }

    PyThreadState* state_;
};

// The one thread that Python hands signals to. Python is asked once a process: it is code of its
// own that answers, and in a daemon thread the interpreter's end may come while that runs, which
// unwinds the thread through this call.
[[nodiscard]] inline bool is_main_thread() {
    static pid_t process = 0;  // both under the GIL
    static unsigned long main_thread = 0;
    if (const pid_t here = getpid(); here != process) {
        const py::object found = py::module_::import("threading").attr("main_thread")();
        main_thread = found.attr("ident").cast<unsigned long>();
        process = here;
    }
    return main_thread == PyThread_get_thread_ident();
}

// `work()` with the GIL let go. In the main thread, what a signal's handler raises meanwhile
// (KeyboardInterrupt) ends the call within some 100 ms.
template <typename Work>
auto without_gil(Work&& work) {
    const bool hears_signals = is_main_thread();
    try {
        ReleasedGil released;
        if (!hears_signals) return work();
        const Stoppable stoppable([&] { return released.is_interrupted(); });
        return work();
    } catch (const Stopped&) {
        throw py::error_already_set();  // what the handler has raised
    }
}

// Handlers of signals, in the middle of a long loop under the GIL; what they raise goes on. Python
// code of the caller's may run: nothing that it could change may be in use.
inline void hear_signals(std::size_t row) {
    if (row % passes_between_stops != 0 || row == 0) return;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

// `work()` under the GIL, where no Python code may run, not even a handler. Ctrl-C ends it; its
// handler runs afterwards, and where that raises nothing `work` starts again and is not stopped.
template <typename Work>
auto without_handlers(Work&& work) {
    if (is_main_thread()) {
        try {
            const Stoppable stoppable([] { return PyOS_InterruptOccurred() != 0; });
            return work();
        } catch (const Stopped&) {
            PyErr_SetInterrupt();  // as it was found
        }
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    }
    return work();
}

}  // namespace graphgpo::bindings
