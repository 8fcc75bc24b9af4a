#include "graphgpo/rollouts.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <string_view>
#include <tuple>

#include "graphgpo/errors.hpp"
#include "graphgpo/interner.hpp"
#include "graphgpo/stop.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo {

namespace {

// What stands where a row would, numbered by its key.
struct Numbering {
    Array<std::int32_t> id;  // by position, in order of first appearance; `none`: no row
    Csr positions;           // of every id, ascending
    bool are_runs = true;    // whether those are 0, 1, 2, ..., id after id
};

// Trainers write ids in runs: a run costs one hash, its rows a comparison each. Where every run is
// the only one of its id, which is the rule, the runs are the lists of positions already.
// `row_of` a position; `none` only if `leaves_out`.
template <bool leaves_out>
Numbering number_keys(const auto& column, std::size_t num_positions, auto&& row_of) {
    Numbering numbers;
    numbers.id.resize(num_positions);
    Interner interner(0);
    Array<std::int32_t>& begins = numbers.positions.offsets;
    begins.reserve(16);  // a group has few rollouts
    std::size_t end = 0;
    StopMeter meter;
    for (std::size_t begin = 0; begin < num_positions; begin = end) {
        meter();
        end = begin + 1;
        const RowId row = row_of(begin);
        if (leaves_out && row == none) {
            numbers.id[begin] = none;
            numbers.are_runs = false;
            continue;
        }
        while (end < num_positions && (!leaves_out || row_of(end) != none) &&
               is_same_key(column, row_of(end), row)) {
            ++end;
        }
        const std::int32_t id = interner.intern(key_at(column, row));
        std::ranges::fill(std::span(numbers.id).subspan(begin, end - begin), id);
        numbers.are_runs = numbers.are_runs && index(id) == begins.size();
        if (numbers.are_runs) begins.push_back(id_of(begin));
    }
    if (numbers.are_runs) {
        begins.push_back(id_of(num_positions));
        numbers.positions.items.resize(num_positions);
        std::iota(numbers.positions.items.begin(), numbers.positions.items.end(), 0);
    } else {
        numbers.positions = group_by_row(numbers.id, interner.size());
    }
    return numbers;
}

// Where a row stands among its group's rows.
using Position = std::int32_t;

// Of the trajectories of one group.
Numbering number_trajectories(const Batch& batch, std::span<const RowId> rows) {
    const auto row_of = [&](std::size_t position) { return rows[position]; };
    return std::visit([&](const auto& ids) { return number_keys<false>(ids, rows.size(), row_of); },
                      batch.trajectory_ids);
}

// Whether step ids ascend strictly within every trajectory. Without step ids row order is theirs.
bool is_ordered(const Batch& batch, const Numbering& trajectories, std::span<const RowId> rows) {
    if (!batch.step_ids) return true;
    const auto ascends = [&](RowId row, RowId next_row) {
        return (*batch.step_ids)[index(row)] < (*batch.step_ids)[index(next_row)];
    };
    if (trajectories.are_runs) {
        for (std::size_t p = 1; p < rows.size(); ++p) {
            const bool goes_on = trajectories.id[p - 1] == trajectories.id[p];
            if (goes_on && !ascends(rows[p - 1], rows[p])) return false;
        }
        return true;
    }
    Array<RowId> last_row(trajectories.positions.num_rows(), none);
    for (std::size_t p = 0; p < rows.size(); ++p) {
        RowId& last = last_row[index(trajectories.id[p])];
        if (last != none && !ascends(last, rows[p])) return false;
        last = rows[p];
    }
    return true;
}

// Every position is a step, already in order.
void take_as_ordered(Numbering&& trajectories, std::span<const RowId> rows, Rollouts& rollouts) {
    rollouts.row.assign(rows.begin(), rows.end());
    rollouts.steps = std::move(trajectories.positions);
    rollouts.are_runs = trajectories.are_runs;
    rollouts.trajectory = std::move(trajectories.id);
}

// Sorts, and folds the copies of a step into its first row. Step ids are the caller's memory, which
// may change meanwhile: what is sorted by is a copy.
void sort_and_fold(const Numbering& trajectories, std::span<const RowId> rows,
                   std::span<const std::int64_t> step_ids, Rollouts& rollouts) {
    Array<std::int64_t> id_at(rows.size());
    for (std::size_t p = 0; p < rows.size(); ++p) id_at[p] = step_ids[index(rows[p])];
    const auto place = [&](Position p) {
        return std::tuple(trajectories.id[index(p)], id_at[index(p)]);
    };
    Array<Position> sorted(rows.size());
    std::iota(sorted.begin(), sorted.end(), 0);
    StopMeter meter;
    std::ranges::sort(sorted, [&](Position a, Position b) {
        meter();
        return std::tuple(place(a), a) < std::tuple(place(b), b);
    });

    Array<Position> original(rows.size());
    for (std::size_t i = 0; i < sorted.size(); ++i) {
        const bool is_copy = i > 0 && place(sorted[i - 1]) == place(sorted[i]);
        original[index(sorted[i])] = is_copy ? original[index(sorted[i - 1])] : sorted[i];
    }

    Array<StepId> step_of(rows.size());
    for (std::size_t p = 0; p < rows.size(); ++p) {
        if (index(original[p]) == p) {
            step_of[p] = id_of(rollouts.row.size());
            rollouts.row.push_back(rows[p]);
            rollouts.trajectory.push_back(trajectories.id[p]);
        } else {
            rollouts.copies.push_back({rows[p], step_of[index(original[p])]});
        }
    }

    rollouts.steps = group_by_row(rollouts.trajectory, trajectories.positions.num_rows());
    rollouts.steps.items.clear();
    for (const Position p : sorted) {
        if (original[index(p)] == p) rollouts.steps.items.push_back(step_of[index(p)]);
    }
}

void link_steps(Rollouts& rollouts) {
    rollouts.following.assign(rollouts.num_steps(), none);
    if (rollouts.are_runs) {
        std::iota(rollouts.following.begin(), rollouts.following.end(), 1);
        for (std::size_t t = 0; t < rollouts.steps.num_rows(); ++t) {
            rollouts.following[index(rollouts.steps.row(id_of(t)).back())] = none;
        }
        return;
    }
    for (std::size_t t = 0; t < rollouts.steps.num_rows(); ++t) {
        const auto steps = rollouts.steps.row(id_of(t));
        for (std::size_t i = 1; i < steps.size(); ++i) {
            rollouts.following[index(steps[i - 1])] = steps[i];
        }
    }
}

// "True", "False" or, without a verdict, "None".
std::string describe_verdict(std::uint8_t flag) {
    return flag == no_verdict ? "None" : flag != 0 ? "True" : "False";
}

// Copies must agree in every column: a batch that was padded by repeating rows does, one whose step
// ids were numbered wrongly does not.
class CopyCheck {
  public:
    CopyCheck(RowId row, RowId copy, FirstError& errors)
        : row_(row), copy_(copy), errors_(&errors) {}

    void operator()(std::string_view column, const std::optional<KeyColumn>& keys) const {
        if (keys) compare(column, key_at(*keys, row_), key_at(*keys, copy_));
    }
    template <typename T>
    void operator()(std::string_view column,
                    const std::optional<std::span<const T>>& values) const {
        if (values) compare(column, (*values)[index(row_)], (*values)[index(copy_)]);
    }

  private:
    template <typename T>
    void compare(std::string_view column, const T& value, const T& copy) const {
        if (value == copy || (value != value && copy != copy)) return;  // unknown is unknown
        errors_->add(copy_, [&] {
            return cell(column, copy_) + " is " + describe(copy) + " but row " +
                   std::to_string(row_) + " has " + describe(value) +
                   "; rows with the same group, trajectory and step id are copies of one step and "
                   "must agree in every column";
        });
    }
    static std::string describe(const auto& value) {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::uint8_t>) {
            return describe_verdict(value);
        } else {
            return graphgpo::describe(value);
        }
    }

    RowId row_;
    RowId copy_;
    FirstError* errors_;
};

void check_copies(const Batch& batch, const Rollouts& rollouts, FirstError& errors) {
    StopMeter meter;
    for (const Rollouts::Copy& copy : rollouts.copies) {
        meter();
        const CopyCheck check(rollouts.row[index(copy.step)], copy.row, errors);
        check("states", std::optional(batch.states));
        check("next_states", batch.next_states);
        check("success", batch.success);
        check("rewards", batch.rewards);
        check("episode_returns", batch.episode_returns);
        check("edge_costs", batch.edge_costs);
        check("action_valid", batch.action_valid);
        check("actions", batch.actions);
        check("peer_keys", batch.peer_keys);
    }
}

// Without next states a step's target is the state of the following step, so there must be one.
void check_gaps(const Batch& batch, const Rollouts& rollouts, FirstError& errors) {
    if (batch.next_states || !batch.step_ids) return;
    const auto step_ids = *batch.step_ids;
    for (std::size_t step = 0; step < rollouts.num_steps(); ++step) {
        if (rollouts.following[step] == none) continue;
        const RowId row = rollouts.row[step];
        const RowId next_row = rollouts.row[index(rollouts.following[step])];
        // Sorted, so the next id is larger; as unsigned numbers, because the caller may change
        // them.
        const auto id_of_row = static_cast<std::uint64_t>(step_ids[index(row)]);
        if (static_cast<std::uint64_t>(step_ids[index(next_row)]) - id_of_row == 1) continue;
        errors.add(next_row, [&] {
            return cell("step_ids", next_row) + " is " + std::to_string(step_ids[index(next_row)]) +
                   " but the step before it in its trajectory (row " + std::to_string(row) +
                   ") is " + std::to_string(step_ids[index(row)]) +
                   "; expected no gap, because without next_states a step leads to the state of "
                   "the "
                   "following step";
        });
    }
}

// Of rollouts that are runs of rows, whether a row before a last one is null. In a loop that the
// compiler makes vectors of.
bool has_null_inside(const auto& column, const Rollouts& rollouts) {
    bool found = false;
    for (std::size_t t = 0; t < rollouts.steps.num_rows(); ++t) {
        const auto steps = rollouts.steps.row(id_of(t));
        const RowId last = rollouts.row[index(steps.back())];
        for (RowId row = rollouts.row[index(steps.front())]; row < last; ++row) {
            found |= is_null_at(column, row);
        }
    }
    return found;
}

void check_next_states(const Batch& batch, const Rollouts& rollouts, FirstError& errors) {
    if (!batch.next_states) return;
    const auto check = [&](const auto& next_states) {
        if (rollouts.are_runs_of_rows() && !has_null_inside(next_states, rollouts)) return;
        for (std::size_t step = 0; step < rollouts.num_steps(); ++step) {
            const RowId row = rollouts.row[step];
            if (!is_null_at(next_states, row) || rollouts.following[step] == none) continue;
            errors.add(row, [&] {
                return cell("next_states", row) + " is null but its trajectory goes on at row " +
                       std::to_string(rollouts.row[index(rollouts.following[step])]) +
                       "; only the last step of a trajectory may have no next state";
            });
        }
    };
    std::visit(check, *batch.next_states);
}

void judge_success(const Batch& batch, Rollouts& rollouts, FirstError& errors) {
    rollouts.succeeded.assign(rollouts.steps.num_rows(), 0);
    if (!batch.success) return;
    const auto flag_of = [&](StepId step) {
        return (*batch.success)[index(rollouts.row[index(step)])];
    };
    const bool are_runs = rollouts.are_runs_of_rows();
    for (std::size_t t = 0; t < rollouts.num_trajectories(); ++t) {
        const auto steps = rollouts.steps.row(id_of(t));
        const std::uint8_t last_flag = flag_of(steps.back());
        rollouts.succeeded[t] = last_flag;
        std::uint8_t unlike_last = 0;
        const auto see = [&](std::uint8_t flag) {
            unlike_last = static_cast<std::uint8_t>(unlike_last | (flag ^ last_flag));
        };
        if (are_runs) {  // a loop that the compiler makes vectors of
            const std::size_t first = index(rollouts.row[index(steps.front())]);
            for (const auto flag : batch.success->subspan(first, steps.size())) see(flag);
        } else {
            for (const StepId step : steps) see(flag_of(step));
        }
        // A winning last step says all, but for rows that know nothing.
        if (unlike_last == 0 || (unlike_last == 1 && last_flag == 1)) continue;
        for (const StepId step : steps) {
            const std::uint8_t flag = flag_of(step);
            if (flag == last_flag || (flag == 0 && last_flag == 1)) continue;
            const RowId row = rollouts.row[index(step)];
            if (flag == no_verdict || last_flag == no_verdict) {
                errors.add(row, [&] {
                    return cell("success", row) + " is " + describe_verdict(flag) + " but row " +
                           std::to_string(rollouts.row[index(steps.back())]) +
                           " of its trajectory has " + describe_verdict(last_flag) +
                           "; expected None on every row of a rollout without a verdict, or on "
                           "none";
                });
                continue;
            }
            errors.add(row, [&] {
                return cell("success", row) + " is True but the last step of its trajectory (row " +
                       std::to_string(rollouts.row[index(steps.back())]) +
                       ") is False; expected the flag on the last step or on every step: mask the "
                       "rows after a win";
            });
        }
    }
}

void check_episode_returns(const Batch& batch, const Rollouts& rollouts, FirstError& errors) {
    if (!batch.episode_returns) return;
    const auto returns = *batch.episode_returns;
    Array<RowId> first_row(rollouts.num_trajectories(), none);
    for (std::size_t step = 0; step < rollouts.num_steps(); ++step) {
        const RowId row = rollouts.row[step];
        RowId& first = first_row[index(rollouts.trajectory[step])];
        if (first == none) first = row;
        if (returns[index(row)] == returns[index(first)]) continue;
        if (!rollouts.has_verdict(rollouts.trajectory[step])) continue;  // it has no outcome either
        errors.add(row, [&] {
            return cell("episode_returns", row) + " is " + describe(returns[index(row)]) +
                   " but row " + std::to_string(first) + " of the same trajectory has " +
                   describe(returns[index(first)]) + "; expected one value per trajectory";
        });
    }
}

}  // namespace

Groups group_rows(const Batch& batch) {
    const auto number = [&](const auto& ids) {
        const std::size_t rows = num_rows(batch.states);
        if (!batch.mask) return number_keys<false>(ids, rows, id_of).positions;
        const auto row_of = [&](std::size_t row) {
            return (*batch.mask)[row] == 0 ? none : id_of(row);
        };
        return number_keys<true>(ids, rows, row_of).positions;
    };
    return {std::visit(number, batch.group_ids)};
}

Rollouts arrange_rollouts(const Batch& batch, std::span<const RowId> rows) {
    Rollouts rollouts;
    Numbering trajectories = number_trajectories(batch, rows);
    if (is_ordered(batch, trajectories, rows)) {
        take_as_ordered(std::move(trajectories), rows, rollouts);
    } else {
        sort_and_fold(trajectories, rows, *batch.step_ids, rollouts);
    }
    link_steps(rollouts);
    stop_if_asked_after(rows.size());

    FirstError errors;
    check_copies(batch, rollouts, errors);
    check_gaps(batch, rollouts, errors);
    check_next_states(batch, rollouts, errors);
    judge_success(batch, rollouts, errors);
    check_episode_returns(batch, rollouts, errors);
    errors.throw_if_any();
    stop_if_asked_after(rows.size());
    return rollouts;
}

}  // namespace graphgpo
