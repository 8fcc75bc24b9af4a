// Keys to dense ids, by number of keys, share of keys seen before, and length.
//
// Least traffic: 16 bytes of key and 4 of id each; and of the text all of it where the state was
// seen before, because only a comparison can tell, but only a sample of 80 bytes where a long state
// is new (see interner.hpp). The text it is compared with is counted once, when it was new.
#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bandwidth.hpp"
#include "graphgpo/interner.hpp"
#include "shapes.hpp"

namespace graphgpo::bench {
namespace {

std::vector<std::int32_t> intern_all(std::span<const Key> keys) {
    Interner interner(keys.size() / 2);  // as merge_states expects it
    std::vector<std::int32_t> ids(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) ids[i] = interner.intern(keys[i]);
    return ids;
}

// Codes were numbered by first appearance, as ids are.
bool are_ids_of(std::span<const std::size_t> codes, std::span<const std::int32_t> ids) {
    return std::ranges::equal(ids, codes, {}, [](std::int32_t id) { return index(id); });
}

double least_bytes(std::span<const std::size_t> codes, std::size_t text_bytes) {
    const std::size_t sampled = text_bytes > 160 ? 80 : text_bytes;
    const std::size_t num_new = 1 + std::ranges::max(codes);
    const std::size_t num_revisits = codes.size() - num_new;
    return static_cast<double>(20 * codes.size() + num_revisits * text_bytes + num_new * sampled);
}

Texts observations(std::span<const std::size_t> codes, std::size_t text_bytes) {
    Texts texts(codes.size(), text_bytes);
    for (const std::size_t code : codes) texts.append_observation(code);
    return texts;
}

// Number of keys, percent of them seen before, bytes of each.
void sizes_revisits_lengths(benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgNames({"keys", "revisits", "bytes"});
    for (const int keys : {256, 8192, 131072}) benchmark->Args({keys, 70, 400});
    for (const int revisits : {5, 30, 95}) benchmark->Args({8192, revisits, 400});
    for (const int bytes : {32, 128, 1024, 4096}) benchmark->Args({8192, 70, bytes});
}

void intern_texts(benchmark::State& state) {
    const auto codes = revisited_codes(static_cast<std::size_t>(state.range(0)),
                                       static_cast<std::size_t>(state.range(1)));
    const Texts texts = observations(codes, static_cast<std::size_t>(state.range(2)));
    const std::vector<Key> keys = texts.keys();
    if (is_wrong(state, are_ids_of(codes, intern_all(keys)))) return;

    const Work work{static_cast<double>(keys.size()), "keys",
                    least_bytes(codes, texts.text_bytes())};
    time_calls(state, work, [&] { benchmark::DoNotOptimize(intern_all(keys)); });
}
BENCHMARK(intern_texts)->Apply(sizes_revisits_lengths);

// What one would write first, on the same keys.
void intern_texts_unordered_map(benchmark::State& state) {
    const auto codes = revisited_codes(static_cast<std::size_t>(state.range(0)),
                                       static_cast<std::size_t>(state.range(1)));
    const Texts texts = observations(codes, static_cast<std::size_t>(state.range(2)));
    const auto intern_into_map = [&] {
        std::unordered_map<std::string_view, std::int32_t> known(texts.size() / 2);
        std::vector<std::int32_t> ids(texts.size());
        for (std::size_t i = 0; i < texts.size(); ++i) {
            ids[i] = known.emplace(texts[i], id_of(known.size())).first->second;
        }
        return ids;
    };
    if (is_wrong(state, are_ids_of(codes, intern_into_map()))) return;

    const Work work{static_cast<double>(texts.size()), "keys",
                    least_bytes(codes, texts.text_bytes())};
    time_calls(state, work, [&] { benchmark::DoNotOptimize(intern_into_map()); });
}
BENCHMARK(intern_texts_unordered_map)->Apply(sizes_revisits_lengths);

void intern_integers(benchmark::State& state) {
    const auto codes = revisited_codes(static_cast<std::size_t>(state.range(0)),
                                       static_cast<std::size_t>(state.range(1)));
    std::vector<Key> keys;
    for (const std::size_t code : codes) keys.push_back(Key::integer(id_of(code)));
    if (is_wrong(state, are_ids_of(codes, intern_all(keys)))) return;

    const Work work{static_cast<double>(keys.size()), "keys", least_bytes(codes, 0)};
    time_calls(state, work, [&] { benchmark::DoNotOptimize(intern_all(keys)); });
}
BENCHMARK(intern_integers)
    ->ArgNames({"keys", "revisits"})
    ->ArgsProduct({{256, 8192, 131072}, {30, 70}});

}  // namespace
}  // namespace graphgpo::bench
