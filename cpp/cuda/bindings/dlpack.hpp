// The structs of DLPack 1, and of the one before it, as its specification fixes them.
#pragma once

#include <cstdint>

namespace graphgpo::bindings::dlpack {

struct Device {
    std::int32_t type;
    std::int32_t index;
};

struct DataType {
    std::uint8_t code;
    std::uint8_t bits;
    std::uint16_t lanes;
};

struct Tensor {
    void* data;
    Device device;
    std::int32_t num_axes;
    DataType dtype;
    std::int64_t* shape;
    std::int64_t* strides;  // in elements; null: C-contiguous
    std::uint64_t byte_offset;
};

struct Version {
    std::uint32_t major;
    std::uint32_t minor;
};

struct Unversioned {
    static constexpr const char* capsule_name = "dltensor";
    static constexpr const char* used_capsule_name = "used_dltensor";

    Tensor tensor;
    void* context;
    void (*deleter)(Unversioned*);
};

struct Versioned {
    static constexpr const char* capsule_name = "dltensor_versioned";
    static constexpr const char* used_capsule_name = "used_dltensor_versioned";

    Version version;
    void* context;
    void (*deleter)(Versioned*);
    std::uint64_t flags;
    Tensor tensor;
};

}  // namespace graphgpo::bindings::dlpack
