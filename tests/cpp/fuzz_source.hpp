// The bytes of a fuzzer as choices and numbers, and a batch made of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "graphgpo/columns.hpp"
#include "graphgpo/memory.hpp"

namespace graphgpo {

inline void require_that(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

// Bytes until there are none, then zeros.
class Source {
  public:
    Source(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
    std::uint8_t byte() { return at_ < size_ ? data_[at_++] : 0; }
    double number() {
        const std::uint8_t choice = byte();
        if (choice % 8 != 0) return static_cast<double>(choice / 8) / 4;
        std::array<char, 8> bits;
        for (char& b : bits) b = static_cast<char>(byte());
        double value;
        std::memcpy(&value, bits.data(), sizeof value);
        return value;
    }
    [[nodiscard]] bool is_empty() const { return at_ >= size_; }

  private:
    const std::uint8_t* data_;
    std::size_t size_;
    std::size_t at_ = 0;
};

// Of the rest of a source: up to two groups of four trajectories, over few states.
struct FuzzBatch {
    explicit FuzzBatch(Source& source) {
        const std::uint8_t given = source.byte();
        const std::uint8_t more = source.byte();
        static const char* const names[] = {"", "a", "b", "hall", "kitchen", "success"};
        const auto key = [&]() -> Key {
            const std::uint8_t choice = source.byte();
            if (choice % 16 == 15) return {};
            if (choice % 4 == 3) return Key::integer(choice / 64);
            return Key::view(KeyKind::text, names[choice % 6]);
        };
        const bool has_verdicts = more % 2 == 0;
        while (!source.is_empty()) {
            const std::uint8_t row = source.byte();
            states.push_back(key());
            next_states.push_back(key());
            actions.push_back(key());
            groups.push_back(row % 2);
            trajectories.push_back(row / 2 % 4);
            const bool is_known = has_verdicts || row / 2 % 4 != 3;
            success.push_back(is_known ? row / 8 % 2 : no_verdict);
            action_valid.push_back(row / 16 % 2);
            mask.push_back(row / 32 != 0);
            step_ids.push_back(source.byte() % 16);
            rewards.push_back((given & 4) != 0 ? source.number() : 0);
            returns.push_back(static_cast<double>(trajectories.back()));
            costs.push_back((given & 16) != 0 ? source.number() : 1);
            values.push_back(static_cast<double>(row % 16) / 16);
        }
        batch.states = std::span<const Key>(states);
        batch.group_ids = std::span<const std::int64_t>(groups);
        batch.trajectory_ids = std::span<const std::int64_t>(trajectories);
        if ((given & 1) != 0) batch.next_states = std::span<const Key>(next_states);
        if ((given & 2) != 0) batch.step_ids = step_ids;
        if ((given & 4) != 0) batch.rewards = rewards;
        if ((given & 8) != 0) batch.episode_returns = returns;
        if ((given & 16) != 0) batch.edge_costs = costs;
        if ((given & 32) != 0) batch.action_valid = action_valid;
        if ((given & 64) != 0) batch.mask = mask;
        if ((given & 128) == 0) batch.success = success;
        if (more / 2 % 2 != 0) batch.actions = std::span<const Key>(actions);
        if (more / 4 % 2 != 0) batch.peer_keys = std::span<const Key>(actions);
    }
    FuzzBatch(const FuzzBatch&) = delete;  // the batch views the columns
    FuzzBatch& operator=(const FuzzBatch&) = delete;

    [[nodiscard]] bool has_row(std::size_t row) const { return !batch.mask || mask[row] != 0; }

    std::vector<Key> states;
    std::vector<Key> next_states;
    std::vector<Key> actions;
    Array<std::int64_t> groups;
    Array<std::int64_t> trajectories;
    Array<std::int64_t> step_ids;
    Array<std::uint8_t> success;
    Array<std::uint8_t> action_valid;
    Array<std::uint8_t> mask;
    Array<double> rewards;
    Array<double> returns;
    Array<double> costs;
    Array<double> values;  // for blocks that the caller gives
    Batch batch{.states = std::span<const Key>(),
                .group_ids = std::span<const std::int64_t>(),
                .trajectory_ids = std::span<const std::int64_t>()};
};

}  // namespace graphgpo
