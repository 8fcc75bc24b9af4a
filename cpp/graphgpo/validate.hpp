// What must hold for every row on its own, checked before any work. What must hold between rows is
// checked where they meet: `arrange_rollouts`.
#pragma once

#include <string>
#include <string_view>

#include "graphgpo/columns.hpp"

namespace graphgpo {

// Throws `std::invalid_argument`, or `RowError` where a row is to blame, naming column and value:
// columns of one length, at most `max_rows`; group and trajectory ids present; states present;
// rewards and episode returns finite (of a rollout without a verdict an episode return may be NaN);
// Masked rows are not looked at. Edge costs are checked where they are copied (`step_costs`).
void check_batch(const Batch& batch);

// Throws `std::invalid_argument` for an option out of range, saying what was expected.
void require(bool is_valid, std::string_view option, double value, std::string_view expected);

// Throws `RowError` for a cost that is not finite and > 0.
void check_cost(RowId row, double cost);

// How values appear in messages: the shortest text that reads back as the same number; a key as it
// would be written in Python, shortened.
[[nodiscard]] std::string describe(double value);
[[nodiscard]] std::string describe(const Key& key);

// "rewards[3]"
[[nodiscard]] std::string cell(std::string_view column, RowId row);

}  // namespace graphgpo
