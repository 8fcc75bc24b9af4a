// libFuzzer: any bytes as a batch. It is refused, or credited with finite numbers for every row.
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

#include "graphgpo/pipeline.hpp"

using namespace graphgpo;

namespace {

// Bytes until there are none, then zeros.
class Source {
  public:
    Source(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
    std::uint8_t byte() { return at_ < size_ ? data_[at_++] : 0; }
    double number() {
        switch (const std::uint8_t choice = byte(); choice % 8) {
            case 0: {
                std::array<char, 8> bits;
                for (char& b : bits) b = static_cast<char>(byte());
                double value;
                std::memcpy(&value, bits.data(), sizeof value);
                return value;
            }
            default:
                return static_cast<double>(choice / 8) / 4;
        }
    }
    [[nodiscard]] bool is_empty() const { return at_ >= size_; }

  private:
    const std::uint8_t* data_;
    std::size_t size_;
    std::size_t at_ = 0;
};

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Source source(data, size);
    const std::uint8_t given = source.byte();
    const std::uint8_t more = source.byte();
    static const char* const names[] = {"", "a", "b", "hall", "kitchen", "success"};
    const auto key = [&]() -> Key {
        const std::uint8_t choice = source.byte();
        if (choice % 16 == 15) return {};
        if (choice % 4 == 3) return Key::integer(choice / 64);
        return Key::view(KeyKind::text, names[choice % 6]);
    };

    const Options options{.estimator = static_cast<Estimator>(more % 3),
                          .omega = more % 5 == 4 ? source.number() : 0.1 + 0.2 * (more % 5),
                          .success_reward = 10,
                          .exponent = static_cast<Exponent>(source.byte() % 3),
                          .normalization = static_cast<Normalization>(source.byte() % 2),
                          .epsilon = 1e-6,
                          .epsilon_scale = static_cast<EpsilonScale>(source.byte() % 2),
                          .step_weight = source.number(),
                          .episode_weight = 1,
                          .episode_weighting = static_cast<EpisodeWeighting>(source.byte() % 2),
                          .invalid_action_penalty = 0.1 * (source.byte() % 2),
                          .gamma = 0.95,
                          .num_threads = 1};

    std::vector<Key> states;
    std::vector<Key> next_states;
    Array<std::int64_t> groups;
    Array<std::int64_t> trajectories;
    Array<std::int64_t> step_ids;
    Array<std::uint8_t> success;
    Array<std::uint8_t> action_valid;
    Array<std::uint8_t> mask;
    Array<double> rewards;
    Array<double> returns;
    Array<double> costs;
    while (!source.is_empty()) {
        const std::uint8_t row = source.byte();
        states.push_back(key());
        next_states.push_back(key());
        groups.push_back(row % 2);
        trajectories.push_back(row / 2 % 4);
        success.push_back(row / 8 % 2);
        action_valid.push_back(row / 16 % 2);
        mask.push_back(row / 32 != 0);
        step_ids.push_back(source.byte() % 16);
        rewards.push_back((given & 4) != 0 ? source.number() : 0);
        returns.push_back(static_cast<double>(trajectories.back()));
        costs.push_back((given & 16) != 0 ? source.number() : 1);
    }
    Batch batch{.states = std::span<const Key>(states),
                .group_ids = std::span<const std::int64_t>(groups),
                .trajectory_ids = std::span<const std::int64_t>(trajectories),
                .success = success};
    if ((given & 1) != 0) batch.next_states = std::span<const Key>(next_states);
    if ((given & 2) != 0) batch.step_ids = step_ids;
    if ((given & 4) != 0) batch.rewards = rewards;
    if ((given & 8) != 0) batch.episode_returns = returns;
    if ((given & 16) != 0) batch.edge_costs = costs;
    if ((given & 32) != 0) batch.action_valid = action_valid;
    if ((given & 64) != 0) batch.mask = mask;
    if ((given & 128) != 0) batch.success.reset();

    try {
        const StepAdvantages credit = compute_advantages(batch, options);
        require(credit.advantages.size() == states.size(), "a row was lost");
        for (std::size_t row = 0; row < states.size(); ++row) {
            const bool exists = !batch.mask || mask[row] != 0;
            require(std::isfinite(credit.advantages[row]), "an advantage is not finite");
            require(std::isfinite(credit.distances[row]) == exists, "a distance is not finite");
            require((credit.state_ids[row] >= 0) == exists, "a row has no state");
            require(!exists || credit.distances[row] <= costs[row] + credit.next_distances[row] ||
                        !batch.edge_costs,
                    "an edge saves more than its cost");
        }
        if (batch.success) {
            const BatchGraph graph = build_graph(batch, 1);
            for (const std::int64_t target : graph.edge_target) {
                require(static_cast<std::size_t>(target) < graph.node_kind.size(), "a lost node");
            }
        }
    } catch (const std::invalid_argument& error) {
        require(error.what()[0] != '\0', "an error without a message");
    }
    return 0;
}
