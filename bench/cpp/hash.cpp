// The hash, by length of key.
//
// Least traffic: the bytes of the keys, read once.
#include <algorithm>
#include <vector>

#include "bandwidth.hpp"
#include "graphgpo/key.hpp"
#include "shapes.hpp"

namespace graphgpo::bench {
namespace {

const HashSecret& secret = process_secret();

std::uint64_t hash_of(std::string_view text) {
    return hash_bytes(text.data(), text.size(), static_cast<std::uint64_t>(KeyKind::text), secret);
}

// Equal bytes elsewhere have the same hash, at any alignment; one changed bit has another; and
// texts drawn at random all differ, as 64 bits make all but certain.
bool is_sound(const Texts& texts) {
    const std::string_view text = texts[0];
    std::string shifted(1, ' ');
    shifted += text;
    if (hash_of(std::string_view(shifted).substr(1)) != hash_of(text)) return false;
    for (std::size_t i = 1; i < shifted.size(); ++i) {
        shifted[i] = static_cast<char>(shifted[i] ^ 1);
        if (hash_of(std::string_view(shifted).substr(1)) == hash_of(text)) return false;
        shifted[i] = static_cast<char>(shifted[i] ^ 1);
    }
    std::vector<std::uint64_t> hashes;
    for (std::size_t i = 0; i < texts.size(); ++i) hashes.push_back(hash_of(texts[i]));
    std::ranges::sort(hashes);
    return std::ranges::adjacent_find(hashes) == hashes.end();
}

// `pool_bytes` of different keys, one after the other, so that a small pool stays in the cache.
void hash_texts(benchmark::State& state, std::size_t pool_bytes) {
    const auto text_bytes = static_cast<std::size_t>(state.range(0));
    Random random(seed);
    Texts texts(pool_bytes / text_bytes, text_bytes);
    for (std::size_t i = 0; i < pool_bytes / text_bytes; ++i) texts.append_random(random);
    if (is_wrong(state, is_sound(texts))) return;

    const std::vector<Key> keys = texts.keys();
    const auto bytes = static_cast<double>(texts.size() * text_bytes);
    time_calls(state, {static_cast<double>(texts.size()), "keys", bytes}, [&] {
        for (const Key& key : keys) benchmark::DoNotOptimize(hash_of(key.bytes()));
    });
}
BENCHMARK_CAPTURE(hash_texts, in_cache, 128 << 10)
    ->ArgName("bytes")
    ->RangeMultiplier(2)
    ->Range(8, 4096);
BENCHMARK_CAPTURE(hash_texts, in_memory, 64 << 20)
    ->ArgName("bytes")
    ->RangeMultiplier(8)
    ->Range(8, 4096);

void hash_integers(benchmark::State& state) {
    Random random(seed);
    std::vector<std::uint64_t> words(16 << 10);
    for (std::uint64_t& word : words) word = random();
    const auto hash = [](std::uint64_t word) { return hash_word(word, 1, secret); };
    std::vector<std::uint64_t> hashes;
    for (const std::uint64_t word : words) hashes.push_back(hash(word));
    std::ranges::sort(hashes);
    if (is_wrong(state, std::ranges::adjacent_find(hashes) == hashes.end())) return;

    const auto count = static_cast<double>(words.size());
    time_calls(state, {count, "keys", 8 * count}, [&] {
        for (const std::uint64_t word : words) benchmark::DoNotOptimize(hash(word));
    });
}
BENCHMARK(hash_integers);

}  // namespace
}  // namespace graphgpo::bench
