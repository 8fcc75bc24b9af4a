#include "graphgpo/discounted_returns.hpp"

namespace graphgpo {

void write_discounted_returns(const Batch& batch, const Rollouts& rollouts, const Options& options,
                              std::span<double> returns) {
    const auto reward_of = [&](StepId step) {
        if (batch.rewards) return (*batch.rewards)[index(rollouts.row[index(step)])];
        return rollouts.is_winning(step) ? options.success_reward : 0.0;
    };
    for (std::size_t t = 0; t < rollouts.num_trajectories(); ++t) {
        const auto steps = rollouts.steps.row(id_of(t));
        double to_go = 0;
        for (std::size_t i = steps.size(); i-- > 0;) {
            to_go = reward_of(steps[i]) + options.gamma * to_go;
            returns[index(steps[i])] = to_go;
        }
    }
}

}  // namespace graphgpo
