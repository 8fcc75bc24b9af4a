// Columns of Python objects to keys.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "encoder.hpp"
#include "errors.hpp"
#include "gil.hpp"
#include "graphgpo/interner.hpp"
#include "graphgpo/prefetch.hpp"
#include "key_column.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

[[noreturn]] void raise(const std::string& name, const Misfit& misfit) {
    bindings::raise(misfit.type, name + " " + misfit.problem);
}

// The elements of a list, a tuple or an object array. Encoding one may run Python code, and that
// may change the list: elements are taken one at a time, each with a reference of its own.
class Elements {
  public:
    Elements(py::object values, const std::string& name)
        : values_(std::move(values)),
          name_(&name),
          is_list_(PyList_Check(values_.ptr()) != 0),
          is_array_(py::isinstance<py::array>(values_)) {
        if (!is_list_ && !is_array_ && PyTuple_Check(values_.ptr()) == 0) {
            throw py::type_error("expected a list, a tuple or an array of objects");
        }
        size_ = is_array_ ? object_elements(values_).size()
                          : static_cast<std::size_t>(Py_SIZE(values_.ptr()));
    }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    // Borrowed.
    [[nodiscard]] py::handle operator[](std::size_t row) const {
        const auto at = static_cast<Py_ssize_t>(row);
        if (is_array_) return element_of_array(row);
        if (!is_list_) return PyTuple_GET_ITEM(values_.ptr(), at);
        if (at >= PyList_GET_SIZE(values_.ptr())) {
            throw py::value_error(*name_ + " has become shorter while it was read");
        }
        return PyList_GET_ITEM(values_.ptr(), at);
    }

    // Objects lie anywhere in memory, where the processor does not see them coming: the head of a
    // later one is asked for while a row is read. It has 40 or 48 bytes and may straddle two cache
    // lines. Half the time of reading a million strings.
    void prefetch(std::size_t row) const {
        constexpr std::size_t ahead = 16;
        if (row + ahead >= size_) return;
        const auto* object = reinterpret_cast<const char*>((*this)[row + ahead].ptr());
        graphgpo::prefetch(object);
        graphgpo::prefetch(object + 40);
    }

  private:
    // Found anew each time: `resize` moves what an array holds.
    [[nodiscard]] py::handle element_of_array(std::size_t row) const {
        const auto* array = py::detail::array_proxy(values_.ptr());
        if (array->dimensions[0] != static_cast<Py_ssize_t>(size_)) {
            throw py::value_error(*name_ + " has changed its length while it was read");
        }
        PyObject* const object = reinterpret_cast<PyObject* const*>(array->data)[row];
        return object == nullptr ? Py_None : object;
    }

    py::object values_;
    const std::string* name_;
    bool is_list_;
    bool is_array_;
    std::size_t size_;
};

// The keys of earlier rows' objects, for a column of next states. In a rollout loop the state after
// a step and the state before the following one are the same object: it is neither read nor held
// again.
class FollowingStates {
  public:
    explicit FollowingStates(const OwnedKeyColumn* states) {
        if (states == nullptr || !states->objects()) return;
        objects_ = states->objects();
        keys_ = std::get<std::span<const Key>>(states->view());
    }

    // The key of the following row's state if that is `object`; else null.
    [[nodiscard]] Key find(py::handle object, std::size_t row) const {
        const bool is_it = row + 1 < keys_.size() && element(objects_, row + 1).is(object);
        return is_it ? keys_[row + 1] : Key();
    }

  private:
    py::tuple objects_;
    std::span<const Key> keys_;
};

// Ids of a column are of one kind: 0 and "0" would be two tasks, and nobody would be told.
class KindOfIds {
  public:
    explicit KindOfIds(const std::string& name) : name_(&name) {}

    void check(const Key& key, std::size_t row, py::handle object) {
        const KeyKind kind = general(key.kind());
        if (kind == kind_ || kind == KeyKind::null) return;
        if (kind_ != KeyKind::null) {
            bindings::raise(PyExc_TypeError, *name_ + "[" + std::to_string(row) + "] is " +
                                                 shortened(object) + " but " + *name_ + "[" +
                                                 std::to_string(first_row_) + "] is " +
                                                 shortened(first_) + "; expected ids of one kind");
        }
        kind_ = kind;
        first_row_ = row;
        first_ = py::reinterpret_borrow<py::object>(object);
    }

  private:
    static KeyKind general(KeyKind kind) {
        switch (kind) {
            case KeyKind::big_integer:
                return KeyKind::integer;
            case KeyKind::ucs1_text:
            case KeyKind::ucs2_text:
            case KeyKind::ucs4_text:
                return KeyKind::text;
            default:
                return kind;
        }
    }

    const std::string* name_;
    KeyKind kind_ = KeyKind::null;
    std::size_t first_row_ = 0;
    py::object first_;
};

OwnedKeyColumn keys_from_objects(const py::object& values, const std::optional<Column<bool>>& mask,
                                 const std::string& name, bool is_id, bool in_place, bool nullable,
                                 const py::object& states) {
    const Mask masked(mask);
    const Elements elements(values, name);
    const FollowingStates following(states.is_none() ? nullptr : states.cast<OwnedKeyColumn*>());
    Arena arena;
    Encoder encoder(arena, is_id ? Role::id : Role::state,
                    in_place ? TextForm::in_place : TextForm::utf8,
                    nullable ? NaNMeans::unknown : NaNMeans::nothing_equal);
    Array<Key> keys(elements.size());
    const py::tuple objects(elements.size());  // a masked row, or a following state's, has none
    PyObject_GC_UnTrack(objects.ptr());        // so nobody must find it by way of the collector
    KindOfIds kind_of_ids(name);
    py::handle before;  // the row before's, held
    for (std::size_t row = 0; row < keys.size(); ++row) {
        hear_signals(row);
        elements.prefetch(row);
        if (masked.hides(row)) {
            before = {};
            continue;
        }
        const py::handle object = elements[row];
        if (object.is(before)) {  // ids come in runs of one object
            keys[row] = keys[row - 1];
            continue;
        }
        before = {};
        keys[row] = following.find(object, row);
        if (!keys[row].is_null()) continue;
        PyTuple_SET_ITEM(objects.ptr(), static_cast<Py_ssize_t>(row), object.inc_ref().ptr());
        before = object;
        try {
            keys[row] = encoder.encode(object);
            if (is_id) kind_of_ids.check(keys[row], row, object);
        } catch (const Misfit& misfit) {
            raise(name + "[" + std::to_string(row) + "]", misfit);
        }
    }
    return {std::move(keys), std::move(arena), objects, states};
}

// Ids to numbers, equal ones alike: 4 bytes a row, where keys and references to objects are 32.
// Only objects whose id is new are held; the keys that the table compares with may view them.
OwnedKeyColumn number_ids(const py::object& values, const std::optional<Column<bool>>& mask,
                          const std::string& name) {
    const Mask masked(mask);
    const Elements elements(values, name);
    Arena arena;
    Encoder encoder(arena, Role::id, TextForm::utf8);
    Interner known(0);
    std::vector<py::object> held;
    Array<std::int32_t> numbers(elements.size(), none);
    KindOfIds kind_of_ids(name);
    py::object before;  // the row before's
    for (std::size_t row = 0; row < numbers.size(); ++row) {
        hear_signals(row);
        if (masked.hides(row)) {
            before = {};
            continue;
        }
        const py::handle id = elements[row];
        if (id.is(before)) {  // ids come in runs of one object
            numbers[row] = numbers[row - 1];
            continue;
        }
        before = py::reinterpret_borrow<py::object>(id);
        try {
            const Key key = encoder.encode(before);
            kind_of_ids.check(key, row, before);
            if (!key.is_null()) numbers[row] = known.intern(key);
        } catch (const Misfit& misfit) {
            raise(name + "[" + std::to_string(row) + "]", misfit);
        }
        if (known.size() > held.size()) held.push_back(before);
    }
    return {std::move(numbers), std::nullopt};
}

std::int64_t stable_key_of_object(py::handle state) {
    Arena arena;
    try {
        const Key key = Encoder(arena, Role::state, TextForm::utf8).encode(state);
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
               "name"_a, "is_id"_a, "in_place"_a, "nullable"_a, "states"_a);
    module.def("number_ids", &number_ids, py::kw_only(), "values"_a, "mask"_a, "name"_a);
    module.def("stable_key_of_object", &stable_key_of_object, py::kw_only(), "state"_a);
    module.def("array_of_tensor", &named_array_of_tensor, py::kw_only(), "tensor"_a, "name"_a);
}

}  // namespace graphgpo::bindings
