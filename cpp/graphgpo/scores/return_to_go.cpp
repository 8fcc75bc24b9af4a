// R_t = r_t + gamma R_(t+1) along the trajectory (GiGPO, arXiv 2505.10978).
#include "graphgpo/group.hpp"

namespace graphgpo {

void write_scores(const ReturnToGo& block, Group& group, std::span<double> scores) {
    const Rollouts& rollouts = group.rollouts();
    for (std::size_t t = 0; t < rollouts.num_trajectories(); ++t) {
        const auto steps = rollouts.steps.row(id_of(t));
        double to_go = 0;
        for (std::size_t i = steps.size(); i-- > 0;) {
            to_go = group.reward(steps[i], block.success_reward) + block.gamma * to_go;
            scores[index(steps[i])] = to_go;
        }
    }
}

}  // namespace graphgpo
