#include "graphgpo/memory.hpp"

#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace graphgpo {

namespace {

constexpr std::align_val_t huge_page{std::size_t{1} << 21};

// Fewer bytes than this hold no two whole huge pages.
constexpr bool is_large(std::size_t bytes) noexcept { return bytes >= std::size_t{1} << 22; }

}  // namespace

void* allocate_array(std::size_t bytes) {
    if (!is_large(bytes)) return ::operator new(bytes);
    void* const memory = ::operator new(bytes, huge_page);
#ifdef __linux__
    (void)madvise(memory, bytes, MADV_HUGEPAGE);  // advice: without it all works, slower
#endif
    return memory;
}

void free_array(void* memory, std::size_t bytes) noexcept {
    if (is_large(bytes)) {
        ::operator delete(memory, huge_page);
    } else {
        ::operator delete(memory);
    }
}

}  // namespace graphgpo
