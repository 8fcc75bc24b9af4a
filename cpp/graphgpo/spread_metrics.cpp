// Where the steps of groups that nobody won go.
#include <algorithm>
#include <limits>

#include "graphgpo/metrics.hpp"
#include "graphgpo/scores/surprisal.hpp"

namespace graphgpo {

namespace {

// Steps whose state has scores that differ.
std::int64_t compared_steps(Group& group, std::span<const double> scores) {
    const Csr& leaving = group.steps_by_source();
    std::int64_t compared = 0;
    for (std::size_t node = 0; node < leaving.num_rows(); ++node) {
        const auto steps = leaving.row(id_of(node));
        const bool differ = std::ranges::any_of(steps, [&](StepId step) {
            return scores[index(step)] != scores[index(steps.front())];
        });
        compared += differ ? std::ssize(steps) : 0;
    }
    return compared;
}

double sum_of(std::span<const double> values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return sum;
}

}  // namespace

void SpreadTally::append(const SpreadTally& other) {
    steps += other.steps;
    credited += other.credited;
    no_ops += other.no_ops;
    surprisal += other.surprisal;
    surprisal_of_noise += other.surprisal_of_noise;
}

SpreadTally tally_spread(const Surprisal& block, Group& group) {
    SpreadTally tally;
    if (group.somebody_won()) return tally;
    Array<double> scores(group.num_steps());
    write_scores(block, group, scores);
    const TransitionGraph& graph = group.graph();
    tally.steps = std::ssize(scores);
    tally.credited = compared_steps(group, scores);
    for (std::size_t step = 0; step < scores.size(); ++step) {
        tally.no_ops += graph.source[step] == graph.target[step] ? 1 : 0;
    }
    tally.surprisal = sum_of(surprisals(group));
    if (group.batch().actions) tally.surprisal_of_noise = sum_of(surprisals_given_action(group));
    return tally;
}

void add_spread(const SpreadTally& tally, std::int64_t all_steps, Metrics& metrics) {
    const auto share = [](double part, double whole) { return whole == 0 ? 0 : part / whole; };
    const auto steps = static_cast<double>(tally.steps);
    metrics.add({"graphgpo/spread_share",
                 share(static_cast<double>(tally.credited), static_cast<double>(all_steps))});
    metrics.add({"graphgpo/successor_entropy", share(tally.surprisal, steps)});
    metrics.add({"graphgpo/successor_noise", share(tally.surprisal_of_noise, tally.surprisal)});
    metrics.add({"graphgpo/no_op_share", share(static_cast<double>(tally.no_ops), steps)});
}

}  // namespace graphgpo
