#include "graphgpo/metrics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>

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

void tally_edges(const TransitionGraph& graph, const Csr& peers, Tally& tally) {
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

void tally_trajectories(const Rollouts& rollouts, bool has_goal, const AdvantageColumns& steps,
                        Tally& tally) {
    for (std::size_t t = 0; t < rollouts.num_trajectories(); ++t) {
        const auto trajectory = rollouts.steps.row(id_of(t));
        std::int64_t progress = 0;
        for (const StepId step : trajectory) {
            // Without a branch: whether a step made progress is as good as random.
            const bool is_progress =
                steps.next_distances[index(step)] < steps.distances[index(step)];
            progress += is_progress ? 1 : 0;
        }
        if (rollouts.succeeded[t] != 0) {
            tally.succeeded_steps += std::ssize(trajectory);
            tally.succeeded_stalls += std::ssize(trajectory) - progress;
        } else if (has_goal) {
            tally.failed_steps += std::ssize(trajectory);
            tally.failed_progress += progress;
        }
    }
}

// In loops that the compiler makes vectors of.
void tally_steps(const Distances& distances, const AdvantageColumns& steps, Tally& tally) {
    const auto is_finite = [&](Distance distance) { return distances.is_finite(distance); };
    const auto sum_of_finite = [&](double sum, Distance distance) {
        return sum + (is_finite(distance) ? distance : 0);
    };
    tally.zero_steps = std::ranges::count(steps.step_advantages, 0);
    tally.reaching_steps = std::ranges::count_if(steps.next_distances, is_finite);
    tally.finite_sources = std::ranges::count_if(steps.distances, is_finite);
    tally.distance_sum =
        fold(std::span<const Distance>(steps.distances), 0.0, sum_of_finite, std::plus());
    tally.largest_distance = distances.largest;
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
                  const Distances& distances, const AdvantageColumns& steps) {
    Tally tally{.groups = 1,
                .groups_without_success = graph.has_goal() ? 0 : 1,
                .trajectories = std::ssize(rollouts.succeeded),
                .steps = std::ssize(rollouts.row),
                .copies = std::ssize(rollouts.copies),
                .nodes = static_cast<std::int64_t>(graph.num_nodes),
                .broken_links = graph.broken_links,
                .advantages = Moments::of(steps.advantages)};
    tally_edges(graph, peers, tally);
    tally_trajectories(rollouts, graph.has_goal(), steps, tally);
    tally_steps(distances, steps, tally);
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
