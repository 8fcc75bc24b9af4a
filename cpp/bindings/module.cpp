// The extension module, room by room.
#include <pybind11/pybind11.h>

#include <cstring>
#include <exception>
#include <stdexcept>
#include <utility>

#include "graph_memory.hpp"
#include "key_column.hpp"
#include "pipeline.hpp"
#include "plan.hpp"
#include "states.hpp"

namespace {

// As pybind11 would, but a message may quote a text with lone surrogates.
void raise_value_error(std::exception_ptr error) {
    try {
        std::rethrow_exception(std::move(error));
    } catch (const std::invalid_argument& invalid) {
        const auto size = static_cast<Py_ssize_t>(std::strlen(invalid.what()));
        const auto message = pybind11::reinterpret_steal<pybind11::object>(
            PyUnicode_DecodeUTF8(invalid.what(), size, "surrogatepass"));
        if (message) PyErr_SetObject(PyExc_ValueError, message.ptr());
    }
}

}  // namespace

PYBIND11_MODULE(_core_of_main_interpreter, module) {
    namespace bindings = graphgpo::bindings;
    module.doc() = "The native core. Private: use the functions of graphgpo.";
    module.attr("__version__") = GRAPHGPO_VERSION;
    pybind11::register_local_exception_translator(&raise_value_error);
    bindings::bind_key_column(module);     // columns in canonical form, stable keys
    bindings::bind_objects(module);        // ... from Python objects
    bindings::bind_numbering(module);      // ... and compared while they are read
    bindings::bind_numpy(module);          // ... from NumPy arrays
    bindings::bind_plain_arrays(module);   // ... with numbers and flags, as they are
    bindings::bind_arrow(module);          // ... from Arrow columns
    bindings::bind_numbers(module);        // numbers and flags from Python objects
    bindings::bind_arrow_numbers(module);  // ... from Arrow columns
    bindings::bind_plan(module);           // estimators
    bindings::bind_graph_memory(module);   // what is kept between batches
    bindings::bind_pipeline(module);       // compute_advantages, build_graph
    bindings::bind_states(module);         // texts normalised, near-duplicates
}

// What Python calls. In a sub-interpreter nothing of pybind11 may run: on Python 3.11 and before it
// waits for ever.
extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError,
                        "graphgpo does not support sub-interpreters; import it in the main one");
        return nullptr;
    }
    return PyInit__core_of_main_interpreter();
}
