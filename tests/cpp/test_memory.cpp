#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <thread>

#include "graphgpo/memory.hpp"

namespace graphgpo {
namespace {

Array<std::int32_t> counted(std::size_t size) {
    Array<std::int32_t> numbers(size);
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
}

void expect_counted(const Array<std::int32_t>& numbers) {
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        ASSERT_EQ(numbers[i], static_cast<std::int32_t>(i));
    }
}

TEST(Workspace, ArraysOfAnySizeKeepWhatIsWrittenIntoThem) {
    for (int round = 0; round < 3; ++round) {
        const Workspace workspace;
        const Array<std::int32_t> small = counted(300);
        const Array<std::int32_t> large = counted(3'000'000);  // more than there is room for
        Array<std::int32_t> growing;
        Array<std::int32_t> other;
        for (std::int32_t i = 0; i < 100'000; ++i) {  // from the workspace out of it
            growing.push_back(i);
            other.push_back(i);
        }
        expect_counted(small);
        expect_counted(large);
        expect_counted(growing);
        expect_counted(other);
    }
}

TEST(Workspace, WhatWasMadeBeforeMayEndInside) {
    Array<std::int32_t> before = counted(300);
    {
        const Workspace workspace;
        const Array<std::int32_t> inside = counted(300);
        before = Array<std::int32_t>();
        expect_counted(inside);
    }
    const Array<std::int32_t> after = counted(300);
    const Workspace workspace;
    const Array<std::int32_t> inside(300, -1);
    expect_counted(after);
}

TEST(Workspace, ThreadsHaveTheirOwn) {
    const Workspace workspace;
    const Array<std::int32_t> here = counted(1000);
    std::thread([] {
        const Workspace other;
        const Array<std::int32_t> there(1000, -1);
        EXPECT_EQ(there.back(), -1);
    }).join();
    expect_counted(here);
}

}  // namespace
}  // namespace graphgpo
