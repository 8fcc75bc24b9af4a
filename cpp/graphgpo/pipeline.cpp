#include "graphgpo/pipeline.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <variant>

#include "graphgpo/batch_facts.hpp"
#include "graphgpo/group.hpp"
#include "graphgpo/groups.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/remembered.hpp"
#include "graphgpo/term.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo {

namespace {

// --- columns of steps and rows -------------------------------------------------------------------

template <typename Columns>
void for_each_column(const Columns& columns, auto&& visit) {
    std::apply([&](const auto&... column) { (visit(column), ...); }, Columns::all(columns));
}

// Memory for the columns of some steps.
template <typename Columns>
class OwnColumns {
  public:
    explicit OwnColumns(std::size_t size) {
        const auto take = [&]<typename T>(std::span<T>& column) {
            auto memory = std::make_shared_for_overwrite<T[]>(size);
            column = {memory.get(), size};
            memory_.push_back(std::move(memory));
        };
        std::apply([&](auto&... column) { (take(column), ...); }, Columns::all(columns_));
    }
    [[nodiscard]] const Columns& columns() const noexcept { return columns_; }

  private:
    Columns columns_{};
    std::vector<std::shared_ptr<void>> memory_;
};

template <typename Columns>
void check_size(const Columns& columns, std::size_t num_rows) {
    for_each_column(columns, [&](const auto& column) {
        if (column.size() == num_rows) return;
        throw std::invalid_argument("states has " + std::to_string(num_rows) +
                                    " rows but a column for the result has " +
                                    std::to_string(column.size()));
    });
}

void write_masked(std::span<const std::uint8_t> mask, const GraphColumns& graph,
                  std::span<const PlanColumns> plans) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    for (std::size_t row = 0; row < mask.size(); ++row) {
        if (mask[row] != 0) continue;
        graph.distances[row] = nan;
        graph.next_distances[row] = nan;
        graph.state_ids[row] = none;
        graph.next_state_ids[row] = none;
        for (const auto& [plan, credit] : plans) {
            credit.advantages[row] = 0;
            credit.step_advantages[row] = 0;
            credit.episode_advantages[row] = 0;
            credit.scores[row] = nan;
            credit.num_peers[row] = 0;
        }
    }
}

// From steps to the rows that gave them, copies included.
template <typename Columns>
void write_rows(const Rollouts& rollouts, const Columns& steps, const Columns& rows) {
    const auto write = [&](const auto& from, const auto& to) {
        for (std::size_t step = 0; step < rollouts.num_steps(); ++step) {
            to[index(rollouts.row[step])] = from[step];
        }
        for (const auto& [row, step] : rollouts.copies) to[index(row)] = from[index(step)];
    };
    std::apply(
        [&](const auto&... from) {
            std::apply([&](const auto&... to) { (write(from, to), ...); }, Columns::all(rows));
        },
        Columns::all(steps));
}

// --- the batch before its groups -----------------------------------------------------------------

std::vector<const Comparison*> batch_wide_comparisons(std::span<const PlanColumns> plans) {
    std::vector<const Comparison*> found;
    for (const auto& [plan, columns] : plans) {
        for (const Term& term : plan->terms) {
            if (is_batch_wide(term)) found.push_back(&term.comparisons.front());
        }
    }
    return found;
}

bool asks_who_won(std::span<const PlanColumns> plans) {
    const auto asks = [](const Modifier& modifier) {
        const auto* nobody_won = std::get_if<NobodyWon>(&modifier);
        return (nobody_won != nullptr && nobody_won->times_share) ||
               std::holds_alternative<Live>(modifier);
    };
    return std::ranges::any_of(plans, [&](const PlanColumns& given) {
        return std::ranges::any_of(given.plan->terms, [&](const Term& term) {
            return std::ranges::any_of(term.modifiers, asks);
        });
    });
}

// Only where a plan asks for them: it takes the groups one more time.
BatchFacts facts_of(const Batch& batch, const Groups& groups, std::span<const PlanColumns> plans,
                    std::size_t num_threads) {
    BatchFacts facts;
    facts.groups = static_cast<std::int64_t>(groups.size());
    const std::vector<const Comparison*> compared = batch_wide_comparisons(plans);
    if (compared.empty() && !asks_who_won(plans)) return facts;

    struct OfGroup {
        bool somebody_won = false;
        std::vector<FoldedValues> values;
    };
    std::vector<OfGroup> found(groups.size());
    for_each_group(groups, num_threads, [&](GroupId g, std::span<const RowId> rows) {
        OfGroup& of_group = found[index(g)];
        of_group.values.resize(compared.size());
        Group group(batch, rows, facts);
        of_group.somebody_won = group.somebody_won();
        for (std::size_t c = 0; c < compared.size(); ++c) {
            add_to_batch(*compared[c], group, of_group.values[c]);
        }
    });
    for (const OfGroup& of_group : found) {
        facts.groups_nobody_won += of_group.somebody_won ? 0 : 1;
    }
    for (std::size_t c = 0; c < compared.size(); ++c) {
        FoldedValues all;
        for (OfGroup& of_group : found) {
            for (const auto& [value, count] : of_group.values[c].sorted()) all.add(value, count);
        }
        facts.standings.emplace_back(all, compared[c]->normaliser);
    }
    return facts;
}

// --- one group -----------------------------------------------------------------------------------

struct GroupTally {
    GraphTally graph;
    std::vector<CreditTally> credit;  // by plan
};

bool has_step_terms(const Plan& plan) { return !std::ranges::all_of(plan.terms, is_episodic); }

// The group's node ids are counted from `first_node` on.
void describe_steps(Group& group, std::int64_t first_node, const GraphColumns& steps) {
    const TransitionGraph& graph = group.graph();
    const Distances& distances = group.distances();
    for (std::size_t step = 0; step < group.num_steps(); ++step) {
        steps.state_ids[step] = first_node + graph.source[step];
        steps.next_state_ids[step] = first_node + graph.target[step];
        steps.distances[step] = distances[graph.source[step]];
        steps.next_distances[step] = distances[graph.target[step]];
    }
}

// Calls work(columns) with columns for the group's steps, which end in those of the rows. Where
// steps are rows without gaps, as trainers write them, these are one and the same memory.
template <typename Columns>
void with_step_columns(const Group& group, std::span<const RowId> rows, const Columns& of_rows,
                       auto&& work) {
    if (!has_gaps(rows) && group.rollouts().copies.empty()) {
        work(part_of(of_rows, index(rows.front()), rows.size()));
        return;
    }
    const OwnColumns<Columns> of_steps(group.num_steps());
    work(of_steps.columns());
    write_rows(group.rollouts(), of_steps.columns(), of_rows);
}

GroupTally credit_group(const Batch& batch, const BatchFacts& facts, std::span<const RowId> rows,
                        std::int64_t first_node, std::span<const PlanColumns> plans,
                        const GraphColumns& graph) {
    const Workspace workspace;
    Group group(batch, rows, facts);
    GroupTally tally;
    with_step_columns(group, rows, graph, [&](const GraphColumns& steps) {
        describe_steps(group, first_node, steps);
        tally.graph = tally_graph(group, steps);
    });
    std::span<const Standing> in_batch = facts.standings;
    for (const PlanColumns& asked : plans) {
        const Plan& plan = *asked.plan;
        with_step_columns(group, rows, asked.columns, [&](const CreditColumns& steps) {
            credit_steps(plan, group, in_batch, steps);
            tally.credit.push_back(tally_credit(steps, has_step_terms(plan)));
            if (const Surprisal* surprisal = surprisal_in(plan)) {
                tally.credit.back().spread = tally_spread(*surprisal, group);
            }
        });
        in_batch = in_batch.subspan(
            static_cast<std::size_t>(std::ranges::count_if(plan.terms, is_batch_wide)));
    }
    return tally;
}

// Node ids that count from 0 in every group, to ids that no two groups share.
void number_nodes_over_batch(const Groups& groups, std::span<const GroupTally> tallies,
                             const GraphColumns& columns) {
    std::int64_t first_node = 0;
    for (std::size_t g = 0; g < groups.size(); ++g) {
        const auto rows = groups.rows.row(id_of(g));
        if (has_gaps(rows)) {
            for (const RowId row : rows) {
                columns.state_ids[index(row)] += first_node;
                columns.next_state_ids[index(row)] += first_node;
            }
        } else {
            const GraphColumns part = part_of(columns, index(rows.front()), rows.size());
            for (std::int64_t& id : part.state_ids) id += first_node;
            for (std::int64_t& id : part.next_state_ids) id += first_node;
        }
        first_node += tallies[g].graph.nodes;
    }
}

std::vector<Metrics> metrics_of_plans(std::span<const GroupTally> tallies, std::size_t num_plans,
                                      std::int64_t masked_rows) {
    GraphTally graph;
    std::vector<CreditTally> credit(num_plans);
    for (const GroupTally& tally : tallies) {
        graph.append(tally.graph);
        for (std::size_t p = 0; p < num_plans; ++p) credit[p].append(tally.credit[p]);
    }
    std::vector<Metrics> metrics;
    for (const CreditTally& of_plan : credit) {
        metrics.push_back(metrics_of(graph, of_plan, masked_rows));
    }
    return metrics;
}

}  // namespace

std::vector<Metrics> compute_advantages(const Batch& batch, std::span<const PlanColumns> plans,
                                        const GraphColumns& graph, std::size_t num_threads) {
    check_batch(batch);
    const std::size_t rows = num_rows(batch.states);
    check_size(graph, rows);
    for (const auto& [plan, columns] : plans) {
        check_plan(*plan, batch);
        check_size(columns, rows);
    }
    const Groups groups = group_rows(batch);
    if (batch.mask) write_masked(*batch.mask, graph, plans);
    std::unique_lock<OwnedMutex> memory_is_ours;
    if (batch.remembering) {
        memory_is_ours = std::unique_lock(batch.remembering->memory->mutex);
        batch.remembering->memory->begin_batch(tasks_of_groups(batch, groups));
    }
    const BatchFacts facts = facts_of(batch, groups, plans, num_threads);
    std::vector<GroupTally> tallies(groups.size());
    // One thread knows how many nodes came before; of several each group counts from 0 at first.
    const bool is_in_order = threads_for(groups, num_threads) <= 1;
    std::int64_t num_nodes = 0;
    for_each_group(groups, num_threads, [&](GroupId g, std::span<const RowId> of_group) {
        GroupTally& tally = tallies[index(g)];
        tally = credit_group(batch, facts, of_group, is_in_order ? num_nodes : 0, plans, graph);
        if (is_in_order) num_nodes += tally.graph.nodes;
        if (const auto& all = batch.remembering) {
            all->memory->end_batch(all->tasks[index(of_group.front())]);
        }
    });
    if (!is_in_order) number_nodes_over_batch(groups, tallies, graph);
    const auto masked_rows = std::ssize(graph.distances) - std::ssize(groups.rows.items);
    return metrics_of_plans(tallies, plans.size(), masked_rows);
}

StepAdvantages::StepAdvantages(std::size_t rows)
    : advantages(rows),
      step_advantages(rows),
      episode_advantages(rows),
      scores(rows),
      num_peers(rows),
      distances(rows),
      next_distances(rows),
      state_ids(rows),
      next_state_ids(rows) {}

CreditColumns StepAdvantages::credit_columns() noexcept {
    return {.advantages = advantages,
            .step_advantages = step_advantages,
            .episode_advantages = episode_advantages,
            .scores = scores,
            .num_peers = num_peers};
}

GraphColumns StepAdvantages::graph_columns() noexcept {
    return {.distances = distances,
            .next_distances = next_distances,
            .state_ids = state_ids,
            .next_state_ids = next_state_ids};
}

StepAdvantages compute_advantages(const Batch& batch, const Plan& plan, std::size_t num_threads) {
    StepAdvantages result(num_rows(batch.states));
    const PlanColumns credit{.plan = &plan, .columns = result.credit_columns()};
    result.metrics =
        compute_advantages(batch, std::span(&credit, 1), result.graph_columns(), num_threads)
            .front();
    return result;
}

}  // namespace graphgpo
