// What must hold for every row on its own, checked before any work. What must hold between rows is
// checked where they meet: `arrange_rollouts`.
#pragma once

#include <string>
#include <string_view>

#include "graphgpo/columns.hpp"
#include "graphgpo/options.hpp"

namespace graphgpo {

// Throws `std::invalid_argument`, or `RowError` where a row is to blame, naming column and value:
// columns of one length, at most `max_rows`; group and trajectory ids present; states present;
// rewards and episode returns finite; edge costs finite and > 0. Masked rows are not looked at.
void check_batch(const Batch& batch);

// Throws `std::invalid_argument` for an option out of range, and for options that need a column the
// batch does not have.
void check_options(const Options& options, const Batch& batch);

// How values appear in messages: the shortest text that reads back as the same number; a key as it
// would be written in Python, shortened.
[[nodiscard]] std::string describe(double value);
[[nodiscard]] std::string describe(const Key& key);

// "rewards[3]"
[[nodiscard]] std::string cell(std::string_view column, RowId row);

}  // namespace graphgpo
