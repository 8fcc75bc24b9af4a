# A compiler that knows the parts of C++20 the core uses, or one sentence that says how to get one.
set(wanted "graphgpo is compiled on this machine and needs a C++20 compiler (GCC 11, Clang 14 or later)")

include(CheckLanguage)
check_language(CXX)
if(NOT CMAKE_CXX_COMPILER)
    message(FATAL_ERROR "${wanted}, but there is none: install one (Debian, Ubuntu: apt install g++; "
        "conda: conda install gxx), or name one in the environment variable CXX")
endif()
enable_language(CXX)

include(CheckCXXSourceCompiles)
check_cxx_source_compiles("
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <span>
#include <string_view>
#include <thread>
enum class Kind { text, number };
int main() {
    using enum Kind;
    std::array<double, 2> values{2, 1};
    std::ranges::sort(values);
    const std::span<const double> view(values);
    const auto scratch = std::make_unique_for_overwrite<std::uint64_t[]>(1);
    scratch[0] = std::rotl(std::bit_cast<std::uint64_t>(view[0]), 1);
    std::pmr::monotonic_buffer_resource arena;
    std::jthread thread([] {});
    return std::string_view(\"state\").starts_with('s') && text != number ? 0 : 1;
}" GRAPHGPO_COMPILER_KNOWS_CXX20)
if(NOT GRAPHGPO_COMPILER_KNOWS_CXX20)
    message(FATAL_ERROR "${wanted}, but ${CMAKE_CXX_COMPILER} (${CMAKE_CXX_COMPILER_ID} "
        "${CMAKE_CXX_COMPILER_VERSION}) cannot compile what it uses: install a newer one and name it "
        "in the environment variable CXX, for example CXX=g++-12")
endif()
