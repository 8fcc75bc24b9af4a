// A column of states or ids on its way into the core: keys, and all that their views rest on.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "arrays.hpp"
#include "graphgpo/columns.hpp"
#include "graphgpo/memory.hpp"

namespace graphgpo::bindings {

// Which rows exist; the values of the others are never looked at. No mask: all do.
class Mask {
  public:
    explicit Mask(const std::optional<Column<bool>>& mask) : rows_(view(mask)) {}
    [[nodiscard]] bool hides_nothing() const noexcept { return !rows_; }
    [[nodiscard]] bool hides(std::size_t row) const noexcept {
        return rows_ && row < rows_->size() && (*rows_)[row] == 0;
    }

  private:
    std::optional<std::span<const std::uint8_t>> rows_;
};

// Bytes that stay where they are until the column goes.
class Arena {
  public:
    [[nodiscard]] char* allocate(std::size_t size) {
        return static_cast<char*>(memory_->allocate(size == 0 ? 1 : size, 1));
    }
    [[nodiscard]] std::string_view copy(std::string_view bytes);

  private:
    std::unique_ptr<std::pmr::monotonic_buffer_resource> memory_ =
        std::make_unique<std::pmr::monotonic_buffer_resource>();
};

// The key of an array: `header` as `array_header` writes it, then the elements.
[[nodiscard]] Key array_key(Arena& arena, std::string_view header, std::string_view elements);

class OwnedKeyColumn {
  public:
    // `numbers` as NumberedKeys has them; `stable_keys` by row, if somebody asks for them: 0 where
    // there is no number.
    OwnedKeyColumn(Array<std::int32_t> numbers, std::optional<Column<std::int64_t>> stable_keys);
    // `owner` keeps alive what keys view outside the arena: Arrow buffers, another column.
    OwnedKeyColumn(Array<Key> keys, Arena arena, py::object owner);
    // `objects` are those the keys were read from, and may view.
    OwnedKeyColumn(Array<Key> keys, Arena arena, py::tuple objects, py::object owner);
    explicit OwnedKeyColumn(Column<std::int64_t> integers);
    // A numeric (N, ...) array, C-contiguous and canonical; `header` as `array_header` writes it.
    OwnedKeyColumn(py::array rows, std::string header);

    [[nodiscard]] KeyColumn view() const;
    // By row; null for a column that was not read from objects.
    [[nodiscard]] const py::tuple& objects() const noexcept { return objects_; }
    [[nodiscard]] bool is_rows() const noexcept { return std::holds_alternative<Rows>(data_); }
    [[nodiscard]] bool is_numbered() const noexcept {
        return std::holds_alternative<Array<std::int32_t>>(data_);
    }
    // Whether both hold numbers, or both int64s: then equal states have equal keys.
    [[nodiscard]] bool is_comparable_at_once(const OwnedKeyColumn& other) const noexcept {
        return data_.index() == other.data_.index() &&
               (is_numbered() || std::holds_alternative<Column<std::int64_t>>(data_));
    }
    // By row, of any column that is not numbered or was numbered together with them; 0 where it is
    // null. The GIL is let go meanwhile.
    [[nodiscard]] py::array_t<std::int64_t> stable_keys() const;
    // Whether there is a value, nulls aside, and every value is of one of `kinds`. Of a column that
    // is not numbered: numbers do not know what they stand for.
    [[nodiscard]] bool holds_only(std::initializer_list<KeyKind> kinds) const;
    // Whether there is a value, nulls aside, and no value is of `kind`.
    [[nodiscard]] bool lacks(KeyKind kind) const;
    // Rows of a numeric array as keys of their own, which match arrays in an object column.
    [[nodiscard]] OwnedKeyColumn with_arrays_apart() const;

  private:
    struct Rows {
        py::array array;
        std::string header;
    };
    std::variant<Array<Key>, Column<std::int64_t>, Rows, Array<std::int32_t>> data_;
    std::optional<Column<std::int64_t>> stable_keys_;  // where `data_` does not know them
    Arena arena_;
    py::tuple objects_{py::reinterpret_steal<py::tuple>(py::handle())};
    py::object owner_;
};

void bind_key_column(py::module_& module);
void bind_objects(py::module_& module);
void bind_numbering(py::module_& module);
void bind_numbers(py::module_& module);
void bind_numpy(py::module_& module);
void bind_plain_arrays(py::module_& module);
void bind_arrow(py::module_& module);
void bind_arrow_numbers(py::module_& module);

}  // namespace graphgpo::bindings
