// Scores that read a potential where the step starts and where it leads.
#include "graphgpo/group.hpp"

namespace graphgpo {

void write_scores(const Target& block, Group& group, std::span<double> scores) {
    const Array<double>& after = group.potential(block.potential).after;
    for (std::size_t step = 0; step < scores.size(); ++step) {
        scores[step] = block.gamma * after[step];
    }
}

void write_scores(const Difference& block, Group& group, std::span<double> scores) {
    const auto& [before, after] = group.potential(block.potential);
    for (std::size_t step = 0; step < scores.size(); ++step) {
        const double reward = block.rewards ? group.reward(id_of(step), block.success_reward) : 0;
        scores[step] = reward + block.gamma * after[step] - before[step];
    }
}

void write_scores(const Trace& block, Group& group, std::span<double> scores) {
    write_scores(block.difference, group, scores);
    const double decay = block.difference.gamma * block.lam;
    const Csr& trajectories = group.rollouts().steps;
    for (std::size_t t = 0; t < trajectories.num_rows(); ++t) {
        const auto steps = trajectories.row(id_of(t));
        double to_come = 0;
        for (std::size_t i = steps.size(); i-- > 0;) {
            double& score = scores[index(steps[i])];
            to_come = score + decay * to_come;
            score = to_come;
        }
    }
}

}  // namespace graphgpo
