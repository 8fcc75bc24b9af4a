// Rows in any order to groups, trajectories and steps in their order, without copies.
#pragma once

#include <cstdint>

#include "cuda/columns.hpp"
#include "cuda/device.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo::cuda {

// How many there are up to a place in the sorted order.
struct Counts {
    std::int32_t rows;  // not masked
    std::int32_t groups;
    std::int32_t trajectories;
    std::int32_t steps;
};

struct AddCounts {
    GRAPHGPO_HD Counts operator()(const Counts& a, const Counts& b) const {
        return {a.rows + b.rows, a.groups + b.groups, a.trajectories + b.trajectories,
                a.steps + b.steps};
    }
};

// Rows sorted by group, trajectory, step and row; masked ones last.
struct SortedRows {
    RowId* row;      // by place
    Counts* counts;  // by place, itself included; so the last holds those of the batch
};

// Three numberings meet here. A *place* is that of a row in the sorted order. Its *sequence* number
// is that of its step among the sorted steps, where the steps of a trajectory are neighbours. Its
// *step* number is the core's: groups by their first row, in a group by the first row of the step.
struct Rollouts {
    Counts totals;
    StepId* step_of_row;  // copies have that of their step; `none`: masked

    RowId* row;                  // by step: the first that gives it
    GroupId* group;              // by step, ascending
    TrajectoryId* trajectory;    // by step; trajectories are numbered in sorted order
    StepId* following;           // by step: the next one of its trajectory; `none`: last
    std::int32_t* step_offsets;  // by group: its steps are [step_offsets[g], step_offsets[g + 1])

    StepId* step_of_sequence;
    std::int32_t* trajectory_offsets;  // by trajectory: its sequence numbers
    GroupId* group_of_trajectory;
    std::uint8_t* succeeded;  // by trajectory
};

// Sorts `order`, so far sorted by less important columns, by one more.
template <typename Key>
void sort_rows_by(Device& device, const Key* column, RowId* order, std::int64_t num_rows) {
    const Device::Scope scope(device);
    auto* const keys = device.array<Key>(num_rows);
    device.each(num_rows, [=] GRAPHGPO_GPU(std::int64_t i) { keys[i] = column[order[i]]; });
    device.sort_by_key(keys, order, num_rows);
}

[[nodiscard]] inline SortedRows sort_rows(Device& device, const Columns& columns) {
    const std::int64_t num_rows = columns.num_rows;
    auto* const row = device.array<RowId>(num_rows);
    auto* const counts = device.array<Counts>(num_rows);
    device.each(num_rows, [=] GRAPHGPO_GPU(std::int64_t i) { row[i] = static_cast<RowId>(i); });
    if (columns.step_ids != nullptr) sort_rows_by(device, columns.step_ids, row, num_rows);
    sort_rows_by(device, columns.trajectory_ids, row, num_rows);
    sort_rows_by(device, columns.group_ids, row, num_rows);
    if (columns.mask != nullptr) {
        const Device::Scope scope(device);
        auto* const is_masked = device.array<std::int32_t>(num_rows);
        device.each(num_rows, [=] GRAPHGPO_GPU(std::int64_t i) {
            is_masked[i] = columns.is_masked(i) ? 1 : 0;
        });
        sort_rows_by(device, is_masked, row, num_rows);
    }

    device.each(num_rows, [=] GRAPHGPO_GPU(std::int64_t place) {
        const RowId here = row[place];
        if (columns.is_masked(here)) {
            counts[place] = {0, 0, 0, 0};
            return;
        }
        const RowId before = place == 0 ? none : row[place - 1];
        const bool begins_group =
            before == none || columns.group_ids[before] != columns.group_ids[here];
        const bool begins_trajectory =
            begins_group || columns.trajectory_ids[before] != columns.trajectory_ids[here];
        const bool begins_step = begins_trajectory || columns.step_ids == nullptr ||
                                 columns.step_ids[before] != columns.step_ids[here];
        counts[place] = {1, begins_group ? 1 : 0, begins_trajectory ? 1 : 0, begins_step ? 1 : 0};
    });
    device.inclusive_scan(counts, num_rows, AddCounts());
    return {row, counts};
}

// `totals` are the last of `sorted.counts`; there is a row that is not masked.
[[nodiscard]] inline Rollouts number_steps(Device& device, const Columns& columns,
                                           const SortedRows& sorted, const Counts& totals) {
    const std::int64_t num_rows = columns.num_rows;
    const std::int64_t num_steps = totals.steps;
    const std::int64_t num_groups = totals.groups;
    const Rollouts to{.totals = totals,
                      .step_of_row = device.array<StepId>(num_rows),
                      .row = device.array<RowId>(num_steps),
                      .group = device.array<GroupId>(num_steps),
                      .trajectory = device.array<TrajectoryId>(num_steps),
                      .following = device.array<StepId>(num_steps),
                      .step_offsets = device.array<std::int32_t>(num_groups + 1),
                      .step_of_sequence = device.array<StepId>(num_steps),
                      .trajectory_offsets = device.array<std::int32_t>(totals.trajectories + 1),
                      .group_of_trajectory = device.array<GroupId>(totals.trajectories),
                      .succeeded = device.array<std::uint8_t>(totals.trajectories)};
    const Device::Scope scope(device);
    const RowId* const rows = sorted.row;
    const Counts* const places = sorted.counts;

    // Groups by their first row.
    auto* const first_row = device.filled<RowId>(num_groups, INT32_MAX);
    device.each(totals.rows, [=] GRAPHGPO_GPU(std::int64_t place) {
        atomic_min(&first_row[places[place].groups - 1], rows[place]);
    });
    auto* const groups_before = device.filled<std::int32_t>(num_rows, 0);
    device.each(num_groups, [=] GRAPHGPO_GPU(std::int64_t g) { groups_before[first_row[g]] = 1; });
    device.exclusive_scan(groups_before, num_rows);

    // Steps by their first row, then, stably, by group.
    auto* const row_of_sequence = device.array<RowId>(num_steps);
    auto* const group_of_sequence = device.array<GroupId>(num_steps);
    auto* const steps_before = device.filled<std::int32_t>(num_rows, 0);
    device.each(totals.rows, [=] GRAPHGPO_GPU(std::int64_t place) {
        const std::int32_t sequence = places[place].steps - 1;
        if (place > 0 && places[place - 1].steps == places[place].steps) return;  // a copy
        row_of_sequence[sequence] = rows[place];
        group_of_sequence[sequence] = groups_before[first_row[places[place].groups - 1]];
        steps_before[rows[place]] = 1;
    });
    device.exclusive_scan(steps_before, num_rows);
    auto* const sequence_of_step = device.array<std::int32_t>(num_steps);
    device.each(num_steps, [=] GRAPHGPO_GPU(std::int64_t sequence) {
        const std::int32_t i = steps_before[row_of_sequence[sequence]];
        to.group[i] = group_of_sequence[sequence];
        sequence_of_step[i] = static_cast<std::int32_t>(sequence);
    });
    device.sort_by_key(to.group, sequence_of_step, num_steps);
    device.each(num_steps, [=] GRAPHGPO_GPU(std::int64_t step) {
        const std::int32_t sequence = sequence_of_step[step];
        to.row[step] = row_of_sequence[sequence];
        to.step_of_sequence[sequence] = static_cast<StepId>(step);
    });
    device.each(num_groups + 1, [=] GRAPHGPO_GPU(std::int64_t g) {
        to.step_offsets[g] = lower_bound(to.group, num_steps, static_cast<GroupId>(g));
    });

    // Trajectories, and what follows what.
    device.each(num_rows, [=] GRAPHGPO_GPU(std::int64_t place) {
        if (place >= totals.rows) {
            to.step_of_row[rows[place]] = none;
            return;
        }
        const Counts here = places[place];
        const StepId step = to.step_of_sequence[here.steps - 1];
        to.step_of_row[rows[place]] = step;
        const Counts before = place == 0 ? Counts{} : places[place - 1];
        if (before.steps == here.steps) return;  // a copy
        const TrajectoryId trajectory = here.trajectories - 1;
        to.trajectory[step] = trajectory;
        if (before.trajectories == here.trajectories) return;
        to.trajectory_offsets[trajectory] = here.steps - 1;
        to.group_of_trajectory[trajectory] = group_of_sequence[here.steps - 1];
        if (trajectory == 0) to.trajectory_offsets[totals.trajectories] = totals.steps;
    });
    device.each(num_steps, [=] GRAPHGPO_GPU(std::int64_t sequence) {
        const StepId step = to.step_of_sequence[sequence];
        StepId following = none;
        if (sequence + 1 < num_steps) {
            const StepId next = to.step_of_sequence[sequence + 1];
            if (to.trajectory[next] == to.trajectory[step]) following = next;
        }
        to.following[step] = following;
    });
    return to;
}

// Every column a step has, of two rows that should be copies.
GRAPHGPO_HD inline bool are_copies(const Columns& columns, RowId a, RowId b) {
    const auto differ = [=](const auto* column) {
        return column != nullptr && column[a] != column[b];
    };
    if (columns.next_state_keys != nullptr) {
        const bool a_known = columns.next_state_known == nullptr || columns.next_state_known[a];
        const bool b_known = columns.next_state_known == nullptr || columns.next_state_known[b];
        if (a_known != b_known || (a_known && differ(columns.next_state_keys))) return false;
    }
    return !differ(columns.state_keys) && !differ(columns.success) && !differ(columns.rewards) &&
           !differ(columns.episode_returns) && !differ(columns.edge_costs) &&
           !differ(columns.action_valid);
}

// What must hold between rows (`arrange_rollouts` of the core), and who succeeded.
inline void judge_rollouts(Device& device, const Columns& columns, const Rollouts& rollouts,
                           std::uint32_t* findings) {
    if (columns.step_ids != nullptr) {
        device.each(columns.num_rows, [=] GRAPHGPO_GPU(std::int64_t row) {
            const StepId step = rollouts.step_of_row[row];
            if (step == none || rollouts.row[step] == row) return;
            if (!are_copies(columns, rollouts.row[step], static_cast<RowId>(row))) {
                atomic_or(findings, invalid_batch);
            }
        });
    }
    device.each(rollouts.totals.trajectories, [=] GRAPHGPO_GPU(std::int64_t t) {
        const StepId last = rollouts.step_of_sequence[rollouts.trajectory_offsets[t + 1] - 1];
        rollouts.succeeded[t] =
            columns.success != nullptr && columns.success[rollouts.row[last]] != 0 ? 1 : 0;
    });
    device.each(rollouts.totals.steps, [=] GRAPHGPO_GPU(std::int64_t step) {
        const RowId row = rollouts.row[step];
        const TrajectoryId trajectory = rollouts.trajectory[step];
        const StepId following = rollouts.following[step];
        bool is_valid = true;
        if (following != none && columns.next_state_keys == nullptr &&
            columns.step_ids != nullptr) {
            // Sorted, so the next id is larger and the addition cannot overflow.
            is_valid = columns.step_ids[row] + 1 == columns.step_ids[rollouts.row[following]];
        }
        if (following != none && columns.next_state_known != nullptr) {
            is_valid = is_valid && columns.next_state_known[row] != 0;
        }
        if (columns.success != nullptr && rollouts.succeeded[trajectory] == 0) {
            is_valid = is_valid && columns.success[row] == 0;
        }
        if (columns.episode_returns != nullptr) {
            const StepId first = rollouts.step_of_sequence[rollouts.trajectory_offsets[trajectory]];
            is_valid = is_valid &&
                       columns.episode_returns[row] == columns.episode_returns[rollouts.row[first]];
        }
        if (!is_valid) atomic_or(findings, invalid_batch);
    });
}

}  // namespace graphgpo::cuda
