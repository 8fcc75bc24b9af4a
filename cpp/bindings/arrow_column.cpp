#include "arrow_column.hpp"

#include <cstring>

#include "errors.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo::bindings {

namespace {

// The struct of a capsule, moved out of it: the capsule's own destructor then has nothing to do.
template <typename Struct>
Owned<Struct> take(const py::handle& capsule, const char* capsule_name, const std::string& name) {
    auto* pointer = static_cast<Struct*>(PyCapsule_GetPointer(capsule.ptr(), capsule_name));
    if (pointer == nullptr) throw py::error_already_set();
    if (pointer->release == nullptr) {
        raise(PyExc_ValueError,
              name +
                  " is an Arrow column whose capsule was used before; expected a new capsule "
                  "at every call");
    }
    return Owned<Struct>(*pointer);
}

ArrowColumn read_stream(const py::object& capsule, const std::string& name) {
    auto stream = take<ArrowArrayStream>(capsule, "arrow_array_stream", name);
    const auto check = [&](int code) {
        if (code == 0) return;
        const char* message = stream->get_last_error(stream.get());
        raise(PyExc_ValueError, name + " is an Arrow stream that failed: " +
                                    (message != nullptr ? message : std::strerror(code)));
    };
    ArrowColumn column;
    check(stream->get_schema(stream.get(), column.schema.get()));
    while (true) {
        Owned<ArrowArray> chunk;
        check(stream->get_next(stream.get(), chunk.get()));
        if (chunk.is_released()) return column;
        column.chunks.push_back(std::move(chunk));
    }
}

ArrowColumn read_array(const py::object& pair, const std::string& name) {
    if (!py::isinstance<py::tuple>(pair) || py::len(pair) != 2) {
        raise(PyExc_TypeError, name + ".__arrow_c_array__() is " + shortened(pair) +
                                   "; expected a pair of capsules");
    }
    const auto capsules = py::reinterpret_borrow<py::tuple>(pair);
    ArrowColumn column;
    column.schema = take<ArrowSchema>(capsules[0], "arrow_schema", name);
    column.chunks.push_back(take<ArrowArray>(capsules[1], "arrow_array", name));
    return column;
}

}  // namespace

std::size_t ArrowColumn::num_rows() const {
    std::size_t rows = 0;
    for (const auto& chunk : chunks) rows += static_cast<std::size_t>(chunk->length);
    return rows;
}

ArrowColumn read_arrow(const py::object& object, const std::string& name) {
    ArrowColumn column = py::hasattr(object, "__arrow_c_array__")
                             ? read_array(object.attr("__arrow_c_array__")(), name)
                             : read_stream(object.attr("__arrow_c_stream__")(), name);
    if (column.num_rows() > max_rows) {  // before anything is allocated for the rows
        raise(PyExc_ValueError, name + " has " + std::to_string(column.num_rows()) +
                                    " rows; expected at most 2147483646 (2**31 - 2)");
    }
    return column;
}

void refuse_format(const std::string& name, const ArrowSchema& schema, const char* expected) {
    std::string format = std::string("'") + schema.format + "'";
    if (schema.dictionary != nullptr) {
        format += std::string(" with a dictionary of '") + schema.dictionary->format + "'";
    }
    raise(PyExc_TypeError,
          name + " is an Arrow column of format " + format + "; expected " + expected);
}

}  // namespace graphgpo::bindings
