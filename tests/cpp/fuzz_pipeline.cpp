// libFuzzer: any bytes as a batch. It is refused, or credited with finite numbers for every row.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "fuzz_source.hpp"
#include "graphgpo/graph_export.hpp"
#include "graphgpo/pipeline.hpp"
#include "plans.hpp"

using namespace graphgpo;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Source source(data, size);
    const std::uint8_t choice = source.byte();
    const PlanOptions options{.omega = choice % 5 == 4 ? source.number() : 0.1 + 0.2 * (choice % 5),
                              .exponent = static_cast<Exponent>(source.byte() % 3),
                              .divides = source.byte() % 2 == 0,
                              .scale = static_cast<Scale>(source.byte() % 2),
                              .step_weight = source.number(),
                              .episode_unit = static_cast<Unit>(source.byte() % 2),
                              .penalty = 0.1 * (source.byte() % 2)};
    constexpr Plan (*plans[])(const PlanOptions&) = {graphgpo_plan, gigpo_plan, grpo_plan,
                                                     hgpo_plan, graft_plan};
    const Plan plan = plans[source.byte() % 5](options);
    const FuzzBatch given(source);

    try {
        const StepAdvantages credit = compute_advantages(given.batch, plan, 1);
        require_that(credit.advantages.size() == given.states.size(), "a row was lost");
        for (std::size_t row = 0; row < given.states.size(); ++row) {
            const bool exists = given.has_row(row);
            require_that(std::isfinite(credit.advantages[row]), "an advantage is not finite");
            require_that(std::isfinite(credit.distances[row]) == exists,
                         "a distance is not finite");
            require_that((credit.state_ids[row] >= 0) == exists, "a row has no state");
            require_that(!exists || !given.batch.edge_costs ||
                             credit.distances[row] <= given.costs[row] + credit.next_distances[row],
                         "an edge saves more than its cost");
        }
        if (given.batch.success) {
            const BatchGraph graph = build_graph(given.batch, 1);
            for (const std::int64_t target : graph.edge_target) {
                require_that(static_cast<std::size_t>(target) < graph.node_kind.size(),
                             "a lost node");
            }
        }
    } catch (const std::invalid_argument& error) {
        require_that(error.what()[0] != '\0', "an error without a message");
    }
    return 0;
}
