// The installed library from C++: one rollout reaches the sink, one turns into the bedroom.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <graphgpo/pipeline.hpp>
#include <span>
#include <vector>

int main() {
    using namespace graphgpo;

    const auto text = [](const char* state) { return Key::view(KeyKind::text, state); };
    const std::vector<Key> states = {text("hall"), text("kitchen"), text("hall")};
    const std::vector<Key> next_states = {text("kitchen"), text("sink"), text("bedroom")};
    const std::vector<std::int64_t> group_ids = {0, 0, 0};
    const std::vector<std::int64_t> trajectory_ids = {0, 0, 1};
    const std::vector<std::uint8_t> success = {1, 1, 0};

    const Batch batch{.states = std::span<const Key>(states),
                      .next_states = std::span<const Key>(next_states),
                      .group_ids = std::span<const std::int64_t>(group_ids),
                      .trajectory_ids = std::span<const std::int64_t>(trajectory_ids),
                      .success = success};
    const Options options{.estimator = Estimator::graphgpo,
                          .omega = 0.1,
                          .success_reward = 10,
                          .exponent = Exponent::paper,
                          .normalization = Normalization::mean_std,
                          .epsilon = 1e-6,
                          .epsilon_scale = EpsilonScale::relative,
                          .step_weight = 1,
                          .episode_weight = 1,
                          .episode_weighting = EpisodeWeighting::trajectory,
                          .invalid_action_penalty = 0,
                          .gamma = 0.95,
                          .num_threads = 1};
    const StepAdvantages credit = compute_advantages(batch, options);

    for (std::size_t row = 0; row < states.size(); ++row) {
        std::printf("row %zu: distance %.0f, step advantage %+.3f, advantage %+.3f\n", row,
                    credit.distances[row], credit.step_advantages[row], credit.advantages[row]);
    }
    const bool is_right = credit.distances == std::vector<double>{2, 1, 2} &&
                          std::abs(credit.step_advantages[0] - 0.7071f) < 1e-3f &&
                          std::abs(credit.step_advantages[2] + 0.7071f) < 1e-3f;
    return is_right ? 0 : 1;
}
