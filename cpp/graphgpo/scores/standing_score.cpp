// A score as it stands among other peers.
#include <algorithm>

#include "graphgpo/comparison.hpp"

namespace graphgpo {

void write_scores(const StandingScore& block, Group& group, std::span<double> scores) {
    const Comparison comparison{.score = *block.score,
                                .peers = block.peers,
                                .normaliser = block.normaliser,
                                .unit = block.unit,
                                .penalty = 0,
                                .weight = 1};
    const Array<double> standings = standings_of(comparison, group, 0, nullptr, {});
    const std::span<const double> unknown = group.scores(*block.score);
    for (std::size_t step = 0; step < scores.size(); ++step) {
        scores[step] = unknown[step] == unknown[step] ? standings[step] : unknown_score;
    }
}

}  // namespace graphgpo
