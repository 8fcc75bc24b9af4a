#include "tensors.hpp"

#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "dlpack.hpp"

namespace graphgpo::bindings {

using py::literals::operator""_a;

namespace {

struct Dtype {
    std::string_view name;
    cuda::ElementType element;
    std::uint8_t dlpack_code;
    std::uint8_t bits;
};

using enum cuda::ElementType;
constexpr std::array dtypes{
    Dtype{"bool", boolean, 6, 8},       Dtype{"int8", int8, 0, 8},
    Dtype{"int16", int16, 0, 16},       Dtype{"int32", int32, 0, 32},
    Dtype{"int64", int64, 0, 64},       Dtype{"uint8", uint8, 1, 8},
    Dtype{"uint16", uint16, 1, 16},     Dtype{"uint32", uint32, 1, 32},
    Dtype{"uint64", uint64, 1, 64},     Dtype{"float16", float16, 2, 16},
    Dtype{"bfloat16", bfloat16, 4, 16}, Dtype{"float32", float32, 2, 32},
    Dtype{"float64", float64, 2, 64},
};

[[nodiscard]] const Dtype& dtype_named(std::string_view name) {
    for (const Dtype& dtype : dtypes) {
        if (dtype.name == name) return dtype;
    }
    throw std::invalid_argument("no element type is named " + std::string(name));
}

// Of any type: what is not in the table is named for a message.
[[nodiscard]] std::string name_of(const dlpack::DataType& type) {
    for (const Dtype& dtype : dtypes) {
        if (dtype.dlpack_code == type.code && dtype.bits == type.bits && type.lanes == 1) {
            return std::string(dtype.name);
        }
    }
    if (type.code == 5 && type.lanes == 1) return "complex" + std::to_string(type.bits);
    return "of DLPack's code " + std::to_string(type.code) + ", bits " + std::to_string(type.bits) +
           ", lanes " + std::to_string(type.lanes);
}

// Somebody else's tensor, taken out of its capsule and given back with the view.
class TensorView {
  public:
    explicit TensorView(const py::handle& capsule) {
        if (!take<dlpack::Versioned>(capsule) && !take<dlpack::Unversioned>(capsule)) {
            throw std::invalid_argument("not a DLPack capsule, or one that was used before");
        }
    }

    [[nodiscard]] std::uintptr_t pointer() const {
        return reinterpret_cast<std::uintptr_t>(tensor_->data) + tensor_->byte_offset;
    }
    [[nodiscard]] std::string dtype() const { return name_of(tensor_->dtype); }
    [[nodiscard]] py::tuple shape() const { return axes(tensor_->shape); }
    [[nodiscard]] py::object strides() const {
        if (tensor_->strides == nullptr) return py::none();
        return axes(tensor_->strides);
    }
    [[nodiscard]] std::pair<int, int> device() const {
        return {tensor_->device.type, tensor_->device.index};
    }

  private:
    template <typename Managed>
    bool take(const py::handle& capsule) {
        if (PyCapsule_IsValid(capsule.ptr(), Managed::capsule_name) == 0) return false;
        auto* managed =
            static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), Managed::capsule_name));
        if (PyCapsule_SetName(capsule.ptr(), Managed::used_capsule_name) != 0) {
            throw py::error_already_set();
        }
        owner_ = std::shared_ptr<Managed>(managed, [](Managed* taken) {
            if (taken->deleter != nullptr) taken->deleter(taken);
        });
        if constexpr (requires { managed->version; }) {
            if (managed->version.major > 1) {  // all but the head of the struct may have moved
                throw std::invalid_argument("DLPack " + std::to_string(managed->version.major) +
                                            "; expected version 1, or the one before it");
            }
        }
        tensor_ = &managed->tensor;
        return true;
    }

    [[nodiscard]] py::tuple axes(const std::int64_t* values) const {
        const auto num_axes = static_cast<std::size_t>(tensor_->num_axes);
        py::tuple tuple(num_axes);
        for (std::size_t axis = 0; axis < num_axes; ++axis) tuple[axis] = py::int_(values[axis]);
        return tuple;
    }

    std::shared_ptr<void> owner_;
    const dlpack::Tensor* tensor_ = nullptr;
};

// A C-contiguous array of ours, and the reference that keeps its memory.
template <typename Managed>
struct Exported {
    py::object owner;
    std::vector<std::int64_t> shape;
    std::vector<std::int64_t> strides;
    Managed managed{};

    static void release(Managed* managed) {
        // Whoever holds the tensor may let go of it without the GIL, and after Python is gone.
        if (Py_IsInitialized() == 0) return;
        const py::gil_scoped_acquire acquire;
        delete static_cast<Exported*>(managed->context);
    }
    static void release_unused(PyObject* capsule) {
        if (PyCapsule_IsValid(capsule, Managed::capsule_name) == 0) return;
        release(static_cast<Managed*>(PyCapsule_GetPointer(capsule, Managed::capsule_name)));
    }
};

template <typename Managed>
py::object to_capsule(std::uintptr_t pointer, const Dtype& dtype, std::vector<std::int64_t> shape,
                      int device, py::object owner) {
    auto exported = std::make_unique<Exported<Managed>>();
    exported->owner = std::move(owner);
    exported->shape = std::move(shape);
    exported->strides.resize(exported->shape.size());
    std::int64_t stride = 1;
    for (std::size_t axis = exported->shape.size(); axis-- > 0;) {
        exported->strides[axis] = stride;
        stride *= exported->shape[axis];
    }
    Managed& managed = exported->managed;
    if constexpr (requires { managed.version; }) managed.version = {1, 0};
    managed.context = exported.get();
    managed.deleter = &Exported<Managed>::release;
    managed.tensor = {.data = pointer_of(pointer),
                      .device = {GRAPHGPO_DEVICE_TYPE, device},
                      .num_axes = static_cast<std::int32_t>(exported->shape.size()),
                      .dtype = {dtype.dlpack_code, dtype.bits, 1},
                      .shape = exported->shape.data(),
                      .strides = exported->strides.data(),
                      .byte_offset = 0};
    auto capsule = py::reinterpret_steal<py::object>(
        PyCapsule_New(&managed, Managed::capsule_name, &Exported<Managed>::release_unused));
    if (!capsule) throw py::error_already_set();
    (void)exported.release();  // the capsule's now
    return capsule;
}

}  // namespace

cuda::ElementType element_type(std::string_view dtype) { return dtype_named(dtype).element; }

void bind_tensors(py::module_& module) {
    py::class_<TensorView>(module, "TensorView", py::is_final(),
                           py::metaclass(reinterpret_cast<PyObject*>(&PyType_Type)),
                           "A tensor out of a DLPack capsule.")
        .def(py::init<py::handle>(), py::kw_only(), "capsule"_a)
        .def_property_readonly("pointer", &TensorView::pointer)
        .def_property_readonly("dtype", &TensorView::dtype)
        .def_property_readonly("shape", &TensorView::shape)
        .def_property_readonly("strides", &TensorView::strides)
        .def_property_readonly("device", &TensorView::device);
    module.def(
        "to_dlpack",
        [](std::uintptr_t pointer, std::string_view dtype, std::vector<std::int64_t> shape,
           int device, bool versioned, py::object owner) {
            const auto convert =
                versioned ? &to_capsule<dlpack::Versioned> : &to_capsule<dlpack::Unversioned>;
            return convert(pointer, dtype_named(dtype), std::move(shape), device, std::move(owner));
        },
        py::kw_only(), "pointer"_a, "dtype"_a, "shape"_a, "device"_a, "versioned"_a, "owner"_a);
}

}  // namespace graphgpo::bindings
