// Arrow columns to keys, by the Arrow C data interface: no Arrow library is needed, and text is
// viewed in the buffers of whoever made it.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "arrow_column.hpp"
#include "encoder.hpp"
#include "errors.hpp"
#include "gil.hpp"
#include "key_column.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

// A value that lies where its column has none: what the offsets of an Arrow column say is its
// maker's word, and they may be broken, or change.
struct Outside {};

void require_inside(bool is_inside) {
    if (!is_inside) throw Outside{};
}

// Offsets of u, U, z, Z.
template <typename Offset>
struct BytesBetweenOffsets {
    explicit BytesBetweenOffsets(const ArrowArray& array)
        : offsets(static_cast<const Offset*>(array.buffers[1]) + array.offset),
          data(static_cast<const char*>(array.buffers[2])),
          end(array.length == 0 ? Offset{0} : offsets[array.length]) {}

    std::string_view operator()(std::int64_t i) const {
        const Offset first = offsets[i];
        const Offset last = offsets[i + 1];
        require_inside(0 <= first && first <= last && last <= end);
        if (first == last) return {};
        return {data + first, static_cast<std::size_t>(last - first)};
    }

    const Offset* offsets;
    const char* data;
    Offset end;  // of the data, as far as the interface says
};

// vu, vz: 16 bytes per value, which hold its size and either the value or where it lies: in which
// buffer of data, and from where on. The last buffer has the sizes of those.
std::string_view view_at(const ArrowArray& array, std::int64_t i) {
    const auto* view = static_cast<const char*>(array.buffers[1]) + 16 * (array.offset + i);
    std::int32_t fields[4];
    std::memcpy(fields, view, sizeof fields);
    const auto [size, prefix, buffer, begin] = fields;
    require_inside(size >= 0);
    if (size <= 12) return {view + 4, static_cast<std::size_t>(size)};
    const std::int64_t num_buffers = array.n_buffers - 3;
    require_inside(0 <= buffer && buffer < num_buffers && begin >= 0);
    const auto* sizes = static_cast<const std::int64_t*>(array.buffers[array.n_buffers - 1]);
    require_inside(std::int64_t{begin} + size <= sizes[buffer]);
    return {static_cast<const char*>(array.buffers[2 + buffer]) + begin,
            static_cast<std::size_t>(size)};
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
    KeyReader(const std::string& name, Role role, const Mask& mask, Arena& arena,
              NaNMeans nan = NaNMeans::nothing_equal)
        : name_(&name), role_(role), mask_(&mask), arena_(&arena), nan_(nan) {}

    void read(const ArrowSchema& schema, const ArrowArray& array, std::size_t row,
              Array<Key>& keys) const {
        const std::string_view format = schema.format;
        if (schema.dictionary != nullptr) return read_dictionary(schema, array, row, keys);
        if (format == "n") {
            keys.resize(keys.size() + static_cast<std::size_t>(array.length));
        } else if (format == "u" || format == "z") {
            append_bytes(array, format == "u", row, keys, BytesBetweenOffsets<std::int32_t>(array));
        } else if (format == "U" || format == "Z") {
            append_bytes(array, format == "U", row, keys, BytesBetweenOffsets<std::int64_t>(array));
        } else if (format == "vu" || format == "vz") {
            append_bytes(array, format == "vu", row, keys,
                         [&](std::int64_t i) { return view_at(array, i); });
        } else if (format.starts_with("w:")) {
            const std::size_t width = std::stoul(std::string(format.substr(2)));
            const char* const data = static_cast<const char*>(array.buffers[1]) +
                                     static_cast<std::size_t>(array.offset) * width;
            append_bytes(array, false, row, keys, [=](std::int64_t i) {
                return std::string_view(data + static_cast<std::size_t>(i) * width, width);
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
        } else if (is_nested(format)) {
            append(array, row, keys, [&](std::int64_t i, std::size_t at) {
                return nested_key(schema, array, i, at);
            });
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
                          "strings, binary, integers, booleans, floats, or "
                          "dictionaries, lists or structs of these");
        }
    }

  private:
    template <typename MakeKey>
    void append(const ArrowArray& array, std::size_t row, Array<Key>& keys,
                MakeKey&& make_key) const {
        const bool exist_all = mask_->hides_nothing() && has_no_nulls(array);
        const std::size_t first = keys.size();
        keys.resize(first + static_cast<std::size_t>(array.length));
        const auto appended = std::span(keys).subspan(first);
        for (std::int64_t i = 0; i < array.length; ++i, ++row) {
            hear_signals(static_cast<std::size_t>(i));
            const bool exists = exist_all || (!mask_->hides(row) && is_valid(array, i));
            if (!exists) continue;
            try {
                appended[static_cast<std::size_t>(i)] = make_key(i, row);
            } catch (const Outside&) {
                raise(PyExc_ValueError, cell(row) + (is_dictionary_ ? " of the dictionary" : "") +
                                            " lies outside the buffers of its Arrow column; "
                                            "expected a valid column that nobody changes");
            }
        }
    }

    template <typename BytesAt>
    void append_bytes(const ArrowArray& array, bool is_text, std::size_t row, Array<Key>& keys,
                      BytesAt&& at) const {
        const KeyKind kind = is_text ? KeyKind::text : KeyKind::bytes;
        if (role_ == Role::id) {  // read more than once: never in memory that others may change
            append(array, row, keys, [&](std::int64_t i, std::size_t) {
                return Key::view(kind, arena_->copy(at(i)));
            });
            return;
        }
        append(array, row, keys,
               [&](std::int64_t i, std::size_t) { return Key::view(kind, at(i)); });
    }

    void read_dictionary(const ArrowSchema& schema, const ArrowArray& array, std::size_t row,
                         Array<Key>& keys) const {
        Array<Key> entries;
        const Mask everything(std::nullopt);
        KeyReader dictionary(*name_, role_, everything, *arena_);
        dictionary.is_dictionary_ = true;
        dictionary.read(*schema.dictionary, *array.dictionary, 0, entries);
        const bool is_indexed = with_integer_type(schema.format, [&]<typename T>(T) {
            append(array, row, keys, [&](std::int64_t i, std::size_t at) {
                const auto entry = static_cast<std::size_t>(value_at<T>(array, i));
                if (entry >= entries.size()) {
                    raise(PyExc_ValueError,
                          cell(at) + " is entry " + std::to_string(value_at<T>(array, i)) +
                              " of a dictionary of " + std::to_string(entries.size()) +
                              "; expected an entry it has");
                }
                return is_dictionary_ ? entries[entry] : checked(entries[entry], at);
            });
        });
        if (!is_indexed) refuse_format(*name_, schema, "a dictionary indexed by integers");
    }

    [[nodiscard]] static bool is_nested(std::string_view format) {
        return format == "+l" || format == "+L" || format == "+s" || format.starts_with("+w:");
    }

    // One value of an array, as the Python object it stands for would be written.
    [[nodiscard]] Key nested_key(const ArrowSchema& schema, const ArrowArray& array, std::int64_t i,
                                 std::size_t at) const {
        const std::string_view format = schema.format;
        std::string encoded;
        if (format == "+s") {
            std::vector<std::pair<std::string, std::string>> entries;
            for (std::int64_t c = 0; c < schema.n_children; ++c) {
                auto& [key, entry] = entries.emplace_back();
                const char* const name = schema.children[c]->name;
                append_key(key, Key::view(KeyKind::text, name == nullptr ? "" : name));
                append_key(entry, element_key(*schema.children[c], *array.children[c],
                                              array.offset + i, at));
            }
            std::ranges::sort(entries);
            append_word(encoded, entries.size());
            for (const auto& [key, entry] : entries) encoded += key + entry;
            return Key::view(KeyKind::mapping, arena_->copy(encoded));
        }
        const std::int64_t j = array.offset + i;
        std::int64_t begin = 0;
        std::int64_t end = 0;
        if (format == "+l") {
            const auto* offsets = static_cast<const std::int32_t*>(array.buffers[1]);
            begin = offsets[j], end = offsets[j + 1];
        } else if (format == "+L") {
            const auto* offsets = static_cast<const std::int64_t*>(array.buffers[1]);
            begin = offsets[j], end = offsets[j + 1];
        } else {
            const auto width = std::stoll(std::string(format.substr(3)));
            begin = j * width, end = begin + width;
        }
        require_inside(0 <= begin && begin <= end && end <= array.children[0]->length);
        append_word(encoded, static_cast<std::uint64_t>(end - begin));
        for (std::int64_t e = begin; e < end; ++e) {
            append_key(encoded, element_key(*schema.children[0], *array.children[0], e, at));
        }
        return Key::view(KeyKind::sequence, arena_->copy(encoded));
    }

    // `i` counts from where the child's own offset lies.
    [[nodiscard]] Key element_key(const ArrowSchema& schema, const ArrowArray& array,
                                  std::int64_t i, std::size_t at) const {
        require_inside(i < array.length);
        ArrowArray one = array;  // a view of one value; nothing is released by it
        one.offset = array.offset + i;
        one.length = 1;
        one.null_count = -1;
        Array<Key> keys;
        const Mask everything(std::nullopt);
        KeyReader reader(*name_, role_, everything, *arena_);
        try {
            reader.read(schema, one, 0, keys);
        } catch (py::error_already_set& error) {
            if (!error.matches(PyExc_ValueError)) throw;
            raise(PyExc_ValueError, cell(at) +
                                        " holds a value that cannot be a state; expected "
                                        "no NaN, entries that dictionaries have, and values inside "
                                        "their buffers");
        }
        return keys.front();
    }

    [[nodiscard]] Key real_key(double value, std::size_t row) const {
        const Key key = Key::word(KeyKind::real, std::bit_cast<std::uint64_t>(value + 0.0));
        // In a dictionary it is the rows that matter, and none may use this entry.
        return is_dictionary_ ? key : checked(key, row);
    }

    // No NaN.
    [[nodiscard]] Key checked(const Key& key, std::size_t row) const {
        if (key.kind() != KeyKind::real || !std::isnan(std::bit_cast<double>(key.value()))) {
            return key;
        }
        if (nan_ == NaNMeans::unknown) return {};
        raise(PyExc_ValueError,
              cell(row) + " is nan; expected a number: NaN equals nothing, not even itself");
    }

    [[nodiscard]] std::string cell(std::size_t row) const {
        return *name_ + "[" + std::to_string(row) + "]";
    }

    const std::string* name_;
    Role role_;
    const Mask* mask_;
    Arena* arena_;
    NaNMeans nan_;
    bool is_dictionary_ = false;
};

// int64 in one piece and without nulls, as most id columns are, is viewed as it lies.
std::optional<std::span<const std::int64_t>> as_int64(const ArrowColumn& column) {
    if (column.chunks.size() != 1 || column.schema->dictionary != nullptr) return std::nullopt;
    const ArrowArray& array = *column.chunks.front();
    if (std::string_view(column.schema->format) != "l" || !has_no_nulls(array)) return std::nullopt;
    const auto* values = static_cast<const std::int64_t*>(array.buffers[1]);
    if (reinterpret_cast<std::uintptr_t>(values) % alignof(std::int64_t) != 0) return std::nullopt;
    return std::span(values + array.offset, static_cast<std::size_t>(array.length));
}

OwnedKeyColumn keys_from_arrow(const py::object& values, const std::optional<Column<bool>>& mask,
                               const std::string& name, bool is_id, bool nullable) {
    auto owned = std::make_unique<ArrowColumn>(read_arrow(values, name));
    const ArrowColumn& column = *owned;
    const py::capsule owner(owned.get(),
                            [](void* moved) noexcept { delete static_cast<ArrowColumn*>(moved); });
    (void)owned.release();  // the capsule's now

    const Mask masked(mask);
    Arena arena;
    Array<Key> keys;
    if (column.num_rows() == 0) return {std::move(keys), std::move(arena), owner};  // of any type
    if (const auto integers = as_int64(column); integers && !is_id) {
        return OwnedKeyColumn(Column<std::int64_t>(static_cast<py::ssize_t>(integers->size()),
                                                   integers->data(), owner));
    }
    const KeyReader reader(name, is_id ? Role::id : Role::state, masked, arena,
                           nullable ? NaNMeans::unknown : NaNMeans::nothing_equal);
    keys.reserve(column.num_rows());
    for (const auto& chunk : column.chunks) {
        reader.read(*column.schema, *chunk, keys.size(), keys);
    }
    return {std::move(keys), std::move(arena), owner};
}

}  // namespace

void bind_arrow(py::module_& module) {
    module.def("keys_from_arrow", &keys_from_arrow, py::kw_only(), "values"_a, "mask"_a, "name"_a,
               "is_id"_a, "nullable"_a);
}

}  // namespace graphgpo::bindings
