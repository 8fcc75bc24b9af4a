// Arrow columns to keys and numbers, by the Arrow C data interface: no Arrow library is needed, and
// text is viewed in the buffers of whoever made it.
// https://arrow.apache.org/docs/format/CDataInterface.html, CStreamInterface.html
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "arrow_c.hpp"
#include "errors.hpp"
#include "key_column.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

// Owns one of the interface's structs, taken out of its capsule.
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

template <typename Struct>
Struct& in_capsule(const py::handle& capsule, const char* capsule_name) {
    auto* pointer = static_cast<Struct*>(PyCapsule_GetPointer(capsule.ptr(), capsule_name));
    if (pointer == nullptr) throw py::error_already_set();
    return *pointer;
}

// A column, whole or in chunks, with the buffers it rests on.
struct ArrowColumn {
    Owned<ArrowSchema> schema;
    std::vector<Owned<ArrowArray>> chunks;

    [[nodiscard]] std::size_t num_rows() const {
        std::size_t rows = 0;
        for (const auto& chunk : chunks) rows += static_cast<std::size_t>(chunk->length);
        return rows;
    }
};

ArrowColumn read_stream(const py::object& capsule, const std::string& name) {
    Owned<ArrowArrayStream> stream(in_capsule<ArrowArrayStream>(capsule, "arrow_array_stream"));
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

// Before anything is allocated for the rows.
void check_num_rows(const ArrowColumn& column, const std::string& name) {
    if (column.num_rows() <= max_rows) return;
    raise(PyExc_ValueError, name + " has " + std::to_string(column.num_rows()) +
                                " rows; expected at most 2147483646 (2**31 - 2)");
}

ArrowColumn read_column(const py::object& object, const std::string& name) {
    if (py::hasattr(object, "__arrow_c_array__")) {
        const py::tuple capsules = object.attr("__arrow_c_array__")();
        ArrowColumn column;
        column.schema = Owned(in_capsule<ArrowSchema>(capsules[0], "arrow_schema"));
        column.chunks.emplace_back(in_capsule<ArrowArray>(capsules[1], "arrow_array"));
        return column;
    }
    return read_stream(object.attr("__arrow_c_stream__")(), name);
}

[[noreturn]] void refuse_format(const std::string& name, const ArrowSchema& schema,
                                const char* expected) {
    raise(PyExc_TypeError,
          name + " is an Arrow column of format '" + schema.format + "'; expected " + expected);
}

bool is_valid(const ArrowArray& array, std::int64_t i) {
    if (array.null_count == 0 || array.buffers[0] == nullptr) return true;
    const auto* bitmap = static_cast<const std::uint8_t*>(array.buffers[0]);
    const auto bit = static_cast<std::uint64_t>(array.offset + i);
    return ((bitmap[bit / 8] >> (bit % 8)) & 1) != 0;
}

template <typename T>
T value_at(const ArrowArray& array, std::int64_t i) {
    return static_cast<const T*>(array.buffers[1])[array.offset + i];
}

bool flag_at(const ArrowArray& array, std::int64_t i) {
    const auto bit = static_cast<std::uint64_t>(array.offset + i);
    return ((static_cast<const std::uint8_t*>(array.buffers[1])[bit / 8] >> (bit % 8)) & 1) != 0;
}

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
    if (format == "f") return visit(float{}), true;
    if (format == "g") return visit(double{}), true;
    return false;
}

// Offsets of u, U, z, Z.
template <typename Offset>
std::string_view bytes_at(const ArrowArray& array, std::int64_t i) {
    const auto* offsets = static_cast<const Offset*>(array.buffers[1]) + array.offset + i;
    const auto size = static_cast<std::size_t>(offsets[1] - offsets[0]);
    if (size == 0) return {};
    return {static_cast<const char*>(array.buffers[2]) + offsets[0], size};
}

// vu, vz: 16 bytes per value, which hold its size and either the value or where it lies.
std::string_view view_at(const ArrowArray& array, std::int64_t i) {
    const auto* view = static_cast<const char*>(array.buffers[1]) + 16 * (array.offset + i);
    std::int32_t fields[4];
    std::memcpy(fields, view, sizeof fields);
    const auto size = static_cast<std::size_t>(fields[0]);
    if (size <= 12) return {view + 4, size};
    return {static_cast<const char*>(array.buffers[2 + fields[2]]) + fields[3], size};
}

Key integer_key(std::int64_t value, Arena&) { return Key::integer(value); }

Key integer_key(std::uint64_t value, Arena& arena) {
    if (value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return Key::integer(static_cast<std::int64_t>(value));
    }
    // As objects of 2^63 and more are written: 64 bits of value, 8 of sign.
    std::string bytes;
    for (int byte = 0; byte < 9; ++byte) {
        bytes.push_back(byte < 8 ? static_cast<char>(value >> (8 * byte)) : '\0');
    }
    return Key::view(KeyKind::big_integer, arena.copy(bytes));
}

// Fills keys for one array, from `row` of the column on. Null is the null key.
class KeyReader {
  public:
    KeyReader(const std::string& name, Role role, const Mask& mask, Arena& arena)
        : name_(&name), role_(role), mask_(&mask), arena_(&arena) {}

    void read(const ArrowSchema& schema, const ArrowArray& array, std::size_t row,
              std::vector<Key>& keys) const {
        const std::string_view format = schema.format;
        if (schema.dictionary != nullptr) return read_dictionary(schema, array, row, keys);
        if (format == "n") {
            keys.resize(keys.size() + static_cast<std::size_t>(array.length));
        } else if (format == "u" || format == "z") {
            append_bytes(array, format == "u", row, keys, bytes_at<std::int32_t>);
        } else if (format == "U" || format == "Z") {
            append_bytes(array, format == "U", row, keys, bytes_at<std::int64_t>);
        } else if (format == "vu" || format == "vz") {
            append_bytes(array, format == "vu", row, keys, view_at);
        } else if (format.starts_with("w:")) {
            const std::size_t width = std::stoul(std::string(format.substr(2)));
            append_bytes(array, false, row, keys, [=](const ArrowArray& fixed, std::int64_t i) {
                const auto* data = static_cast<const char*>(fixed.buffers[1]);
                return std::string_view(data + static_cast<std::size_t>(fixed.offset + i) * width,
                                        width);
            });
        } else if (with_integer_type(format, [&]<typename T>(T) {
                       using Wide =
                           std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>;
                       append(array, row, keys, [&](std::int64_t i, std::size_t) {
                           return integer_key(Wide{value_at<T>(array, i)}, *arena_);
                       });
                   })) {
        } else if (role_ == Role::id) {
            refuse_format(*name_, schema, "integers, strings or binary");
        } else if (format == "b") {
            append(array, row, keys, [&](std::int64_t i, std::size_t) {
                return Key::word(KeyKind::boolean, flag_at(array, i) ? 1 : 0);
            });
        } else if (with_float_type(format, [&]<typename T>(T) {
                       append(array, row, keys, [&](std::int64_t i, std::size_t at) {
                           return real_key(value_at<T>(array, i), at);
                       });
                   })) {
        } else {
            refuse_format(*name_, schema,
                          "strings, binary, integers, booleans, floats of 32 or 64 bits, or a "
                          "dictionary of these");
        }
    }

  private:
    template <typename MakeKey>
    void append(const ArrowArray& array, std::size_t row, std::vector<Key>& keys,
                MakeKey&& make_key) const {
        for (std::int64_t i = 0; i < array.length; ++i, ++row) {
            const bool exists = !mask_->hides(row) && is_valid(array, i);
            keys.push_back(exists ? make_key(i, row) : Key());
        }
    }

    template <typename BytesAt>
    void append_bytes(const ArrowArray& array, bool is_text, std::size_t row,
                      std::vector<Key>& keys, BytesAt&& at) const {
        const KeyKind kind = is_text ? KeyKind::text : KeyKind::bytes;
        append(array, row, keys,
               [&](std::int64_t i, std::size_t) { return Key::view(kind, at(array, i)); });
    }

    [[nodiscard]] Key real_key(double value, std::size_t row) const {
        if (std::isnan(value)) {
            raise(PyExc_ValueError,
                  *name_ + "[" + std::to_string(row) +
                      "] is nan; expected a number: NaN equals nothing, not even itself");
        }
        return Key::word(KeyKind::real, std::bit_cast<std::uint64_t>(value + 0.0));
    }

    void read_dictionary(const ArrowSchema& schema, const ArrowArray& array, std::size_t row,
                         std::vector<Key>& keys) const {
        std::vector<Key> entries;
        const Mask everything(std::nullopt);
        KeyReader(*name_, role_, everything, *arena_)
            .read(*schema.dictionary, *array.dictionary, 0, entries);
        const bool is_indexed = with_integer_type(schema.format, [&]<typename T>(T) {
            append(array, row, keys, [&](std::int64_t i, std::size_t) {
                return entries[static_cast<std::size_t>(value_at<T>(array, i))];
            });
        });
        if (!is_indexed) refuse_format(*name_, schema, "a dictionary indexed by integers");
    }

    const std::string* name_;
    Role role_;
    const Mask* mask_;
    Arena* arena_;
};

OwnedKeyColumn keys_from_arrow(const py::object& values, const std::optional<Column<bool>>& mask,
                               const std::string& name, bool is_id) {
    auto column = std::make_unique<ArrowColumn>(read_column(values, name));
    check_num_rows(*column, name);
    const Mask masked(mask);
    Arena arena;
    const KeyReader reader(name, is_id ? Role::id : Role::state, masked, arena);
    std::vector<Key> keys;
    keys.reserve(column->num_rows());
    for (const auto& chunk : column->chunks) {
        reader.read(*column->schema, *chunk, keys.size(), keys);
    }
    const py::capsule owner(column.get(),
                            [](void* owned) noexcept { delete static_cast<ArrowColumn*>(owned); });
    (void)column.release();  // the capsule's now
    return {std::move(keys), std::move(arena), owner};
}

// One number of a numeric column. `Source` is what Arrow holds, `T` what the column is for.
template <typename T, typename Source>
T checked(Source value, const std::string& name, std::size_t row) {
    const auto refuse = [&](const char* expected) {
        raise(PyExc_ValueError, name + "[" + std::to_string(row) + "] is " +
                                    std::string(py::str(py::cast(value))) + "; expected " +
                                    expected);
    };
    if constexpr (std::is_same_v<T, std::uint8_t>) {
        if (value != 0 && value != 1) refuse("a bool, or exactly 0 or 1");
    } else if constexpr (std::is_same_v<T, std::int64_t> && std::is_same_v<Source, std::uint64_t>) {
        if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            refuse("an int an int64 can hold");
        }
    }
    return static_cast<T>(value);
}

template <typename T>
std::vector<T> numbers_from_arrow(const py::object& values, const std::optional<Column<bool>>& mask,
                                  const std::string& name, const char* expected) {
    const ArrowColumn column = read_column(values, name);
    check_num_rows(column, name);
    const std::string_view format = column.schema->format;
    const Mask masked(mask);
    std::vector<T> numbers;
    numbers.reserve(column.num_rows());
    for (const auto& chunk : column.chunks) {
        const ArrowArray& array = *chunk;
        const auto append = [&](auto&& value_of) {
            for (std::int64_t i = 0; i < array.length; ++i) {
                const std::size_t row = numbers.size();
                if (masked.hides(row)) {
                    numbers.push_back(T{});
                    continue;
                }
                if (format == "n" || !is_valid(array, i)) {
                    raise(PyExc_ValueError,
                          name + "[" + std::to_string(row) + "] is null; expected " + expected);
                }
                numbers.push_back(checked<T>(value_of(i), name, row));
            }
        };
        constexpr bool takes_floats = !std::is_same_v<T, std::int64_t>;
        const auto append_typed = [&]<typename Source>(Source) {
            append([&](std::int64_t i) { return value_at<Source>(array, i); });
        };
        const bool is_known =
            column.schema->dictionary == nullptr &&
            (with_integer_type(format, append_typed) ||
             (takes_floats && with_float_type(format, append_typed)) ||
             (takes_floats && format == "b" &&
              (append([&](std::int64_t i) { return flag_at(array, i) ? 1 : 0; }), true)) ||
             (format == "n" && (append([](std::int64_t) { return 0; }), true)));
        if (!is_known) refuse_format(name, *column.schema, expected);
    }
    return numbers;
}

}  // namespace

void bind_arrow(py::module_& module) {
    module.def("keys_from_arrow", &keys_from_arrow, py::kw_only(), "values"_a, "mask"_a, "name"_a,
               "is_id"_a);
    module.def(
        "reals_from_arrow",
        [](const py::object& values, const std::optional<Column<bool>>& mask,
           const std::string& name) {
            return to_numpy(numbers_from_arrow<double>(values, mask, name, "a number"));
        },
        py::kw_only(), "values"_a, "mask"_a, "name"_a);
    module.def(
        "integers_from_arrow",
        [](const py::object& values, const std::optional<Column<bool>>& mask,
           const std::string& name) {
            return to_numpy(numbers_from_arrow<std::int64_t>(values, mask, name, "an int"));
        },
        py::kw_only(), "values"_a, "mask"_a, "name"_a);
    module.def(
        "flags_from_arrow",
        [](const py::object& values, const std::optional<Column<bool>>& mask,
           const std::string& name) {
            return to_numpy(numbers_from_arrow<std::uint8_t>(values, mask, name,
                                                             "a bool, or exactly 0 or 1"))
                .attr("view")("?");
        },
        py::kw_only(), "values"_a, "mask"_a, "name"_a);
}

}  // namespace graphgpo::bindings
