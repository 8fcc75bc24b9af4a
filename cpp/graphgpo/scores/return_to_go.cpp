// R_t = r_t + gamma R_(t+1) along the trajectory (GiGPO, arXiv 2505.10978).
#include "graphgpo/group.hpp"

namespace graphgpo {

void write_scores(const ReturnToGo& block, Group& group, std::span<double> scores) {
    const Rollouts& rollouts = group.rollouts();
    const bool has_rewards = group.batch().rewards.has_value();
    for (std::size_t t = 0; t < rollouts.num_trajectories(); ++t) {
        const auto steps = rollouts.steps.row(id_of(t));
        double to_go = has_rewards ? 0 : group.reward(steps.back(), block.success_reward);
        for (std::size_t i = steps.size(); i-- > 0;) {
            // Without rewards the only one is that of the goal, at the end.
            if (has_rewards) to_go = group.reward(steps[i], block.success_reward) + to_go;
            scores[index(steps[i])] = to_go;
            to_go *= block.gamma;
        }
    }
}

}  // namespace graphgpo
