#include "graphgpo/metrics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "graphgpo/stop.hpp"

namespace graphgpo {

namespace {

double share(double part, std::int64_t whole) {
    return whole == 0 ? 0 : part / static_cast<double>(whole);
}

double share(std::int64_t part, std::int64_t whole) {
    return share(static_cast<double>(part), whole);
}

// In eight chains, merged at the end: in one, each step would have to wait for the one before it.
template <typename T, typename Value>
T fold(std::span<const Value> values, T start, auto&& step, auto&& merge) {
    std::array<T, 8> chains;
    chains.fill(start);
    std::size_t i = 0;
    for (; i + chains.size() <= values.size(); i += chains.size()) {
        for (std::size_t j = 0; j < chains.size(); ++j) chains[j] = step(chains[j], values[i + j]);
    }
    for (; i < values.size(); ++i) chains[0] = step(chains[0], values[i]);
    return std::accumulate(chains.begin() + 1, chains.end(), chains[0], merge);
}

void tally_edges(const TransitionGraph& graph, const Csr& peers, GraphTally& tally) {
    // Repeated transitions are neighbours in neither list, so each source marks the targets it has
    // seen. Source by source, but without a loop for each, whose end would be a surprise.
    Array<StateId> last_source(graph.num_nodes, none);
    for (const StepId step : peers.items) {
        StateId& last = last_source[index(graph.target[index(step)])];
        const StateId source = graph.source[index(step)];
        tally.edges += last != source ? 1 : 0;
        last = source;
    }
    std::int32_t sources = 0;
    std::int32_t singletons = 0;
    for (std::size_t node = 0; node < graph.num_nodes; ++node) {
        const std::int32_t steps = peers.offsets[node + 1] - peers.offsets[node];
        sources += steps > 0 ? 1 : 0;
        singletons += steps == 1 ? 1 : 0;
    }
    tally.source_states = sources;
    tally.singleton_steps = singletons;
}

void tally_progress(const Rollouts& rollouts, bool has_goal, const GraphColumns& steps,
                    GraphTally& tally) {
    for (std::size_t t = 0; t < rollouts.num_trajectories(); ++t) {
        const auto trajectory = rollouts.steps.row(id_of(t));
        std::int64_t progress = 0;
        // Without a branch: whether a step made progress is as good as random.
        const auto see = [&](std::size_t step) {
            progress += steps.next_distances[step] < steps.distances[step] ? 1 : 0;
        };
        if (rollouts.are_runs) {  // a loop that the compiler makes vectors of
            const std::size_t first = index(trajectory.front());
            for (std::size_t i = 0; i < trajectory.size(); ++i) see(first + i);
        } else {
            for (const StepId step : trajectory) see(index(step));
        }
        if (rollouts.succeeded[t] == 1) {
            tally.succeeded_steps += std::ssize(trajectory);
            tally.succeeded_stalls += std::ssize(trajectory) - progress;
        } else if (has_goal) {
            tally.failed_steps += std::ssize(trajectory);
            tally.failed_progress += progress;
        }
    }
}

// In loops that the compiler makes vectors of.
void tally_distances(const Distances& distances, const GraphColumns& steps, GraphTally& tally) {
    const auto is_finite = [&](Distance distance) { return distances.is_finite(distance); };
    const auto sum_of_finite = [&](double sum, Distance distance) {
        return sum + (is_finite(distance) ? distance : 0);
    };
    tally.reaching_steps = std::ranges::count_if(steps.next_distances, is_finite);
    tally.finite_sources = std::ranges::count_if(steps.distances, is_finite);
    tally.distance_sum =
        fold(std::span<const Distance>(steps.distances), 0.0, sum_of_finite, std::plus());
    tally.largest_distance = distances.largest;
}

void tally_outcomes(Group& group, GraphTally& tally) {
    const Rollouts& rollouts = group.rollouts();
    const std::span<const double> outcomes = group.outcomes();
    double smallest = std::numeric_limits<double>::infinity();
    double largest = -smallest;
    for (std::size_t t = 0; t < outcomes.size(); ++t) {
        tally.succeeded += rollouts.succeeded[t] == 1 ? 1 : 0;
        tally.without_verdict += rollouts.has_verdict(id_of(t)) ? 0 : 1;
        if (std::isnan(outcomes[t])) continue;
        ++tally.known_outcomes;
        tally.outcome_sum += outcomes[t];
        smallest = std::min(smallest, outcomes[t]);
        largest = std::max(largest, outcomes[t]);
    }
    const bool is_solved = tally.succeeded == tally.trajectories;
    tally.groups_solved = is_solved ? 1 : 0;
    tally.groups_mixed = !is_solved && tally.succeeded > 0 ? 1 : 0;
    tally.equal_outcome_groups = tally.known_outcomes > 1 && smallest == largest ? 1 : 0;
}

// Where trajectories start, and whether failed ones end where some start: an environment that
// resets itself shows the next episode's first state.
void tally_ends(Group& group, GraphTally& tally) {
    const Rollouts& rollouts = group.rollouts();
    const TransitionGraph& graph = group.graph();
    Array<std::uint8_t> is_start(graph.num_nodes, 0);
    for (std::size_t t = 0; t < rollouts.num_trajectories(); ++t) {
        const StepId first = rollouts.steps.row(id_of(t)).front();
        std::uint8_t& flag = is_start[index(graph.source[index(first)])];
        tally.starts += flag == 0 ? 1 : 0;
        flag = 1;
    }
    for (std::size_t t = 0; t < rollouts.num_trajectories(); ++t) {
        if (rollouts.succeeded[t] != 0) continue;
        const StepId last = rollouts.steps.row(id_of(t)).back();
        tally.ends_at_start += is_start[index(graph.target[index(last)])];
    }
}

// Masked rows between two steps of a trajectory, if there is nothing else between them: without
// step ids and next states an edge over them is taken that nobody took.
void tally_masked_inside(Group& group, GraphTally& tally) {
    const Batch& batch = group.batch();
    if (!batch.mask || batch.step_ids || batch.next_states) return;
    const Rollouts& rollouts = group.rollouts();
    for (std::size_t step = 0; step < rollouts.num_steps(); ++step) {
        const StepId following = rollouts.following[step];
        if (following == none) continue;
        const std::size_t begin = index(rollouts.row[step]) + 1;
        const std::size_t end = index(rollouts.row[index(following)]);
        const auto between = batch.mask->subspan(begin, end - begin);
        const bool are_masked =
            std::ranges::none_of(between, [](auto is_row) { return is_row != 0; });
        if (are_masked) tally.masked_inside += std::ssize(between);
    }
}

}  // namespace

Moments Moments::of(std::span<const float> values) {
    Moments moments;
    if (values.empty()) return moments;
    moments.count = std::ssize(values);
    const auto smaller = [](float a, float b) { return b < a ? b : a; };
    const auto larger = [](float a, float b) { return a < b ? b : a; };
    const auto square = [&](double sum, double value) {
        return sum + (value - moments.mean) * (value - moments.mean);
    };
    moments.smallest = fold(values, values[0], smaller, smaller);
    moments.largest = fold(values, values[0], larger, larger);
    moments.mean = fold(values, 0.0, std::plus(), std::plus()) / static_cast<double>(moments.count);
    moments.squares = fold(values, 0.0, square, std::plus());
    return moments;
}

void Moments::append(const Moments& other) {
    if (other.count == 0) return;
    if (count == 0) {
        *this = other;
        return;
    }
    const auto before = static_cast<double>(count);
    const auto added = static_cast<double>(other.count);
    const double shift = other.mean - mean;
    count += other.count;
    mean += shift * added / (before + added);
    squares += other.squares + shift * shift * before * added / (before + added);
    smallest = std::min(smallest, other.smallest);
    largest = std::max(largest, other.largest);
}

void GraphTally::append(const GraphTally& other) {
    const bool is_first = groups == 0;
    smallest_group =
        is_first ? other.smallest_group : std::min(smallest_group, other.smallest_group);
    largest_group = std::max(largest_group, other.largest_group);
    groups += other.groups;
    groups_without_success += other.groups_without_success;
    groups_solved += other.groups_solved;
    groups_mixed += other.groups_mixed;
    equal_outcome_groups += other.equal_outcome_groups;
    trajectories += other.trajectories;
    succeeded += other.succeeded;
    without_verdict += other.without_verdict;
    known_outcomes += other.known_outcomes;
    outcome_sum += other.outcome_sum;
    starts += other.starts;
    ends_at_start += other.ends_at_start;
    masked_inside += other.masked_inside;
    steps += other.steps;
    copies += other.copies;
    nodes += other.nodes;
    source_states += other.source_states;
    edges += other.edges;
    singleton_steps += other.singleton_steps;
    reaching_steps += other.reaching_steps;
    broken_links += other.broken_links;
    failed_steps += other.failed_steps;
    failed_progress += other.failed_progress;
    succeeded_steps += other.succeeded_steps;
    succeeded_stalls += other.succeeded_stalls;
    finite_sources += other.finite_sources;
    distance_sum += other.distance_sum;
    largest_distance = std::max(largest_distance, other.largest_distance);
    states.append(other.states);
}

void CreditTally::append(const CreditTally& other) {
    zero_steps += other.zero_steps;
    largest_credit = std::max(largest_credit, other.largest_credit);
    advantages.append(other.advantages);
    if (!other.spread) return;
    if (!spread) spread.emplace();
    spread->append(*other.spread);
}

GraphTally tally_graph(Group& group, const GraphColumns& steps) {
    const Rollouts& rollouts = group.rollouts();
    const TransitionGraph& graph = group.graph();
    const std::int64_t trajectories = std::ssize(rollouts.succeeded);
    GraphTally tally{.groups = 1,
                     .groups_without_success = graph.has_goal() ? 0 : 1,
                     .trajectories = trajectories,
                     .smallest_group = trajectories,
                     .largest_group = trajectories,
                     .steps = std::ssize(rollouts.row),
                     .copies = std::ssize(rollouts.copies),
                     .nodes = static_cast<std::int64_t>(graph.num_nodes),
                     .broken_links = graph.broken_links};
    tally_outcomes(group, tally);
    tally_ends(group, tally);
    stop_if_asked_after(rollouts.num_steps());
    tally_masked_inside(group, tally);
    tally_edges(graph, group.steps_by_source(), tally);
    stop_if_asked_after(rollouts.num_steps());
    tally_progress(rollouts, graph.has_goal(), steps, tally);
    tally_distances(group.distances(), steps, tally);
    tally.states = tally_states(group);
    return tally;
}

CreditTally tally_credit(const CreditColumns& steps, bool has_step_terms) {
    const std::span<const float> credit =
        has_step_terms ? steps.step_advantages : steps.episode_advantages;
    const auto larger = [](float a, float b) { return a < b ? b : a; };
    const auto size = [&](float largest, float value) { return larger(largest, std::abs(value)); };
    return {.zero_steps = std::ranges::count(credit, 0),
            .largest_credit = fold(credit, 0.0F, size, larger),
            .advantages = Moments::of(steps.advantages)};
}

Metrics metrics_of(const GraphTally& graph, const CreditTally& credit, std::int64_t masked_rows) {
    const auto number = [](std::int64_t count) { return static_cast<double>(count); };
    const Moments& advantages = credit.advantages;
    constexpr double rounding = 1e-6;  // a credit no larger is none
    Metrics metrics({{
        {"graphgpo/num_groups", number(graph.groups)},
        {"graphgpo/num_trajectories", number(graph.trajectories)},
        {"graphgpo/num_steps", number(graph.steps)},
        {"graphgpo/num_states", number(graph.nodes)},
        {"graphgpo/num_edges", number(graph.edges)},
        {"graphgpo/success_rate",
         share(graph.succeeded, graph.trajectories - graph.without_verdict)},
        {"graphgpo/mean_return", share(graph.outcome_sum, graph.known_outcomes)},
        {"graphgpo/groups_solved", number(graph.groups_solved)},
        {"graphgpo/groups_mixed", number(graph.groups_mixed)},
        {"graphgpo/groups_without_success", number(graph.groups_without_success)},
        {"graphgpo/equal_outcome_groups", number(graph.equal_outcome_groups)},
        {"graphgpo/rollouts_without_verdict", number(graph.without_verdict)},
        {"graphgpo/group_size_min", number(graph.smallest_group)},
        {"graphgpo/group_size_mean", share(graph.trajectories, graph.groups)},
        {"graphgpo/group_size_max", number(graph.largest_group)},
        {"graphgpo/distinct_starts", share(graph.starts, graph.groups)},
        {"graphgpo/ends_at_a_start", number(graph.ends_at_start)},
        {"graphgpo/merge_ratio", share(graph.steps - graph.source_states, graph.steps)},
        {"graphgpo/singleton_share", share(graph.singleton_steps, graph.steps)},
        {"graphgpo/reachable_share", share(graph.reaching_steps, graph.steps)},
        {"graphgpo/zero_advantage_share", share(credit.zero_steps, graph.steps)},
        {"graphgpo/max_distance", graph.largest_distance},
        {"graphgpo/mean_distance", share(graph.distance_sum, graph.finite_sources)},
        {"graphgpo/adv_mean", advantages.mean},
        {"graphgpo/adv_std", std::sqrt(share(advantages.squares, advantages.count))},
        {"graphgpo/adv_min", advantages.smallest},
        {"graphgpo/adv_max", advantages.largest},
        {"graphgpo/progress_in_failed", share(graph.failed_progress, graph.failed_steps)},
        {"graphgpo/no_progress_in_succeeded", share(graph.succeeded_stalls, graph.succeeded_steps)},
        {"graphgpo/masked_rows", number(masked_rows)},
        {"graphgpo/masked_inside", number(graph.masked_inside)},
        {"graphgpo/duplicate_rows", number(graph.copies)},
        {"graphgpo/broken_links", number(graph.broken_links)},
        {"graphgpo/inert", graph.steps > 0 && credit.largest_credit <= rounding ? 1.0 : 0.0},
        {"graphgpo/revisited_positions",
         share(graph.states.revisited, graph.source_states - graph.singleton_steps)},
        {"graphgpo/lone_state_share", share(graph.singleton_steps, graph.source_states)},
        {"graphgpo/ambiguous_actions",
         share(graph.states.ambiguous_pairs, graph.states.recurring_pairs)},
        {"graphgpo/merge_conflicts", number(graph.states.merge_conflicts)},
    }});
    if (credit.spread) add_spread(*credit.spread, graph.steps, metrics);
    return metrics;
}

}  // namespace graphgpo
