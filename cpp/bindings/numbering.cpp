// Lists of plain values to numbers, while they are read.
//
// Every value is read once, compared with those of its group, and let go: no key per row, no
// reference to every object, and no second visit to memory that is cold by then. All of it happens
// under the GIL; gathering keys (objects.cpp), to compare them later and without it, holds the GIL
// about as long, because cold objects are what takes the time.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "encoder.hpp"
#include "graphgpo/interner.hpp"
#include "graphgpo/prefetch.hpp"
#include "key_column.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

// A list or tuple. No Python code runs while it is read, so that it stays as it is.
std::span<PyObject* const> elements(const py::object& values) {
    if (PyList_Check(values.ptr()) == 0 && PyTuple_Check(values.ptr()) == 0) {
        throw py::type_error("expected a list or tuple");
    }
    return {PySequence_Fast_ITEMS(values.ptr()),
            static_cast<std::size_t>(PySequence_Fast_GET_SIZE(values.ptr()))};
}

// The key of a value that neither Python code nor memory is needed for.
std::optional<Key> plain_key(PyObject* value) {
    if (PyUnicode_Check(value)) return text_in_place(value);
    if (value == Py_None) return Key();
    if (PyLong_CheckExact(value)) {
        int overflow = 0;
        const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (overflow == 0) return Key::integer(number);
    }
    return std::nullopt;
}

class Numbering {
  public:
    Numbering(std::span<PyObject* const> states,
              std::optional<std::span<PyObject* const>> next_states, const Mask& mask)
        : states_(states),
          has_next_states_(next_states.has_value()),
          next_states_(next_states.value_or(states.first(0))),
          mask_(&mask),
          numbers_(states_.size(), none),
          next_numbers_(next_states_.size(), none) {}

    // The rows of one group. False: a value is not plain.
    [[nodiscard]] bool read_group(std::size_t begin, std::size_t end) {
        known_.start_anew((end - begin) / 2);
        for (std::size_t row = begin; row < end; row += block) {
            if (!read_block(row, std::min(row + block, end), end)) return false;
        }
        settle_next(end, Key());
        return true;
    }

    [[nodiscard]] std::pair<OwnedKeyColumn, std::optional<OwnedKeyColumn>> columns() && {
        values_->keys = std::move(known_).keys();
        OwnedKeyColumn states(std::move(numbers_), values_);
        if (!has_next_states_) return {std::move(states), std::nullopt};
        return {std::move(states), OwnedKeyColumn(std::move(next_numbers_), values_)};
    }

  private:
    static constexpr std::size_t block = Interner::block;

    struct Unsettled {
        Key key;  // null where the object is the following state
        PyObject* object = nullptr;
    };

    // In a rollout loop the state after a step and the state before the following one are the same
    // object, which is read once.
    [[nodiscard]] bool is_following(std::size_t row, std::size_t group_end) const {
        return row + 1 < group_end && next_states_[row] == states_[row + 1] &&
               !mask_->hides(row + 1);
    }

    // Objects lie anywhere in memory, where the processor does not see them coming: heads are asked
    // for a block before they are read, texts up to a block before they are compared.
    bool read_block(std::size_t begin, std::size_t end, std::size_t group_end) {
        for (std::size_t row = end; row < std::min(end + block, states_.size()); ++row) {
            prefetch_head(states_[row]);
            if (has_next_states_ && !is_following(row, states_.size())) {
                prefetch_head(next_states_[row]);
            }
        }
        std::array<Key, block> keys;
        std::array<Key, block> next_keys;
        const auto read = [](PyObject* object, Key& key) {
            const std::optional<Key> plain = plain_key(object);
            if (!plain) return false;
            key = *plain;
            prefetch(key);
            return true;
        };
        for (std::size_t row = begin; row < end; ++row) {
            if (mask_->hides(row)) continue;
            if (!read(states_[row], keys[row - begin])) return false;
            if (!has_next_states_ || is_following(row, group_end)) continue;
            if (!read(next_states_[row], next_keys[row - begin])) return false;
        }
        if (known_.is_beyond_cache()) known_.expect(std::span(keys).first(end - begin));
        for (std::size_t row = begin; row < end; ++row) {
            const Key& key = keys[row - begin];
            if (!key.is_null()) numbers_[row] = number(key, states_[row]);
            settle_next(row, key);
            if (!has_next_states_ || mask_->hides(row)) continue;
            unsettled_ = {next_keys[row - begin], next_states_[row]};
        }
        return true;
    }

    // The number of the next state of the row before, of which `row` is mostly the state.
    void settle_next(std::size_t row, const Key& state) {
        if (unsettled_.object == nullptr) return;
        const auto [key, object] = std::exchange(unsettled_, Unsettled{});
        std::int32_t& next_number = next_numbers_[row - 1];
        const bool is_state = !state.is_null() && (object == states_[row] || key == state);
        if (is_state) {
            next_number = numbers_[row];
        } else if (!key.is_null()) {
            next_number = number(key, object);
        }
    }

    std::int32_t number(const Key& key, PyObject* object) {
        const std::size_t num_known = known_.size();
        const std::int32_t found = known_.intern(key);
        if (known_.size() != num_known) {
            values_->objects.push_back(py::reinterpret_borrow<py::object>(object));
        }
        return found;
    }

    static void prefetch_head(PyObject* object) {
        graphgpo::prefetch(static_cast<const void*>(object));
        graphgpo::prefetch(reinterpret_cast<const char*>(object) + 40);
    }

    std::span<PyObject* const> states_;
    bool has_next_states_;
    std::span<PyObject* const> next_states_;
    const Mask* mask_;
    Interner known_{0};
    Unsettled unsettled_;
    std::vector<std::int32_t> numbers_;
    std::vector<std::int32_t> next_numbers_;
    std::shared_ptr<NumberedValues> values_ = std::make_shared<NumberedValues>();
};

// Nothing where numbering is not for these columns: a value is not plain, a group comes back after
// another one, there may be more values than numbers, or a list has changed since its length was
// checked.
std::optional<std::pair<OwnedKeyColumn, std::optional<OwnedKeyColumn>>> number_objects(
    const py::object& states, const py::object& next_states, const OwnedKeyColumn& group_ids,
    const std::optional<Column<bool>>& mask) {
    const auto state_objects = elements(states);
    std::optional<std::span<PyObject* const>> next_objects;
    if (!next_states.is_none()) next_objects = elements(next_states);
    const std::size_t rows = state_objects.size();
    const bool is_of_one_length =
        num_rows(group_ids.view()) == rows && (!next_objects || next_objects->size() == rows);
    if (!is_of_one_length || rows > max_rows / 2) return std::nullopt;
    const Mask masked(mask);
    Numbering numbering(state_objects, next_objects, masked);
    Interner groups(0);
    const auto read_groups = [&](const auto& ids) {
        std::size_t end = 0;
        for (std::size_t begin = 0; begin < rows; begin = end) {
            end = begin + 1;
            if (masked.hides(begin)) continue;
            const Key group = key_at(ids, id_of(begin));
            for (; end < rows; ++end) {
                if (!masked.hides(end) && key_at(ids, id_of(end)) != group) break;
            }
            const std::size_t num_groups = groups.size();
            if (index(groups.intern(group)) != num_groups) return false;
            if (!numbering.read_group(begin, end)) return false;
        }
        return true;
    };
    if (!std::visit(read_groups, group_ids.view())) return std::nullopt;
    return std::move(numbering).columns();
}

}  // namespace

void bind_numbering(py::module_& module) {
    module.def("number_objects", &number_objects, py::kw_only(), "states"_a, "next_states"_a,
               "group_ids"_a, "mask"_a);
}

}  // namespace graphgpo::bindings
