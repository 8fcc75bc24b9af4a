// What an invalid action costs its step (an option of the official recipe; the paper has none).
#pragma once

#include "graphgpo/columns.hpp"
#include "graphgpo/options.hpp"
#include "graphgpo/rollouts.hpp"

namespace graphgpo {

class InvalidActionPenalty {
  public:
    // Views its arguments.
    InvalidActionPenalty(const Batch& batch, const Rollouts& rollouts, const Options& options)
        : batch_(&batch), rollouts_(&rollouts), amount_(options.invalid_action_penalty) {}

    // Without `action_valid` no action is known to be invalid.
    [[nodiscard]] bool is_in_force() const noexcept { return batch_->action_valid && amount_ > 0; }

    [[nodiscard]] double amount() const noexcept { return amount_; }

    [[nodiscard]] double operator[](std::size_t step) const noexcept {
        if (!is_in_force()) return 0;
        return (*batch_->action_valid)[index(rollouts_->row[step])] != 0 ? 0 : amount_;
    }

  private:
    const Batch* batch_;
    const Rollouts* rollouts_;
    double amount_;
};

}  // namespace graphgpo
