// The tests of the device pipeline on a GPU; without one they say so and are skipped.
#include <gtest/gtest.h>

#include "cuda/pipeline.hpp"

namespace {

class Gpu : public testing::Environment {
    void SetUp() override {
        const graphgpo::cuda::DeviceReport device = graphgpo::cuda::status(0);
        if (device.status != graphgpo::cuda::Status::ok) {
            GTEST_SKIP() << "no GPU to test on: " << device.reason;
        }
    }
};

}  // namespace

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    testing::AddGlobalTestEnvironment(new Gpu);
    return RUN_ALL_TESTS();
}
