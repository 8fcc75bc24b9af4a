// A score's mean over the steps with one state and action, drawn to the mean over the state.
#include "graphgpo/scores/action_mean.hpp"

#include <cmath>
#include <limits>

#include "graphgpo/exact_sum.hpp"
#include "graphgpo/group.hpp"
#include "graphgpo/stop.hpp"

namespace graphgpo {

KnownMeans known_means(const Csr& sets, std::span<const double> values) {
    KnownMeans means{.mean = Array<double>(sets.num_rows(), unknown_score),
                     .known = Array<double>(sets.num_rows(), 0)};
    ExactSum sum;
    StopMeter meter;
    for (std::size_t row = 0; row < sets.num_rows(); ++row) {
        meter(sets.row(id_of(row)).size());
        double smallest = std::numeric_limits<double>::infinity();
        double largest = -smallest;
        double known = 0;
        for (const auto item : sets.row(id_of(row))) {
            const double value = values[index(item)];
            smallest = value < smallest ? value : smallest;
            largest = value > largest ? value : largest;
            known += std::isnan(value) ? 0 : 1;
        }
        means.known[row] = known;
        if (known == 0) continue;
        if (smallest == largest) {
            means.mean[row] = smallest;
        } else if (known == 2) {  // rounded once as it is
            means.mean[row] = (smallest + largest) / 2;
        } else {
            sum.clear();
            for (const auto item : sets.row(id_of(row))) {
                if (!std::isnan(values[index(item)])) sum.add(values[index(item)]);
            }
            means.mean[row] = sum.total() / known;
        }
    }
    return means;
}

void write_scores(const ActionMean& block, Group& group, std::span<double> scores) {
    write_scores(*block.score, group, scores);
    const StateActions& actions = group.state_actions();
    const KnownMeans of_action = known_means(actions.steps, scores);
    const KnownMeans of_state = known_means(group.steps_by_source(), scores);
    for (std::size_t step = 0; step < scores.size(); ++step) {
        const std::size_t pair = index(actions.pair[step]);
        const double n = of_action.known[pair];
        const double m = of_state.mean[index(group.graph().source[step])];
        const double q = of_action.mean[pair];
        const bool is_drawn = block.kappa != 0 && q != m;
        scores[step] = is_drawn ? (n * q + block.kappa * m) / (n + block.kappa) : q;
    }
}

}  // namespace graphgpo
