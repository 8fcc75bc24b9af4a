// The method from end to end: a batch of rollouts in, credit for every step out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "graphgpo/advantage_columns.hpp"
#include "graphgpo/columns.hpp"
#include "graphgpo/metrics.hpp"
#include "graphgpo/plan.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

// One plan and where its credit goes.
struct PlanColumns {
    const Plan* plan;
    CreditColumns columns;
};

// Credits the steps of a batch by every plan, from one merge. Returns the metrics of each.
//
// Throws `std::invalid_argument` (`RowError` where a row is to blame) for a batch or a plan the
// method is not defined for; the columns then hold anything. Groups are worked on apart, on up to
// `num_threads` threads; the result has the same bits for any number. O(rows) expected with unit
// costs and step ids in order, for plans without a Bellman mean.
[[nodiscard]] std::vector<Metrics> compute_advantages(const Batch& batch,
                                                      std::span<const PlanColumns> plans,
                                                      const GraphColumns& graph,
                                                      std::size_t num_threads);

// The same of one plan, in memory of its own.
struct StepAdvantages {
    std::vector<float> advantages;
    std::vector<float> step_advantages;
    std::vector<float> episode_advantages;
    std::vector<double> scores;
    std::vector<std::int32_t> num_peers;
    std::vector<Distance> distances;
    std::vector<Distance> next_distances;
    std::vector<std::int64_t> state_ids;
    std::vector<std::int64_t> next_state_ids;
    Metrics metrics{};

    StepAdvantages() = default;
    explicit StepAdvantages(std::size_t rows);

    // Views: they live as long as this does.
    [[nodiscard]] CreditColumns credit_columns() noexcept;
    [[nodiscard]] GraphColumns graph_columns() noexcept;
};

[[nodiscard]] StepAdvantages compute_advantages(const Batch& batch, const Plan& plan,
                                                std::size_t num_threads);

}  // namespace graphgpo
