// Numbers for a logger. Copies are counted once; a share of nothing is 0.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "graphgpo/advantage_columns.hpp"
#include "graphgpo/group.hpp"
#include "graphgpo/states/state_tally.hpp"

namespace graphgpo {

// Mean and spread of a sequence of values, exact to rounding however it is cut into parts.
struct Moments {
    std::int64_t count = 0;
    double mean = 0;
    double squares = 0;  // sum of squared deviations from the mean
    double smallest = 0;
    double largest = 0;

    [[nodiscard]] static Moments of(std::span<const float> values);
    // Chan, Golub and LeVeque's update of the parts' moments to those of the whole.
    void append(const Moments& other);
};

// What a group, or several, add to the metrics of its graph and outcomes, whatever the estimator.
struct GraphTally {
    std::int64_t groups = 0;
    std::int64_t groups_without_success = 0;
    std::int64_t groups_solved = 0;         // every rollout succeeded
    std::int64_t groups_mixed = 0;          // some did
    std::int64_t equal_outcome_groups = 0;  // two or more known outcomes, all equal
    std::int64_t trajectories = 0;
    std::int64_t smallest_group = 0;  // in trajectories
    std::int64_t largest_group = 0;
    std::int64_t succeeded = 0;        // trajectories
    std::int64_t without_verdict = 0;  // trajectories
    std::int64_t known_outcomes = 0;   // trajectories
    double outcome_sum = 0;
    std::int64_t starts = 0;         // distinct first states, summed over groups
    std::int64_t ends_at_start = 0;  // failed trajectories whose last next state is a start
    std::int64_t masked_inside = 0;  // masked rows between two steps of a trajectory
    std::int64_t steps = 0;
    std::int64_t copies = 0;
    std::int64_t nodes = 0;
    std::int64_t source_states = 0;
    std::int64_t edges = 0;            // distinct (source, target) pairs
    std::int64_t singleton_steps = 0;  // steps whose state has one out-edge
    std::int64_t reaching_steps = 0;   // steps whose target reaches the goal
    std::int64_t broken_links = 0;
    std::int64_t failed_steps = 0;      // of failed trajectories, in groups with a success
    std::int64_t failed_progress = 0;   // of those, steps that lower the distance
    std::int64_t succeeded_steps = 0;   // of successful trajectories
    std::int64_t succeeded_stalls = 0;  // of those, steps that do not lower the distance
    std::int64_t finite_sources = 0;    // steps whose source reaches the goal
    double distance_sum = 0;            // of those
    double largest_distance = 0;        // of those
    StateTally states = {};

    void append(const GraphTally& other);
};

[[nodiscard]] GraphTally tally_graph(Group& group, const GraphColumns& steps);

// Where the steps of groups that nobody won go, for plans that credit it.
struct SpreadTally {
    std::int64_t steps = 0;         // of such groups
    std::int64_t credited = 0;      // of those, steps whose state has targets of unequal surprisals
    std::int64_t no_ops = 0;        // of those, steps that lead back to where they start
    double surprisal = 0;           // summed
    double surprisal_of_noise = 0;  // what is left of it where actions are known; else 0

    void append(const SpreadTally& other);
};

[[nodiscard]] SpreadTally tally_spread(const Surprisal& block, Group& group);

// The same of what one estimator says.
struct CreditTally {
    std::int64_t zero_steps = 0;  // steps whose credit is exactly 0
    double largest_credit = 0;    // without its sign
    Moments advantages;
    std::optional<SpreadTally> spread = {};  // of a plan that credits surprisal

    void append(const CreditTally& other);
};

// A step's credit is its step advantage; of an estimator that has none, its episode advantage.
[[nodiscard]] CreditTally tally_credit(const CreditColumns& steps, bool has_step_terms);

// The first `num_common` are every plan's; those that follow are of plans that credit surprisal.
class Metrics {
  public:
    using Entry = std::pair<std::string_view, double>;
    static constexpr std::size_t num_common = 38;
    static constexpr std::size_t num_of_spread = 4;

    Metrics() = default;
    explicit Metrics(const std::array<Entry, num_common>& common) {
        std::ranges::copy(common, entries_.begin());
    }
    void add(const Entry& entry) { entries_[size_++] = entry; }

    [[nodiscard]] auto begin() const noexcept { return entries_.begin(); }
    [[nodiscard]] auto end() const noexcept {
        return entries_.begin() + static_cast<std::ptrdiff_t>(size_);
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] const Entry& operator[](std::size_t i) const noexcept { return entries_[i]; }
    [[nodiscard]] friend bool operator==(const Metrics&, const Metrics&) = default;

  private:
    std::array<Entry, num_common + num_of_spread> entries_;
    std::size_t size_ = num_common;
};

void add_spread(const SpreadTally& tally, std::int64_t all_steps, Metrics& metrics);

[[nodiscard]] Metrics metrics_of(const GraphTally& graph, const CreditTally& credit,
                                 std::int64_t masked_rows);

}  // namespace graphgpo
