// A caller's mistake in one row of the batch.
#pragma once

#include <concepts>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>

#include "graphgpo/types.hpp"

namespace graphgpo {

class RowError : public std::invalid_argument {
  public:
    RowError(RowId row, const std::string& message) : std::invalid_argument(message), row_(row) {}
    [[nodiscard]] RowId row() const noexcept { return row_; }

  private:
    RowId row_;
};

// Keeps the error of the earliest row, whatever order (and thread) they are found in. Of two errors
// in one row the one added first stays.
class FirstError {
  public:
    // `message` is only written out for an error that is kept.
    void add(RowId row, std::invocable auto&& message) {
        const std::lock_guard lock(mutex_);
        if (!first_ || row < first_->row()) first_.emplace(row, message());
    }
    void add(const RowError& error) {
        add(error.row(), [&] { return std::string(error.what()); });
    }
    void throw_if_any() const {
        if (first_) throw *first_;
    }

  private:
    std::mutex mutex_;
    std::optional<RowError> first_;
};

}  // namespace graphgpo
