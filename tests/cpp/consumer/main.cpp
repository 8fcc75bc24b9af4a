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
    // GraphGPO: how near a step leads to the goal, compared with the other steps from its state;
    // and how its episode ended, compared with the other episodes of the task.
    const auto mean_std = [](Scale scale) {
        return MeanStd{.ddof = 1, .epsilon = 1e-6, .inside = false, .scale = scale, .off_below = 0};
    };
    const Score edge_return{
        EdgeReturn{.omega = 0.1, .success_reward = 10, .exponent = Exponent::paper}};
    const Term step{.comparisons = {{.score = edge_return,
                                     .peers = SameState{},
                                     .normaliser = mean_std(Scale::relative),
                                     .unit = Unit::steps,
                                     .penalty = 0,
                                     .weight = 1}},
                    .average = {},
                    .modifiers = {},
                    .weight = 1};
    const Term episode{.comparisons = {{.score = {Outcome{}},
                                        .peers = Task{},
                                        .normaliser = mean_std(Scale::absolute),
                                        .unit = Unit::trajectories,
                                        .penalty = 0,
                                        .weight = 1}},
                       .average = {},
                       .modifiers = {},
                       .weight = 1};
    const Plan plan{.terms = {step, episode}, .step_weight = 1, .episode_weight = 1};
    const StepAdvantages credit = compute_advantages(batch, plan, 1);

    for (std::size_t row = 0; row < states.size(); ++row) {
        std::printf("row %zu: distance %.0f, step advantage %+.3f, advantage %+.3f\n", row,
                    credit.distances[row], credit.step_advantages[row], credit.advantages[row]);
    }
    const bool is_right = credit.distances == std::vector<double>{2, 1, 2} &&
                          std::abs(credit.step_advantages[0] - 0.7071f) < 1e-3f &&
                          std::abs(credit.step_advantages[2] + 0.7071f) < 1e-3f;
    return is_right ? 0 : 1;
}
