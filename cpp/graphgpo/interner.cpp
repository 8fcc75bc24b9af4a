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

// Every block under words of its own, none waits for another: two thirds of the instructions of
// hashing a copy of the sample. In the host's byte order, because the hash stays in this process.
std::uint64_t hash_sample(const Key& key, const HashSecret& secret) {
    const auto& [k0, k1, k2, k3, k4] = secret.words;
    const std::string_view bytes = key.bytes();
    const auto block = [&](std::size_t at, std::uint64_t a, std::uint64_t b) {
        std::array<std::uint64_t, 2> words;
        std::memcpy(words.data(), bytes.data() + at, sizeof words);
        return fold(words[0] ^ a, words[1] ^ b);
    };
    const std::size_t third = bytes.size() / 3;
    const std::uint64_t kind_and_size = static_cast<std::uint64_t>(key.kind()) | bytes.size() << 8;
    const std::uint64_t blocks = block(0, k0, k1) ^ std::rotl(block(third, k1, k2), 11) ^
                                 std::rotl(block(2 * third, k2, k3), 23) ^
                                 std::rotl(block(bytes.size() - 32, k3, k4), 37) ^
                                 std::rotl(block(bytes.size() - 16, k4, k0), 51);
    return fold(blocks ^ k2, kind_and_size ^ k3);
}

}  // namespace

Interner::Interner(std::size_t expected, const HashSecret& secret)
    : secret_(&secret), slots_(std::bit_ceil(std::max(2 * expected, smallest_table))) {
    keys_.reserve(std::max(expected, smallest_table / 2));
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
