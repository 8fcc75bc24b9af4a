#include "graphgpo/group.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <variant>

#include "graphgpo/errors.hpp"
#include "graphgpo/exact_sum.hpp"
#include "graphgpo/interner.hpp"
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
    if (std::holds_alternative<SameState>(peers)) return steps_by_source();
    return remembered(peers_, peers, [&] { return peers_of(peers, *this); });
}

const PotentialOfSteps& Group::potential(const Potential& potential) {
    return remembered(potentials_, potential, [&] {
        return std::visit([&](const auto& block) { return potential_of(block, *this); },
                          potential.block);
    });
}

const Array<std::int32_t>& Group::actions() {
    if (actions_) return *actions_;
    actions_.emplace(num_steps());
    if (!batch_->actions) {
        std::ranges::copy(graph().target, actions_->begin());
        return *actions_;
    }
    Interner known(0);
    const auto number = [&](const auto& column) {
        for_each_stoppable(actions_->size(), [&](std::size_t step) {
            const RowId row = rollouts_.row[step];
            const Key key = key_at(column, row);
            if (key.is_null()) {
                throw RowError(row, cell("actions", row) + " is null; expected a value");
            }
            (*actions_)[step] = known.intern(key);
        });
    };
    std::visit(number, *batch_->actions);
    return *actions_;
}

const StateActions& Group::state_actions() {
    if (state_actions_) return *state_actions_;
    Interner known(num_steps() / 2);
    StateActions found;
    found.pair.reserve(num_steps());
    const Array<std::int32_t>& of_step = actions();
    for_each_stoppable(num_steps(), [&](std::size_t step) {
        const std::int64_t source = graph().source[step];
        found.pair.push_back(known.intern(Key::integer(source << 32 | of_step[step])));
    });
    found.steps = group_by_row(found.pair, known.size());
    return state_actions_.emplace(std::move(found));
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

}  // namespace graphgpo
