#include "graphgpo/interner.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "graphgpo/prefetch.hpp"

namespace graphgpo {

namespace {

constexpr std::size_t smallest_table = 16;

// Of a long text: 16 bytes from the beginning, from a third, from two thirds, and the last 32,
// where observations of one task mostly differ.
constexpr std::size_t sample_size = 80;

bool is_long(const Key& key) { return !key.is_word() && key.bytes().size() > 2 * sample_size; }

std::uint64_t hash_sample(const Key& key, const HashSecret& secret) {
    const std::string_view bytes = key.bytes();
    const std::size_t third = bytes.size() / 3;
    std::array<char, sample_size> sample;
    std::memcpy(sample.data(), bytes.data(), 16);
    std::memcpy(sample.data() + 16, bytes.data() + third, 16);
    std::memcpy(sample.data() + 32, bytes.data() + 2 * third, 16);
    std::memcpy(sample.data() + 48, bytes.data() + bytes.size() - 32, 32);
    const std::uint64_t kind_and_size = static_cast<std::uint64_t>(key.kind()) | bytes.size() << 8;
    return hash_bytes(sample.data(), sample_size, kind_and_size, secret);
}

}  // namespace

Interner::Interner(std::size_t expected, const HashSecret& secret)
    : secret_(&secret), slots_(std::bit_ceil(std::max(2 * expected, smallest_table))) {
    keys_.reserve(expected);
}

std::uint64_t Interner::hash_of_bytes(const Key& key) const {
    return samples_ && is_long(key) ? hash_sample(key, *secret_) : hash_key(key, *secret_);
}

// Whether two different keys have the same sample, and not by chance the same 32 bits of a hash.
bool Interner::is_misled_by(const Key& known, const Key& key, std::uint64_t hash) const {
    return samples_ && is_long(key) && is_long(known) && hash_of(known) == hash;
}

std::int32_t Interner::add(const Key& key, Slot& slot, std::uint32_t hash) {
    const std::int32_t id = id_of(keys_.size());
    keys_.push_back(key);
    slot = {hash, id};
    if (2 * ++num_keyed_ > slots_.size()) grow();
    return id;
}

void Interner::expect(std::span<const Key> keys) const {
    std::array<const Slot*, block> slots{};
    for (std::size_t i = 0; i < keys.size(); ++i) {
        slots[i] = &slots_[static_cast<std::uint32_t>(hash_of(keys[i])) & (slots_.size() - 1)];
        prefetch(slots[i]);
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (slots[i]->id != none) prefetch(static_cast<const void*>(&keys_[index(slots[i]->id)]));
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (slots[i]->id != none) prefetch(keys_[index(slots[i]->id)]);
    }
}

void Interner::start_anew(std::size_t expected) {
    slots_.assign(std::bit_ceil(std::max(2 * expected, smallest_table)), Slot{});
    samples_ = true;
    num_keyed_ = 0;
}

std::int32_t Interner::add_keyless() {
    keys_.emplace_back();
    return id_of(keys_.size() - 1);
}

void Interner::rebuild(std::size_t size, auto&& hash_of_slot) {
    Array<Slot> old(size);
    old.swap(slots_);
    const std::size_t mask = slots_.size() - 1;
    for (const Slot& slot : old) {
        if (slot.id == none) continue;
        const std::uint32_t hash = hash_of_slot(slot);
        std::size_t at = hash & mask;
        while (slots_[at].id != none) at = (at + 1) & mask;
        slots_[at] = {hash, slot.id};
    }
}

void Interner::grow() {
    rebuild(2 * slots_.size(), [](const Slot& slot) { return slot.hash; });
}

void Interner::stop_sampling() {
    samples_ = false;
    rebuild(slots_.size(), [&](const Slot& slot) {
        return static_cast<std::uint32_t>(hash_of(keys_[index(slot.id)]));
    });
}

}  // namespace graphgpo
