#include "graphgpo/memory.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define GRAPHGPO_ARRAYS_APART
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GRAPHGPO_ARRAYS_APART
#endif
#endif

namespace graphgpo {

namespace {

constexpr std::align_val_t huge_page{std::size_t{1} << 21};

// Fewer bytes than this hold no two whole huge pages.
constexpr bool is_large(std::size_t bytes) noexcept { return bytes >= std::size_t{1} << 22; }

// The memory of a thread's workspaces: a stack, of which only the top can be given back before the
// workspace ends.
class Stack {
  public:
    void open() {
        if (!memory_) memory_ = std::make_unique_for_overwrite<char[]>(size);
        is_open_ = true;
    }
    // Everything from `begin` on is free again.
    void close(std::size_t begin, bool is_inner) noexcept {
        used_ = begin;
        is_open_ = is_inner;
    }
    [[nodiscard]] bool is_open() const noexcept { return is_open_; }
    [[nodiscard]] std::size_t used() const noexcept { return used_; }

    // Null: there is no workspace, or no room in it.
    [[nodiscard]] void* take(std::size_t bytes) noexcept {
        if (!is_open_ || rounded(bytes) > size - used_) return nullptr;
        void* const taken = memory_.get() + used_;
        used_ += rounded(bytes);
        return taken;
    }
    // False: it is not from here.
    [[nodiscard]] bool give_back(void* memory, std::size_t bytes) noexcept {
        // As numbers: pointers into different arrays have no difference.
        const auto at =
            std::bit_cast<std::uintptr_t>(memory) - std::bit_cast<std::uintptr_t>(memory_.get());
        if (!memory_ || at >= size) return false;
        if (at + rounded(bytes) == used_) used_ = at;
        return true;
    }

  private:
    static constexpr std::size_t size = std::size_t{1} << 18;

    // Aligned as malloc aligns.
    static constexpr std::size_t rounded(std::size_t bytes) noexcept {
        constexpr std::size_t alignment = alignof(std::max_align_t);
        return (bytes + alignment - 1) / alignment * alignment;
    }

    std::unique_ptr<char[]> memory_;
    std::size_t used_ = 0;
    bool is_open_ = false;
};

thread_local Stack stack;

}  // namespace

Workspace::Workspace() : begin_(stack.used()), is_inner_(stack.is_open()) {
#ifndef GRAPHGPO_ARRAYS_APART  // AddressSanitizer sees the ends of arrays that malloc made
    stack.open();
#endif
}

Workspace::~Workspace() { stack.close(begin_, is_inner_); }

void* allocate_array(std::size_t bytes) {
    if (void* const taken = stack.take(bytes)) return taken;
    if (!is_large(bytes)) return ::operator new(bytes);
    void* const memory = ::operator new(bytes, huge_page);
#ifdef __linux__
    (void)madvise(memory, bytes, MADV_HUGEPAGE);  // advice: without it all works, slower
#endif
    return memory;
}

void free_array(void* memory, std::size_t bytes) noexcept {
    if (stack.give_back(memory, bytes)) return;
    if (is_large(bytes)) {
        ::operator delete(memory, huge_page);
    } else {
        ::operator delete(memory);
    }
}

}  // namespace graphgpo
