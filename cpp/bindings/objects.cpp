// Columns of Python objects to keys.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "encoder.hpp"
#include "errors.hpp"
#include "key_column.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

[[noreturn]] void raise(const std::string& name, const Misfit& misfit) {
    bindings::raise(misfit.type, name + " " + misfit.problem);
}

OwnedKeyColumn keys_from_objects(const py::tuple& values, const std::optional<Column<bool>>& mask,
                                 const std::string& name, bool is_id) {
    const Mask masked(mask);
    Arena arena;
    Encoder encoder(arena, is_id ? Role::id : Role::state);
    std::vector<Key> keys(values.size());
    for (std::size_t row = 0; row < keys.size(); ++row) {
        if (masked.hides(row)) continue;
        try {
            keys[row] = encoder.encode(element(values, row));
        } catch (const Misfit& misfit) {
            raise(name + "[" + std::to_string(row) + "]", misfit);
        }
    }
    return {std::move(keys), std::move(arena), values};
}

std::int64_t stable_key_of_object(py::handle state) {
    Arena arena;
    try {
        const Key key = Encoder(arena, Role::state).encode(state);
        if (key.is_null()) throw Misfit{PyExc_TypeError, "is None; expected a state"};
        return stable_key(key);
    } catch (const Misfit& misfit) {
        raise("state", misfit);
    }
}

py::array named_array_of_tensor(const py::object& tensor, const std::string& name) {
    try {
        return array_of_tensor(tensor);
    } catch (const Misfit& misfit) {
        raise(name, misfit);
    }
}

}  // namespace

void bind_objects(py::module_& module) {
    module.def("keys_from_objects", &keys_from_objects, py::kw_only(), "values"_a, "mask"_a,
               "name"_a, "is_id"_a);
    module.def("stable_key_of_object", &stable_key_of_object, py::kw_only(), "state"_a);
    module.def("array_of_tensor", &named_array_of_tensor, py::kw_only(), "tensor"_a, "name"_a);
}

}  // namespace graphgpo::bindings
