#include "graphgpo/group.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <variant>

#include "graphgpo/errors.hpp"
#include "graphgpo/exact_sum.hpp"
#include "graphgpo/interner.hpp"
#include "graphgpo/remembered.hpp"
#include "graphgpo/stop.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo {

namespace {

// Of all that were asked for, the value of `key`; `make` makes it if it is the first time.
template <typename Key, typename Value>
const Value& remembered(std::vector<std::pair<Key, std::unique_ptr<const Value>>>& known,
                        const Key& key, auto&& make) {
    for (const auto& [asked, value] : known) {
        if (asked == key) return *value;
    }
    auto value = std::make_unique<const Value>(make());
    return *known.emplace_back(key, std::move(value)).second;
}

}  // namespace

const Csr& Group::peers(const Peers& peers) {
    if (std::holds_alternative<SameState>(peers) || peers == Peers(LastStates{1})) {
        return steps_by_source();
    }
    return remembered(peers_, peers, [&] { return peers_of(peers, *this); });
}

const Distances& Group::distances() {
    if (distances_) return *distances_;
    return distances_.emplace(batch_->remembering ? remembered_distances(*this)
                                                  : distances_to_goal(graph(), costs()));
}

TaskMemory* Group::task_memory() const {
    if (!batch_->remembering || num_steps() == 0) return nullptr;
    const Remembering& all = *batch_->remembering;
    return &all.memory->task(all.tasks[index(rollouts_.row.front())]);
}

const PotentialOfSteps& Group::potential(const Potential& potential) {
    return remembered(potentials_, potential, [&] {
        return std::visit([&](const auto& block) { return potential_of(block, *this); },
                          potential.block);
    });
}

std::span<const double> Group::scores(const Score& score) {
    if (!scores_ || scores_->first != score) {
        Array<double> scores(num_steps());
        write_scores(score, *this, scores);
        scores_.emplace(score, std::move(scores));
    }
    return scores_->second;
}

const Numbers& Group::actions() {
    if (actions_) return *actions_;
    if (!batch_->actions) {
        return actions_.emplace(Numbers{graph().target, graph().num_nodes});
    }
    return actions_.emplace(numbers_of_keys(*batch_->actions, rollouts_, "actions"));
}

const StateActions& Group::state_actions() {
    if (state_actions_) return *state_actions_;
    Numbers pairs = pairs_of(steps_by_source(), actions());
    Csr steps = group_by_row(pairs.of, pairs.size);
    return state_actions_.emplace(StateActions{std::move(pairs.of), std::move(steps)});
}

std::span<const double> Group::outcomes() {
    if (outcomes_) return *outcomes_;
    outcomes_.emplace(rollouts_.num_trajectories(), unknown_score);
    ExactSum sum;
    StopMeter meter;
    for (std::size_t t = 0; t < outcomes_->size(); ++t) {
        if (!rollouts_.has_verdict(id_of(t))) continue;
        const auto steps = rollouts_.steps.row(id_of(t));
        const auto row_of = [&](StepId step) { return index(rollouts_.row[index(step)]); };
        double& outcome = (*outcomes_)[t];
        if (batch_->episode_returns) {
            outcome = (*batch_->episode_returns)[row_of(steps.front())];
        } else if (batch_->rewards) {
            sum.clear();
            for (const StepId step : steps) sum.add((*batch_->rewards)[row_of(step)]);
            meter(steps.size());
            outcome = sum.total();
        } else {
            outcome = rollouts_.succeeded[t] == 1 ? 1 : 0;
        }
        if (!std::isfinite(outcome)) {
            throw std::invalid_argument(
                "rewards of one trajectory add up to more than a float64 holds");
        }
    }
    return *outcomes_;
}

bool Group::won(TrajectoryId trajectory) {
    if (batch_->success) return rollouts_.succeeded[index(trajectory)] == 1;
    return outcomes()[index(trajectory)] > 0;
}

bool Group::somebody_won() {
    for (std::size_t t = 0; t < rollouts_.num_trajectories(); ++t) {
        if (won(id_of(t))) return true;
    }
    return false;
}

Numbers numbers_of_keys(const KeyColumn& column, const Rollouts& rollouts) {
    Numbers numbers{.of = Array<std::int32_t>(rollouts.num_steps(), none)};
    Interner known(0);
    const auto number = [&](const auto& keys) {
        for_each_stoppable(rollouts.num_steps(), [&](std::size_t step) {
            const Key key = key_at(keys, rollouts.row[step]);
            if (!key.is_null()) numbers.of[step] = known.intern(key);
        });
    };
    std::visit(number, column);
    numbers.size = known.size();
    return numbers;
}

Numbers numbers_of_keys(const KeyColumn& column, const Rollouts& rollouts, std::string_view name) {
    Numbers numbers = numbers_of_keys(column, rollouts);
    const auto missing = std::ranges::find(numbers.of, none);
    if (missing == numbers.of.end()) return numbers;
    const RowId row = rollouts.row[static_cast<std::size_t>(missing - numbers.of.begin())];
    throw RowError(row, cell(name, row) + " is null; expected a value");
}

}  // namespace graphgpo
