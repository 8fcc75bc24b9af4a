// Memory of the arrays the rooms pass to each other.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace graphgpo {

// Large arrays ask the system for huge pages: the first touches of small ones are a third of the
// time of a batch that is one giant group.
[[nodiscard]] void* allocate_array(std::size_t bytes);
void free_array(void* memory, std::size_t bytes) noexcept;

// While one exists, the arrays that its thread makes lie one after the other in memory that the
// next workspace uses again: a quarter of a megabyte, which the thread keeps; what finds no room
// there is allocated as ever. No array may outlive it. One inside another, as where a call is
// interrupted by one more, takes the room that the outer one has left. Crediting a group takes some
// forty arrays, most of them too large for malloc's fast path: 7 % of a call on integer keys.
class Workspace {
  public:
    Workspace();
    ~Workspace();
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;

  private:
    std::size_t begin_;
    bool is_inner_;
};

template <typename T>
struct ArrayAllocator {
    using value_type = T;

    ArrayAllocator() = default;
    template <typename U>
    explicit(false) ArrayAllocator(const ArrayAllocator<U>& /*other*/) noexcept {}

    [[nodiscard]] T* allocate(std::size_t size) {
        return static_cast<T*>(allocate_array(size * sizeof(T)));
    }
    void deallocate(T* memory, std::size_t size) noexcept { free_array(memory, size * sizeof(T)); }

    // `resize(n)` and `Array<double>(n)` leave numbers as they are, to be written once by the room
    // that asked; `Array<double>(n, 0)` zeroes them.
    template <typename U, typename... Arguments>
    void construct(U* at, Arguments&&... arguments) {
        if constexpr (sizeof...(Arguments) == 0) {
            ::new (static_cast<void*>(at)) U;
        } else {
            ::new (static_cast<void*>(at)) U(std::forward<Arguments>(arguments)...);
        }
    }

    friend bool operator==(const ArrayAllocator&, const ArrayAllocator&) noexcept { return true; }
};

template <typename T>
using Array = std::vector<T, ArrayAllocator<T>>;

}  // namespace graphgpo
