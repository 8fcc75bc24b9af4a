// What the benchmarks run on: keys, graphs and whole batches, the same on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "graphgpo/columns.hpp"
#include "graphgpo/key.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/transition_graph.hpp"

namespace graphgpo::bench {

// The standard fixes what this engine draws. It does not fix what its distributions make of that,
// so draws are reduced by `below`.
using Random = std::mt19937_64;
inline constexpr std::uint64_t seed = 20260;

[[nodiscard]] inline std::size_t below(Random& random, std::size_t bound) {
    return random() % bound;
}

// Text keys in memory of their own, one behind the other: no two share bytes, as after pickling.
class Texts {
  public:
    Texts(std::size_t count, std::size_t text_bytes);

    // An observation: the same words up to its length, but for `code` near the beginning.
    void append_observation(std::size_t code);
    void append_random(Random& random);

    [[nodiscard]] std::size_t size() const noexcept { return bytes_.size() / text_bytes_; }
    [[nodiscard]] std::size_t text_bytes() const noexcept { return text_bytes_; }
    [[nodiscard]] std::string_view operator[](std::size_t i) const noexcept {
        return std::string_view(bytes_).substr(i * text_bytes_, text_bytes_);
    }
    [[nodiscard]] std::vector<Key> keys() const;

  private:
    std::size_t text_bytes_;
    std::string bytes_;
};

// `count` codes, each one of the earlier ones with a probability of `revisit_percent`, else new.
[[nodiscard]] std::vector<std::size_t> revisited_codes(std::size_t count,
                                                       std::size_t revisit_percent);

// Graphs with a goal, `size` nodes beside it.
[[nodiscard]] TransitionGraph chain_graph(std::size_t size);  // the longest way there is
[[nodiscard]] TransitionGraph star_graph(std::size_t size);   // one step from everywhere
[[nodiscard]] TransitionGraph random_graph(std::size_t size, std::size_t steps_per_node);
// Levels of `width` nodes, each step one level up or down, four per node.
[[nodiscard]] TransitionGraph long_graph(std::size_t size, std::size_t width);

// Costs of 0.5, 1, 1.5 ... 5 for every step.
[[nodiscard]] std::vector<double> random_costs(std::size_t steps);

// Rollouts that walk along a line of rooms and stop with success in the last one.
struct Walk {
    std::size_t groups = 1;
    std::size_t trajectories = 8;  // per group
    std::size_t max_steps = 30;    // per trajectory
    std::size_t rooms = 12;
    std::size_t starts = 1;              // rooms that trajectories start in, spread evenly
    std::size_t forward_percent = 50;    // of steps; the others stay or go back
    std::size_t singleton_percent = 30;  // of steps: states that no other step starts in
    std::size_t text_bytes = 400;
};

// A batch in both forms: `texts[i]` is the observation of `codes[i]`, so both have one answer.
struct Workload {
    explicit Workload(const Walk& walk);
    Workload(const Workload&) = delete;  // keys view texts
    Workload& operator=(const Workload&) = delete;

    [[nodiscard]] std::size_t num_steps() const noexcept { return codes.size(); }
    // By the next row, in its trajectory.
    [[nodiscard]] bool is_followed(std::size_t step) const noexcept;
    [[nodiscard]] Batch text_batch() const;
    [[nodiscard]] Batch integer_batch() const;

    Texts texts;
    std::vector<Key> keys;
    std::vector<Key> next_keys;  // memory of their own; null after the last step of a trajectory
    std::vector<std::int64_t> codes;
    std::vector<std::int64_t> group_ids;
    std::vector<std::int64_t> trajectory_ids;
    std::vector<std::uint8_t> success;

  private:
    Texts next_texts_;
};

}  // namespace graphgpo::bench
