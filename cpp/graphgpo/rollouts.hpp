// Rows in any order to groups, trajectories and steps in their order, without copies.
#pragma once

#include <cstdint>
#include <iterator>
#include <span>

#include "graphgpo/columns.hpp"
#include "graphgpo/csr.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

// The groups of a batch, numbered by their first unmasked row.
struct Groups {
    Csr rows;  // the unmasked rows of every group, ascending

    [[nodiscard]] std::size_t size() const noexcept { return rows.num_rows(); }
    [[nodiscard]] std::size_t num_rows() const noexcept { return rows.items.size(); }
};

// One hash per run of equal group ids; O(rows) time and space.
[[nodiscard]] Groups group_rows(const Batch& batch);

// The rollouts of one group. A step is a row without its copies: rows with the same trajectory and
// step id are one step, given several times.
struct Rollouts {
    struct Copy {
        RowId row;
        StepId step;
    };

    Array<RowId> row;                // by step: the first row that gives it; ascending
    Array<TrajectoryId> trajectory;  // by step
    Array<StepId> following;         // by step: the next one of its trajectory; `none`: last
    Csr steps;                       // of every trajectory, in their order
    bool are_runs = false;           // whether those are 0, 1, 2, ..., trajectory after trajectory
    Array<std::uint8_t> succeeded;   // by trajectory: 0, 1 or `no_verdict`
    Array<Copy> copies;

    [[nodiscard]] std::size_t num_steps() const noexcept { return row.size(); }
    [[nodiscard]] std::size_t num_trajectories() const noexcept { return succeeded.size(); }
    [[nodiscard]] bool is_last(StepId step) const noexcept {
        return following[index(step)] == none;
    }
    // Whether the steps of a trajectory are rows without others between them.
    [[nodiscard]] bool are_runs_of_rows() const noexcept {
        return are_runs && index(row.back()) - index(row.front()) + 1 == row.size();
    }
    // The step after which the environment declared success.
    [[nodiscard]] bool is_winning(StepId step) const noexcept {
        return is_last(step) && succeeded[index(trajectory[index(step)])] == 1;
    }
    // Whether anybody knows how it ended. Without a column of successes all have a verdict.
    [[nodiscard]] bool has_verdict(TrajectoryId t) const noexcept {
        return succeeded[index(t)] != no_verdict;
    }
};

// `rows` are the unmasked rows of one group, ascending. Without step ids row order is the order of
// steps and there are no copies.
//
// Throws `RowError` for the earliest row with: copies that disagree in a column; a gap in step ids
// when next states must be derived from the following step; a null next state before the last step;
// a success flag in the middle of a trajectory whose last step has none; a success that is null on
// some rows of a trajectory only; an episode return that varies within a trajectory.
//
// O(rows) when step ids ascend within every trajectory, as trainers write them; else O(rows log
// rows).
[[nodiscard]] Rollouts arrange_rollouts(const Batch& batch, std::span<const RowId> rows);

}  // namespace graphgpo
