// A column of states or ids on its way into the core: keys, and all that their views rest on.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "arrays.hpp"
#include "graphgpo/columns.hpp"

namespace graphgpo::bindings {

// States may be any value with an equality; ids only int, str, bytes or UUID.
enum class Role { state, id };

// Which rows exist; the values of the others are never looked at. No mask: all do.
class Mask {
  public:
    explicit Mask(const std::optional<Column<bool>>& mask) : rows_(view(mask)) {}
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

class OwnedKeyColumn {
  public:
    // `owner` keeps alive what keys view outside the arena: Python objects, Arrow buffers.
    OwnedKeyColumn(std::vector<Key> keys, Arena arena, py::object owner);
    explicit OwnedKeyColumn(Column<std::int64_t> integers);
    // A numeric (N, ...) array, C-contiguous and canonical; `header` as `array_header` writes it.
    OwnedKeyColumn(py::array rows, std::string header);

    [[nodiscard]] KeyColumn view() const;
    [[nodiscard]] bool is_rows() const noexcept { return std::holds_alternative<Rows>(data_); }
    [[nodiscard]] const std::string& header() const { return std::get<Rows>(data_).header; }
    // Bit k: a key of KeyKind k is there.
    [[nodiscard]] std::uint32_t kinds() const;
    // Rows of a numeric array as keys of their own, which match arrays in an object column.
    [[nodiscard]] OwnedKeyColumn with_arrays_apart() const;

  private:
    struct Rows {
        py::array array;
        std::string header;
    };
    std::variant<std::vector<Key>, Column<std::int64_t>, Rows> data_;
    Arena arena_;
    py::object owner_;
};

void bind_key_column(py::module_& module);
void bind_objects(py::module_& module);
void bind_numpy(py::module_& module);
void bind_arrow(py::module_& module);

}  // namespace graphgpo::bindings
