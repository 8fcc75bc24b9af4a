// The device pipeline for a GPU.
#include <cuda_runtime.h>

#include <string>

#include "cuda/pipeline.hpp"
#include "cuda/pipeline_impl.hpp"

namespace graphgpo::cuda {

DeviceReport status(int device) {
    const auto failure = [](cudaError_t error) {
        (void)cudaGetLastError();
        return DeviceReport{status_of(error), std::string(cudaGetErrorName(error)) + ": " +
                                                  cudaGetErrorString(error)};
    };
    int num_devices = 0;
    if (const cudaError_t error = cudaGetDeviceCount(&num_devices); error != cudaSuccess) {
        return failure(error);
    }
    if (device < 0 || device >= num_devices) {
        return {Status::no_device, "device " + std::to_string(device) +
                                       " does not exist; there are " + std::to_string(num_devices)};
    }
    cudaDeviceProp properties{};
    if (const cudaError_t error = cudaGetDeviceProperties(&properties, device);
        error != cudaSuccess) {
        return failure(error);
    }
    const std::string name = std::string(properties.name) + ", compute capability " +
                             std::to_string(properties.major) + "." +
                             std::to_string(properties.minor);
    const CurrentDevice current(device);
    cudaFuncAttributes attributes{};  // asks whether there is code for it
    if (const cudaError_t error = cudaFuncGetAttributes(&attributes, small_search_kernel);
        error != cudaSuccess) {
        DeviceReport report = failure(error);
        report.reason += " (" + name + ")";
        return report;
    }
    return {Status::ok, name};
}

void release(void* memory, const Queue& queue) noexcept {
    try {
        Device(queue, 1).release(memory);
    } catch (const DeviceError&) {
        // The device is gone, and its memory with it.
    }
}

int device_of(const void* memory) {
    cudaPointerAttributes attributes{};
    check(cudaPointerGetAttributes(&attributes, memory));
    if (attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged) {
        return attributes.device;
    }
    throw DeviceError(Status::failed, "expected device memory, but the address is the host's");
}

}  // namespace graphgpo::cuda
