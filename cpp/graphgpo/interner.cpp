#include "graphgpo/interner.hpp"

#include <algorithm>
#include <bit>

namespace graphgpo {

namespace {

constexpr std::size_t smallest_table = 16;

}  // namespace

Interner::Interner(std::size_t expected, const HashSecret& secret)
    : secret_(&secret), slots_(std::bit_ceil(std::max(2 * expected, smallest_table))) {}

std::int32_t Interner::intern(const Key& key) {
    const auto hash = static_cast<std::uint32_t>(hash_key(key, *secret_));
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = hash & mask;
    for (; slots_[at].id != none; at = (at + 1) & mask) {
        if (slots_[at].hash == hash && keys_[index(slots_[at].id)] == key) return slots_[at].id;
    }
    const std::int32_t id = id_of(keys_.size());
    keys_.push_back(key);
    slots_[at] = {hash, id};
    if (2 * ++num_keyed_ > slots_.size()) grow();
    return id;
}

std::int32_t Interner::add_keyless() {
    keys_.emplace_back();
    return id_of(keys_.size() - 1);
}

void Interner::grow() {
    Array<Slot> old(2 * slots_.size());
    old.swap(slots_);
    const std::size_t mask = slots_.size() - 1;
    for (const Slot& slot : old) {
        if (slot.id == none) continue;
        std::size_t at = slot.hash & mask;
        while (slots_[at].id != none) at = (at + 1) & mask;
        slots_[at] = slot;
    }
}

}  // namespace graphgpo
