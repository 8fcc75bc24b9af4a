// Keys to dense ids, in order of first appearance.
//
// Takes keys one by one, gives each distinct one the next id. Open addressing with linear probing,
// at most half full. A slot is 8 bytes: 32 bits of the key's hash and the id, so a probe touches
// one cache line and a growing table never hashes a key again. Exact: a slot whose hash matches is
// confirmed by comparing the bytes, and the hash decides nothing else. States are untrusted text,
// so the hash uses words drawn once per process: collisions cannot be prepared in advance, and ids
// do not depend on those words.
//
// Of a long key only a sample is hashed: a new state is then hardly read, and one seen before is
// read once, by the comparison. Texts that differ outside the sample only would all meet in one
// slot. The first two that do end it: from then on, and for all keys so far, every byte counts. So
// no input costs more than its own bytes once more.
//
// One hash and O(1) probes per call, expected; 16 bytes per key and 16 to 32 per table entry.
#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "graphgpo/key.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

class Interner {
  public:
    // `expected` distinct keys are a hint; the table grows as needed.
    explicit Interner(std::size_t expected, const HashSecret& secret = process_secret());

    // The id of `key`: its own from an earlier call, or the next free one. Here, so that a loop
    // over keys of one kind never asks for it: a fifth of the time of integer keys.
    [[nodiscard]] std::int32_t intern(const Key& key) {
        const std::uint64_t hash = hash_of(key);
        const auto slot_hash = static_cast<std::uint32_t>(hash);
        const std::size_t mask = slots_.size() - 1;
        std::size_t at = slot_hash & mask;
        for (; slots_[at].id != none; at = (at + 1) & mask) {
            if (slots_[at].hash != slot_hash) continue;
            const Key& known = keys_[index(slots_[at].id)];
            if (known == key) return slots_[at].id;
            if (!key.is_word() && is_misled_by(known, key, hash)) {
                stop_sampling();
                return intern(key);
            }
        }
        return add(key, slots_[at], slot_hash);
    }

    // Asks for what interning `keys`, a block of them, will read: slots, then the keys in them,
    // then the texts those view. The misses of a block overlap; one key after the other waits three
    // times.
    void expect(std::span<const Key> keys) const;
    // Whether that pays for hashing twice: in a smaller table there are few misses.
    [[nodiscard]] bool is_beyond_cache() const noexcept {
        return slots_.size() * sizeof(Slot) >= std::size_t{1} << 19;
    }
    static constexpr std::size_t block = 16;

    // The next free id, given to something that has no key (GOAL, a leaf) and is never found again.
    [[nodiscard]] std::int32_t add_keyless();

    [[nodiscard]] std::size_t size() const noexcept { return keys_.size(); }
    // By id; null for the keyless.
    [[nodiscard]] std::span<const Key> keys() const noexcept { return keys_; }

  private:
    struct Slot {
        std::uint32_t hash = 0;
        std::int32_t id = none;
    };

    [[nodiscard]] std::uint64_t hash_of(const Key& key) const {
        return key.is_word() ? hash_key(key, *secret_) : hash_of_bytes(key);
    }
    [[nodiscard]] std::uint64_t hash_of_bytes(const Key& key) const;
    [[nodiscard]] bool is_misled_by(const Key& known, const Key& key, std::uint64_t hash) const;
    std::int32_t add(const Key& key, Slot& slot, std::uint32_t hash);
    void rebuild(std::size_t size, auto&& hash_of_slot);
    void grow();
    void stop_sampling();

    const HashSecret* secret_;
    bool samples_ = true;  // no two long keys of one sample yet
    Array<Slot> slots_;    // a power of two
    Array<Key> keys_;      // by id; null for the keyless
    std::size_t num_keyed_ = 0;
};

}  // namespace graphgpo
