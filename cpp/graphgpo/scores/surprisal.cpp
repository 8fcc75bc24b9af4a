// ln of the share of a step's target among the steps from its state, pooled.
#include "graphgpo/scores/surprisal.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include "graphgpo/scores/score.hpp"
#include "graphgpo/stop.hpp"

namespace graphgpo {

namespace {

// How many items of a set are of every kind; cleared set by set, so that all sets take O(items).
class Tally {
  public:
    explicit Tally(std::size_t num_kinds) : counts_(num_kinds, 0) {}

    void count(std::span<const StepId> steps, std::span<const StateId> kind) {
        for (const StepId step : steps) counts_[index(kind[index(step)])] = 0;
        for (const StepId step : steps) ++counts_[index(kind[index(step)])];
    }
    [[nodiscard]] std::int32_t operator[](StateId kind) const noexcept {
        return counts_[index(kind)];
    }

  private:
    Array<std::int32_t> counts_;
};

// By step its target; of those that are alone among the steps from their state, one more node.
Array<StateId> pooled_targets(Group& group) {
    const TransitionGraph& graph = group.graph();
    Array<StateId> kind(graph.target.begin(), graph.target.end());
    Tally times(graph.num_nodes);
    const Csr& leaving = group.steps_by_source();
    StopMeter meter;
    for (std::size_t node = 0; node < leaving.num_rows(); ++node) {
        const auto steps = leaving.row(id_of(node));
        meter(1 + steps.size());
        times.count(steps, graph.target);
        for (const StepId step : steps) {
            if (times[graph.target[index(step)]] == 1) kind[index(step)] = id_of(graph.num_nodes);
        }
    }
    return kind;
}

Array<double> surprisals_among(const Csr& sets, Group& group) {
    const Array<StateId> kind = pooled_targets(group);
    Array<double> found(kind.size());
    Tally times(group.graph().num_nodes + 1);
    StopMeter meter;
    for (std::size_t set = 0; set < sets.num_rows(); ++set) {
        const auto steps = sets.row(id_of(set));
        meter(1 + steps.size());
        times.count(steps, kind);
        for (const StepId step : steps) {
            found[index(step)] = std::log(static_cast<double>(steps.size()) /
                                          static_cast<double>(times[kind[index(step)]]));
        }
    }
    return found;
}

}  // namespace

Array<double> surprisals(Group& group) { return surprisals_among(group.steps_by_source(), group); }

Array<double> surprisals_given_action(Group& group) {
    return surprisals_among(group.state_actions().steps, group);
}

void write_scores(const Surprisal& block, Group& group, std::span<double> scores) {
    const Array<double> found = surprisals(group);
    std::ranges::copy(found, scores.begin());
    if (!block.actions) return;
    const Array<double> left = surprisals_given_action(group);
    for (std::size_t step = 0; step < scores.size(); ++step) scores[step] -= left[step];
}

}  // namespace graphgpo
