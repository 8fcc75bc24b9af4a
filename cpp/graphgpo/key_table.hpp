// Integers to dense ids, in order of first appearance, for as long as its owner lives: unlike an
// `Interner`, whose arrays may lie in a workspace.
#pragma once

#include <cstdint>
#include <vector>

#include "graphgpo/prefetch.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

// Open addressing with linear probing, at most half full; 16 bytes a slot.
class KeyTable {
  public:
    KeyTable() : slots_(16) {}

    // The id of `key`: its own from an earlier call, or the next free one.
    [[nodiscard]] std::int32_t intern(std::int64_t key) {
        const Slot& known = slot_of(key);
        return known.id != none ? known.id : add(key);
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    // Asks for the memory where `key` is looked for first.
    void prefetch(std::int64_t key) const noexcept {
        graphgpo::prefetch(&slots_[first_slot_of(key)]);
    }

  private:
    struct Slot {
        std::int64_t key = 0;
        std::int32_t id = none;
    };

    [[nodiscard]] std::size_t first_slot_of(std::int64_t key) const noexcept {
        return static_cast<std::size_t>(mixed(key)) & (slots_.size() - 1);
    }
    Slot& slot_of(std::int64_t key) {
        const std::size_t mask = slots_.size() - 1;
        std::size_t at = first_slot_of(key);
        while (slots_[at].id != none && slots_[at].key != key) at = (at + 1) & mask;
        return slots_[at];
    }
    std::int32_t add(std::int64_t key) {
        if (2 * (size_ + 1) > slots_.size()) grow();
        slot_of(key) = {key, id_of(size_)};
        return id_of(size_++);
    }
    void grow() {
        std::vector<Slot> before(2 * slots_.size());
        before.swap(slots_);
        for (const Slot& slot : before) {
            if (slot.id != none) slot_of(slot.key) = slot;
        }
    }
    // The finaliser of SplitMix64.
    [[nodiscard]] static std::uint64_t mixed(std::int64_t key) noexcept {
        auto x = static_cast<std::uint64_t>(key);
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
        return x ^ (x >> 31);
    }

    std::vector<Slot> slots_;
    std::size_t size_ = 0;
};

}  // namespace graphgpo
