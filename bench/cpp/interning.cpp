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
#include "graphgpo/prefetch.hpp"
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

// Groups one after the other, as batches are; no text is of two groups.
class GroupedTexts {
  public:
    GroupedTexts(std::size_t count, std::size_t text_bytes) : texts_(count, text_bytes) {
        const auto codes = revisited_codes(group_size, 70);
        std::vector<std::size_t> first_of(codes.size());
        for (std::size_t begin = 0; begin < count; begin += group_size) {
            std::size_t known = 0;
            for (std::size_t i = 0; i < std::min(group_size, count - begin); ++i) {
                const std::size_t code = codes[i];
                if (code == known) first_of[known++] = begin + i;
                texts_.append_observation(begin + code);
                first_.push_back(first_of[code]);
                codes_.push_back(code);
            }
            num_new_ += known;
        }
        keys_ = texts_.keys();
    }

    [[nodiscard]] std::span<const std::size_t> codes() const noexcept { return codes_; }
    [[nodiscard]] std::size_t num_new() const noexcept { return num_new_; }

    // How many texts are equal to one before them.
    [[nodiscard]] std::size_t compare() const {
        std::size_t revisits = 0;
        for (std::size_t i = 0; i < keys_.size(); ++i) {
            expect(i + Interner::block);
            if (first_[i] != i && keys_[first_[i]] == keys_[i]) ++revisits;
        }
        return revisits;
    }
    [[nodiscard]] std::vector<std::int32_t> intern() const {
        std::vector<std::int32_t> ids(keys_.size());
        for (std::size_t begin = 0; begin < keys_.size(); begin += group_size) {
            Interner interner(group_size / 2);
            const std::size_t end = std::min(begin + group_size, keys_.size());
            for (std::size_t i = begin; i < end; ++i) {
                expect(i + Interner::block);
                ids[i] = interner.intern(keys_[i]);
            }
        }
        return ids;
    }

  private:
    static constexpr std::size_t group_size = 512;

    void expect(std::size_t i) const {
        if (i < keys_.size()) prefetch(keys_[i]);
    }

    Texts texts_;
    std::vector<Key> keys_;
    std::vector<std::size_t> codes_;  // from 0 on in every group
    std::vector<std::size_t> first_;  // the first text of the same content
    std::size_t num_new_ = 0;
};

void many_groups(benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgNames({"keys", "bytes"})->ArgsProduct({{4096, 262144}, {400, 600}});
}

void intern_groups(benchmark::State& state) {
    const auto count = static_cast<std::size_t>(state.range(0));
    const auto text_bytes = static_cast<std::size_t>(state.range(1));
    const GroupedTexts texts(count, text_bytes);
    if (is_wrong(state, are_ids_of(texts.codes(), texts.intern()))) return;

    const Work work{static_cast<double>(count), "keys", static_cast<double>(count * text_bytes)};
    time_calls(state, work, [&] { benchmark::DoNotOptimize(texts.intern()); });
}
BENCHMARK(intern_groups)->Apply(many_groups);

// The same by one who knows beforehand which text each is equal to, and makes sure: no hash, no
// table, no id. What merges texts by their content can hardly take less.
void compare_groups(benchmark::State& state) {
    const auto count = static_cast<std::size_t>(state.range(0));
    const auto text_bytes = static_cast<std::size_t>(state.range(1));
    const GroupedTexts texts(count, text_bytes);
    if (is_wrong(state, texts.compare() == count - texts.num_new())) return;

    const Work work{static_cast<double>(count), "keys", static_cast<double>(count * text_bytes)};
    time_calls(state, work, [&] { benchmark::DoNotOptimize(texts.compare()); });
}
BENCHMARK(compare_groups)->Apply(many_groups);

}  // namespace
}  // namespace graphgpo::bench
