#include "numeric_arrays.hpp"

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace graphgpo::bindings {

namespace {

// IEEE floats by their bits: every width in the same way, half precision included.
template <typename Bits>
struct FloatBits {
    static constexpr Bits sign = Bits{1} << (8 * sizeof(Bits) - 1);
    static constexpr int mantissa_bits = sizeof(Bits) == 2 ? 10 : sizeof(Bits) == 4 ? 23 : 52;
    static constexpr Bits infinity =
        static_cast<Bits>((static_cast<Bits>(~sign) >> mantissa_bits) << mantissa_bits);

    static bool is_nan(Bits bits) { return static_cast<Bits>(bits & ~sign) > infinity; }
    static bool is_negative_zero(Bits bits) { return bits == sign; }
};

template <typename T>
std::span<const T> elements(const py::array& array) {
    return {static_cast<const T*>(array.data()), static_cast<std::size_t>(array.size())};
}

// Only of a copy made here.
template <typename T>
std::span<T> elements_of_copy(py::array& copy) {
    return {static_cast<T*>(copy.mutable_data()), static_cast<std::size_t>(copy.size())};
}

template <typename Visitor>
auto with_float_bits(py::ssize_t item_size, Visitor&& visit) {
    switch (item_size) {
        case 2:
            return visit(std::uint16_t{});
        case 4:
            return visit(std::uint32_t{});
        default:
            return visit(std::uint64_t{});
    }
}

// Without an early exit, which would cost more than it saves: compilers vectorise this.
template <typename T, typename Predicate>
bool any_of(std::span<const T> values, Predicate&& predicate) {
    T found = 0;
    for (const T value : values) found = static_cast<T>(found | static_cast<T>(predicate(value)));
    return found != 0;
}

py::array copy_of(const py::array& array) { return py::array(array.attr("copy")()); }

void canonicalise_floats(CanonicalArray& canonical) {
    with_float_bits(canonical.array.itemsize(), [&]<typename Bits>(Bits) {
        using Float = FloatBits<Bits>;
        canonical.has_nan = any_of(elements<Bits>(canonical.array), Float::is_nan);
        if (!any_of(elements<Bits>(canonical.array), Float::is_negative_zero)) return;
        canonical.array = copy_of(canonical.array);
        std::ranges::replace_if(elements_of_copy<Bits>(canonical.array), Float::is_negative_zero,
                                Bits{0});
    });
}

// A bool array made by a view of other memory may hold any byte.
void canonicalise_bools(CanonicalArray& canonical) {
    const auto is_odd = [](std::uint8_t byte) { return byte > 1; };
    if (!any_of(elements<std::uint8_t>(canonical.array), is_odd)) return;
    canonical.array = copy_of(canonical.array);
    std::ranges::replace_if(elements_of_copy<std::uint8_t>(canonical.array), is_odd,
                            std::uint8_t{1});
}

// numpy.ma: its values behind the mask are not the array's.
bool has_own_mask(const py::array& array) {
    const bool is_subclass = Py_TYPE(array.ptr()) != py::detail::npy_api::get().PyArray_Type_;
    return is_subclass && py::hasattr(array, "mask");
}

// bool, int, uint or float of a width that is read here, and NumPy's own: others may call a byte of
// theirs a float.
bool is_known(const py::dtype& dtype) {
    constexpr int first_of_users = 256;
    const auto size = dtype.itemsize();
    if (dtype.num() >= first_of_users) return false;
    switch (dtype.kind()) {
        case 'b':
            return size == 1;
        case 'i':
        case 'u':
            return size == 1 || size == 2 || size == 4 || size == 8;
        case 'f':
            return size == 2 || size == 4 || size == 8;
        default:
            return false;
    }
}

bool is_plain(const py::array& array, char byte_order) {
    constexpr int wanted = int{py::array::c_style} | int{py::detail::npy_api::NPY_ARRAY_ALIGNED_};
    return (array.flags() & wanted) == wanted && (byte_order == '=' || byte_order == '|');
}

}  // namespace

std::string CanonicalArray::header(py::ssize_t first_axis) const {
    std::vector<std::int64_t> shape;
    for (py::ssize_t axis = first_axis; axis < array.ndim(); ++axis) {
        shape.push_back(array.shape(axis));
    }
    return array_header(kind, static_cast<std::size_t>(array.itemsize()), shape);
}

std::optional<CanonicalArray> canonical_array(const py::array& array) {
    const py::dtype dtype = array.dtype();
    const char kind = dtype.kind();
    if (!is_known(dtype) || array.ndim() > 30 || has_own_mask(array)) return std::nullopt;
    const bool is_float = kind == 'f';

    CanonicalArray canonical{array, kind, false};
    if (!is_plain(array, dtype.byteorder())) {
        const auto require = py::module_::import("numpy").attr("require");
        const py::object native = dtype.attr("newbyteorder")("=");
        canonical.array = py::array(require(array, native, "CA"));
        // `require` makes a single axis of none.
        if (array.ndim() == 0)
            canonical.array = py::array(canonical.array.attr("reshape")(py::tuple()));
    }
    if (is_float) canonicalise_floats(canonical);
    if (kind == 'b') canonicalise_bools(canonical);
    return canonical;
}

std::optional<std::size_t> first_row_with_nan(const CanonicalArray& array, const Mask& mask) {
    if (!array.has_nan) return std::nullopt;
    return with_float_bits(
        array.array.itemsize(), [&]<typename Bits>(Bits) -> std::optional<std::size_t> {
            const auto values = elements<Bits>(array.array);
            const std::size_t row_size =
                values.size() / static_cast<std::size_t>(array.array.shape(0));
            for (std::size_t i = 0; i < values.size(); ++i) {
                if (FloatBits<Bits>::is_nan(values[i]) && !mask.hides(i / row_size)) {
                    return i / row_size;
                }
            }
            return std::nullopt;
        });
}

}  // namespace graphgpo::bindings
