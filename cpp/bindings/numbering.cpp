// Lists and object arrays of plain values to numbers, while they are read.
//
// Every value is read once, compared with those of its group, and let go: no key per row, no
// reference to any object, and no second visit to memory that is cold by then.
//
// All of it happens under the GIL, so other Python code waits, as it does while keys are gathered
// (objects.cpp). Threads of ours share the groups meanwhile. They read lists that nobody can change
// before the GIL is released, and str, int and None, which never change; they touch no reference
// count, raise nothing and call nothing of Python that does.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "encoder.hpp"
#include "gil.hpp"
#include "graphgpo/interner.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/parallel.hpp"
#include "graphgpo/prefetch.hpp"
#include "graphgpo/stop.hpp"
#include "graphgpo/text.hpp"
#include "key_column.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

// Of a list, a tuple or an object array, whose elements may be null. No Python code runs while they
// are read, so that they stay as they are.
std::span<PyObject* const> elements(const py::object& values) {
    if (py::isinstance<py::array>(values)) return object_elements(values);
    if (PyList_Check(values.ptr()) == 0 && PyTuple_Check(values.ptr()) == 0) {
        throw py::type_error("expected a list or tuple");
    }
    return {PySequence_Fast_ITEMS(values.ptr()),
            static_cast<std::size_t>(PySequence_Fast_GET_SIZE(values.ptr()))};
}

// The key of a value that neither Python code nor memory is needed for.
std::optional<Key> plain_key(PyObject* value) {
    if (value == Py_None || value == nullptr) return Key();
    if (PyUnicode_Check(value)) return text_in_place(value);
    if (PyLong_CheckExact(value)) {
        int overflow = 0;
        const long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (overflow == 0) return Key::integer(number);
    }
    return std::nullopt;
}

struct Objects {
    std::span<PyObject* const> states;
    std::optional<std::span<PyObject* const>> next_states;
    Mask mask;

    // In a rollout loop the state after a step and the state before the following one are the same
    // object.
    [[nodiscard]] bool is_following_state(std::size_t row) const {
        return row + 1 < states.size() && (*next_states)[row] == states[row + 1] &&
               !mask.hides(row + 1);
    }
};

// Which kinds of keys a column has, a bit for each.
using Kinds = std::uint32_t;

constexpr Kinds kind_bit(KeyKind kind) { return Kinds{1} << static_cast<unsigned>(kind); }

// Whether one column has integers only and the other text only: somebody has forgotten to make keys
// of both.
bool are_of_two_worlds(Kinds states, Kinds next_states) {
    constexpr Kinds integer = kind_bit(KeyKind::integer);
    const auto has_only_text = [](Kinds kinds) { return kinds != 0 && (kinds & integer) == 0; };
    return (states == integer && has_only_text(next_states)) ||
           (next_states == integer && has_only_text(states));
}

struct Numbers {
    explicit Numbers(const Objects& objects)
        : states(objects.states.size(), none),
          next_states(objects.next_states ? states.size() : 0, none) {}

    Array<std::int32_t> states;  // by row
    Array<std::int32_t> next_states;
};

// By row, 0 where there is no number; empty: nobody asks for them.
struct StableKeys {
    std::vector<std::int64_t> states;
    std::vector<std::int64_t> next_states;
};

// Of plain keys, wherever their texts lie.
class StableKeyOf {
  public:
    [[nodiscard]] std::int64_t operator()(const Key& key) {
        switch (key.kind()) {
            case KeyKind::ucs1_text:
                return of_units<Py_UCS1>(key.bytes());
            case KeyKind::ucs2_text:
                return of_units<Py_UCS2>(key.bytes());
            case KeyKind::ucs4_text:
                return of_units<Py_UCS4>(key.bytes());
            default:
                return stable_key(key);
        }
    }

  private:
    template <typename Unit>
    std::int64_t of_units(std::string_view bytes) {
        const auto* const units = reinterpret_cast<const Unit*>(bytes.data());  // of a str: aligned
        const std::span text(units, bytes.size() / sizeof(Unit));
        return stable_key(Key::view(KeyKind::text, encoder_.encode(text)));
    }

    TextEncoder encoder_;
};

// Numbers the rows of one group, from 0 on.
class GroupNumbering {
  public:
    GroupNumbering(const Objects& objects, std::size_t begin, std::size_t end, Numbers& numbers)
        : objects_(&objects),
          begin_(begin),
          end_(end),
          numbers_(&numbers),
          known_((end - begin) / 2) {}

    // False: a value is not plain.
    [[nodiscard]] bool run() {
        StopMeter meter;
        for (std::size_t row = begin_; row < end_ + ahead; ++row) {
            meter();
            if (row < end_ && !read(row)) return false;
            if (!asks_at_once_ && row >= begin_ + later && row - later < end_) {
                prefetch(key_of(row - later));
                prefetch(next_key_of(row - later));
            }
            if (row >= begin_ + ahead) number_row(row - ahead);
        }
        if (objects_->next_states) number_next_state(end_ - 1, nullptr);
        return true;
    }

    // Of the rows that were numbered. Every state is read once more, while it is not yet cold.
    void write(StableKeys& stable) const {
        Array<std::int64_t> by_number(known_.size());
        std::ranges::transform(known_.keys(), by_number.begin(), StableKeyOf());
        const auto write_rows = [&](std::span<const std::int32_t> numbers, auto& keys) {
            for (std::size_t row = begin_; row < end_; ++row) {
                if (numbers[row] != none) keys[row] = by_number[index(numbers[row])];
            }
        };
        write_rows(numbers_->states, stable.states);
        if (objects_->next_states) write_rows(numbers_->next_states, stable.next_states);
    }

    [[nodiscard]] Kinds kinds() const noexcept { return kinds_; }
    [[nodiscard]] Kinds next_kinds() const noexcept { return next_kinds_; }

  private:
    // Objects lie anywhere in memory, where the processor does not see them coming: rows are read
    // this many before they are numbered, and their heads asked for as many before that.
    static constexpr std::size_t ahead = Interner::block;
    // Texts are asked for this many rows after they were read: fewer cache lines wait for their
    // turn, a tenth of the time of numbering two columns that share no object.
    static constexpr std::size_t later = ahead / 2;

    [[nodiscard]] bool is_block(std::size_t row) const { return (row - begin_) % ahead == 0; }
    [[nodiscard]] Key& key_of(std::size_t row) { return keys_[(row - begin_) % keys_.size()]; }
    [[nodiscard]] Key& next_key_of(std::size_t row) {
        return next_keys_[(row - begin_) % next_keys_.size()];
    }

    bool read(std::size_t row) {
        const auto& [states, next_states, mask] = *objects_;
        if (row + ahead < states.size()) {
            prefetch_head(states[row + ahead]);
            if (next_states) prefetch_head((*next_states)[row + ahead]);
        }
        const auto take = [this](PyObject* object, Key& key, Kinds& kinds) {
            const std::optional<Key> plain = plain_key(object);
            if (!plain) return false;
            key = *plain;
            if (!key.is_null()) kinds |= kind_bit(key.kind());
            if (asks_at_once_) prefetch(key);
            return true;
        };
        key_of(row) = Key();
        next_key_of(row) = Key();
        if (mask.hides(row)) return true;
        if (!take(states[row], key_of(row), kinds_)) return false;
        if (!next_states || (row + 1 < end_ && objects_->is_following_state(row))) return true;
        return take((*next_states)[row], next_key_of(row), next_kinds_);
    }

    void number_row(std::size_t row) {
        if (is_block(row) && known_.is_beyond_cache()) {
            const std::size_t first = (row - begin_) % keys_.size();
            known_.expect(std::span(keys_).subspan(first, std::min(end_ - row, ahead)));
        }
        const Key& key = key_of(row);
        if (!key.is_null()) numbers_->states[row] = known_.intern(key);
        if (objects_->next_states && row > begin_) number_next_state(row - 1, &key);
    }

    // The state of the following row, if there is one, is what most steps lead to.
    void number_next_state(std::size_t row, const Key* following) {
        std::int32_t& number = numbers_->next_states[row];
        if (following != nullptr && objects_->is_following_state(row)) {
            number = numbers_->states[row + 1];
            return;
        }
        const Key& key = next_key_of(row);
        if (key.is_null()) return;
        if (following != nullptr && key == *following) {
            number = numbers_->states[row + 1];
        } else {
            number = known_.intern(key);
        }
    }

    static void prefetch_head(PyObject* object) {
        graphgpo::prefetch(static_cast<const void*>(object));
        graphgpo::prefetch(reinterpret_cast<const char*>(object) + 40);
    }

    const Objects* objects_;
    std::size_t begin_;
    std::size_t end_;
    Numbers* numbers_;
    Interner known_;
    // A large table wants all texts of a block before the first row of it is numbered.
    bool asks_at_once_ = known_.is_beyond_cache();
    Kinds kinds_ = 0;
    Kinds next_kinds_ = 0;
    std::array<Key, 2 * ahead> keys_;       // of the rows about, states
    std::array<Key, 2 * ahead> next_keys_;  // null where the object is the following state
};

// The rows of each group, if those of none are apart.
std::optional<std::vector<std::pair<std::size_t, std::size_t>>> runs_of_groups(
    const KeyColumn& group_ids, const Mask& mask) {
    std::vector<std::pair<std::size_t, std::size_t>> runs;
    const std::size_t rows = num_rows(group_ids);
    Interner groups(0);
    const auto find_runs = [&](const auto& ids) {
        std::size_t end = 0;
        StopMeter meter;
        for (std::size_t begin = 0; begin < rows; begin = end) {
            meter();
            end = begin + 1;
            if (mask.hides(begin)) continue;
            const Key group = key_at(ids, id_of(begin));
            for (; end < rows; ++end) {
                if (!mask.hides(end) && key_at(ids, id_of(end)) != group) break;
            }
            if (index(groups.intern(group)) != runs.size()) return false;
            runs.emplace_back(begin, end);
        }
        return true;
    };
    if (!std::visit(find_runs, group_ids)) return std::nullopt;
    return runs;
}

// Nothing where numbering is not for these columns: a value is not plain, a group comes back after
// another one, there may be more values than numbers, or a list has changed since its length was
// checked.
std::optional<std::pair<OwnedKeyColumn, std::optional<OwnedKeyColumn>>> number_objects(
    const py::object& states, const py::object& next_states, const OwnedKeyColumn& group_ids,
    const std::optional<Column<bool>>& mask, bool stable, std::size_t num_threads) {
    Objects objects{.states = elements(states), .next_states = std::nullopt, .mask = Mask(mask)};
    if (!next_states.is_none()) objects.next_states = elements(next_states);
    const std::size_t rows = objects.states.size();
    if (num_rows(group_ids.view()) != rows || rows > max_rows / 2 ||
        (objects.next_states && objects.next_states->size() != rows)) {
        return std::nullopt;
    }
    const auto runs = runs_of_groups(group_ids.view(), objects.mask);
    if (!runs) return std::nullopt;

    Numbers numbers(objects);
    StableKeys stable_keys;
    if (stable) {
        stable_keys.states.resize(numbers.states.size());
        stable_keys.next_states.resize(numbers.next_states.size());
    }
    std::atomic<bool> is_plain = true;
    std::atomic<Kinds> kinds = 0;
    std::atomic<Kinds> next_kinds = 0;
    parallel_for(runs->size(), useful_threads(num_threads, rows), [&](std::size_t group) {
        const auto [begin, end] = (*runs)[group];
        const Workspace workspace;
        GroupNumbering numbering(objects, begin, end, numbers);
        if (is_plain && !numbering.run()) is_plain = false;
        if (is_plain && stable) numbering.write(stable_keys);
        kinds |= numbering.kinds();
        next_kinds |= numbering.next_kinds();
    });
    if (!is_plain || are_of_two_worlds(kinds, next_kinds)) return std::nullopt;
    const auto column = [&](Array<std::int32_t>& of_rows, std::vector<std::int64_t>& keys) {
        std::optional<Column<std::int64_t>> kept;
        if (stable) kept = to_numpy(std::move(keys));
        return OwnedKeyColumn(std::move(of_rows), std::move(kept));
    };
    OwnedKeyColumn numbered = column(numbers.states, stable_keys.states);
    if (!objects.next_states) return {{std::move(numbered), std::nullopt}};
    return {{std::move(numbered), column(numbers.next_states, stable_keys.next_states)}};
}

}  // namespace

void bind_numbering(py::module_& module) {
    module.def(
        "number_objects",
        [](const py::object& states, const py::object& next_states, const OwnedKeyColumn& group_ids,
           const std::optional<Column<bool>>& mask, bool stable, std::size_t num_threads) {
            return without_handlers([&] {
                return number_objects(states, next_states, group_ids, mask, stable, num_threads);
            });
        },
        py::kw_only(), "states"_a, "next_states"_a, "group_ids"_a, "mask"_a, "stable"_a,
        "num_threads"_a);
}

}  // namespace graphgpo::bindings
