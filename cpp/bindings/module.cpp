// The extension module, room by room.
#include <pybind11/pybind11.h>

#include "key_column.hpp"
#include "pipeline.hpp"

PYBIND11_MODULE(_core, module) {
    namespace bindings = graphgpo::bindings;
    module.doc() = "The native core. Private: use the functions of graphgpo.";
    module.attr("__version__") = GRAPHGPO_VERSION;
    bindings::bind_key_column(module);     // columns in canonical form, stable keys
    bindings::bind_objects(module);        // ... from Python objects
    bindings::bind_numpy(module);          // ... from NumPy arrays
    bindings::bind_arrow(module);          // ... from Arrow columns
    bindings::bind_numbers(module);        // numbers and flags from Python objects
    bindings::bind_arrow_numbers(module);  // ... from Arrow columns
    bindings::bind_pipeline(module);       // compute_advantages, build_graph
}
