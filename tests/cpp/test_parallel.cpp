#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "graphgpo/parallel.hpp"

namespace graphgpo {
namespace {

TEST(ParallelFor, CallsEveryIndexOnce) {
    for (const std::size_t threads : {0u, 1u, 2u, 7u}) {
        std::vector<std::atomic<int>> calls(1000);
        parallel_for(calls.size(), threads, [&](std::size_t i) { ++calls[i]; });
        for (const auto& count : calls) EXPECT_EQ(count, 1);
    }
}

TEST(ParallelFor, FewRowsAreNotWorthAThread) {
    EXPECT_EQ(useful_threads(8, 0), 1u);
    EXPECT_EQ(useful_threads(8, 4095), 1u);
    EXPECT_EQ(useful_threads(8, 4096), 2u);
    EXPECT_EQ(useful_threads(8, 1'000'000), 8u);
    EXPECT_EQ(useful_threads(0, 1'000'000), 1u);
}

TEST(ParallelFor, NothingToDoIsLegal) {
    parallel_for(0, 4, [](std::size_t) { FAIL(); });
}

TEST(ParallelFor, ThrowsTheErrorOfTheSmallestIndexAfterAllWork) {
    std::atomic<int> calls = 0;
    try {
        parallel_for(100, 4, [&](std::size_t i) {
            ++calls;
            if (i % 10 == 7) throw std::runtime_error(std::to_string(i));
        });
        FAIL() << "expected an error";
    } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "7");
    }
    EXPECT_EQ(calls, 100);
}

TEST(ParallelFor, MayBeCalledFromItsOwnWorkers) {
    std::atomic<int> calls = 0;
    parallel_for(4, 4, [&](std::size_t) { parallel_for(4, 4, [&](std::size_t) { ++calls; }); });
    EXPECT_EQ(calls, 16);
}

}  // namespace
}  // namespace graphgpo
