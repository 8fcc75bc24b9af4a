// An Arrow column taken over from whoever made it, and how its values are read.
// https://arrow.apache.org/docs/format/CDataInterface.html, CStreamInterface.html
#pragma once

#include <pybind11/pybind11.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "arrow_c.hpp"

namespace graphgpo::bindings {

namespace py = pybind11;

// Owns one of the interface's structs: released once, by the last owner.
template <typename Struct>
class Owned {
  public:
    Owned() = default;
    explicit Owned(Struct& moved) : value_(std::exchange(moved, Struct{})) {}
    Owned(Owned&& other) noexcept : value_(std::exchange(other.value_, Struct{})) {}
    Owned& operator=(Owned&& other) noexcept {
        std::swap(value_, other.value_);
        return *this;
    }
    ~Owned() {
        if (value_.release != nullptr) value_.release(&value_);
    }
    [[nodiscard]] Struct* get() noexcept { return &value_; }
    [[nodiscard]] const Struct& operator*() const noexcept { return value_; }
    [[nodiscard]] const Struct* operator->() const noexcept { return &value_; }
    [[nodiscard]] bool is_released() const noexcept { return value_.release == nullptr; }

  private:
    Struct value_{};
};

// A column, whole or in chunks, with the buffers it rests on.
struct ArrowColumn {
    Owned<ArrowSchema> schema;
    std::vector<Owned<ArrowArray>> chunks;

    [[nodiscard]] std::size_t num_rows() const;
};

// From `object.__arrow_c_array__()` or `__arrow_c_stream__()`. At most `max_rows` rows.
[[nodiscard]] ArrowColumn read_arrow(const py::object& object, const std::string& name);

[[noreturn]] void refuse_format(const std::string& name, const ArrowSchema& schema,
                                const char* expected);

[[nodiscard]] inline bool has_no_nulls(const ArrowArray& array) {
    return array.null_count == 0 || array.buffers[0] == nullptr;
}

// Of any format but "n", which has no buffers.
[[nodiscard]] inline bool is_valid(const ArrowArray& array, std::int64_t i) {
    if (has_no_nulls(array)) return true;
    const auto* bitmap = static_cast<const std::uint8_t*>(array.buffers[0]);
    const auto bit = static_cast<std::uint64_t>(array.offset + i);
    return ((bitmap[bit / 8] >> (bit % 8)) & 1) != 0;
}

template <typename T>
[[nodiscard]] T value_at(const ArrowArray& array, std::int64_t i) {
    return static_cast<const T*>(array.buffers[1])[array.offset + i];
}

[[nodiscard]] inline bool flag_at(const ArrowArray& array, std::int64_t i) {
    const auto bit = static_cast<std::uint64_t>(array.offset + i);
    return ((static_cast<const std::uint8_t*>(array.buffers[1])[bit / 8] >> (bit % 8)) & 1) != 0;
}

// An IEEE half, of which C++20 has no type.
struct Half {
    std::uint16_t bits;

    operator double() const {  // NOLINT(google-explicit-constructor): as float converts
        const int exponent = (bits >> 10) & 0x1F;
        const int mantissa = bits & 0x3FF;
        const double size = exponent == 0x1F ? (mantissa == 0 ? HUGE_VAL : std::nan(""))
                            : exponent == 0  ? std::ldexp(mantissa, -24)
                                             : std::ldexp(mantissa + 0x400, exponent - 25);
        return (bits & 0x8000) != 0 ? -size : size;
    }
};

// Calls visit(T{}) with the C type of a primitive format; false: the format is none of them.
template <typename Visitor>
bool with_integer_type(std::string_view format, Visitor&& visit) {
    if (format == "c") return visit(std::int8_t{}), true;
    if (format == "C") return visit(std::uint8_t{}), true;
    if (format == "s") return visit(std::int16_t{}), true;
    if (format == "S") return visit(std::uint16_t{}), true;
    if (format == "i") return visit(std::int32_t{}), true;
    if (format == "I") return visit(std::uint32_t{}), true;
    if (format == "l") return visit(std::int64_t{}), true;
    if (format == "L") return visit(std::uint64_t{}), true;
    return false;
}

template <typename Visitor>
bool with_float_type(std::string_view format, Visitor&& visit) {
    if (format == "e") return visit(Half{}), true;
    if (format == "f") return visit(float{}), true;
    if (format == "g") return visit(double{}), true;
    return false;
}

}  // namespace graphgpo::bindings
