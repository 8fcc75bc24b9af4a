#include "graphgpo/metrics.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace graphgpo {

namespace {

double share(double part, std::int64_t whole) {
    return whole == 0 ? 0 : part / static_cast<double>(whole);
}

double share(std::int64_t part, std::int64_t whole) {
    return share(static_cast<double>(part), whole);
}

// Repeated transitions are neighbours in neither list, so each source marks the targets it has
// seen.
std::int64_t count_distinct_edges(const TransitionGraph& graph, const Csr& peers) {
    std::vector<StateId> last_source(graph.num_nodes, none);
    std::int64_t edges = 0;
    for (std::size_t node = 0; node < peers.num_rows(); ++node) {
        for (const StepId step : peers.row(id_of(node))) {
            StateId& last = last_source[index(graph.target[index(step)])];
            if (last != id_of(node)) ++edges;
            last = id_of(node);
        }
    }
    return edges;
}

}  // namespace

Moments Moments::of(std::span<const float> values) {
    Moments moments;
    if (values.empty()) return moments;
    moments.count = std::ssize(values);
    const auto [smallest, largest] = std::ranges::minmax(values);
    moments.smallest = smallest;
    moments.largest = largest;
    double sum = 0;
    for (const float value : values) sum += value;
    moments.mean = sum / static_cast<double>(moments.count);
    for (const float value : values) {
        const double deviation = value - moments.mean;
        moments.squares += deviation * deviation;
    }
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

void Tally::append(const Tally& other) {
    groups += other.groups;
    groups_without_success += other.groups_without_success;
    trajectories += other.trajectories;
    steps += other.steps;
    copies += other.copies;
    nodes += other.nodes;
    source_states += other.source_states;
    edges += other.edges;
    singleton_steps += other.singleton_steps;
    reaching_steps += other.reaching_steps;
    zero_steps += other.zero_steps;
    broken_links += other.broken_links;
    failed_steps += other.failed_steps;
    failed_progress += other.failed_progress;
    succeeded_steps += other.succeeded_steps;
    succeeded_stalls += other.succeeded_stalls;
    finite_sources += other.finite_sources;
    distance_sum += other.distance_sum;
    largest_distance = std::max(largest_distance, other.largest_distance);
    advantages.append(other.advantages);
}

Tally tally_group(const Rollouts& rollouts, const TransitionGraph& graph, const Csr& peers,
                  const Distances& distances, const StepCredit& credit) {
    Tally tally{.groups = 1,
                .groups_without_success = graph.has_goal() ? 0 : 1,
                .trajectories = std::ssize(rollouts.succeeded),
                .steps = std::ssize(rollouts.row),
                .copies = std::ssize(rollouts.copies),
                .nodes = static_cast<std::int64_t>(graph.num_nodes),
                .edges = count_distinct_edges(graph, peers),
                .broken_links = graph.broken_links,
                .advantages = Moments::of(credit.joint)};

    for (std::size_t node = 0; node < peers.num_rows(); ++node) {
        const std::size_t out_edges = peers.row(id_of(node)).size();
        if (out_edges > 0) ++tally.source_states;
        if (out_edges == 1) ++tally.singleton_steps;
    }
    for (std::size_t step = 0; step < rollouts.num_steps(); ++step) {
        const StateId source = graph.source[step];
        const StateId target = graph.target[step];
        const bool is_progress = distances[target] < distances[source];
        if (distances.reached[index(target)] != 0) ++tally.reaching_steps;
        if (credit.step[step] == 0) ++tally.zero_steps;
        if (distances.reached[index(source)] != 0) {
            ++tally.finite_sources;
            tally.distance_sum += distances[source];
            tally.largest_distance = std::max(tally.largest_distance, distances[source]);
        }
        if (rollouts.succeeded[index(rollouts.trajectory[step])] != 0) {
            ++tally.succeeded_steps;
            if (!is_progress) ++tally.succeeded_stalls;
        } else if (graph.has_goal()) {
            ++tally.failed_steps;
            if (is_progress) ++tally.failed_progress;
        }
    }
    return tally;
}

Metrics metrics_of(const Tally& batch, std::int64_t masked_rows) {
    const auto number = [](std::int64_t count) { return static_cast<double>(count); };
    const Moments& advantages = batch.advantages;
    return {{
        {"graphgpo/num_groups", number(batch.groups)},
        {"graphgpo/num_trajectories", number(batch.trajectories)},
        {"graphgpo/num_steps", number(batch.steps)},
        {"graphgpo/num_states", number(batch.nodes)},
        {"graphgpo/num_edges", number(batch.edges)},
        {"graphgpo/groups_without_success", number(batch.groups_without_success)},
        {"graphgpo/merge_ratio", share(batch.steps - batch.source_states, batch.steps)},
        {"graphgpo/singleton_share", share(batch.singleton_steps, batch.steps)},
        {"graphgpo/reachable_share", share(batch.reaching_steps, batch.steps)},
        {"graphgpo/zero_advantage_share", share(batch.zero_steps, batch.steps)},
        {"graphgpo/max_distance", batch.largest_distance},
        {"graphgpo/mean_distance", share(batch.distance_sum, batch.finite_sources)},
        {"graphgpo/adv_mean", advantages.mean},
        {"graphgpo/adv_std", std::sqrt(share(advantages.squares, advantages.count))},
        {"graphgpo/adv_min", advantages.smallest},
        {"graphgpo/adv_max", advantages.largest},
        {"graphgpo/progress_in_failed", share(batch.failed_progress, batch.failed_steps)},
        {"graphgpo/no_progress_in_succeeded", share(batch.succeeded_stalls, batch.succeeded_steps)},
        {"graphgpo/masked_rows", number(masked_rows)},
        {"graphgpo/duplicate_rows", number(batch.copies)},
        {"graphgpo/broken_links", number(batch.broken_links)},
        {"graphgpo/inert", batch.steps > 0 && batch.zero_steps == batch.steps ? 1.0 : 0.0},
    }};
}

}  // namespace graphgpo
