#include "graphgpo/term.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "graphgpo/comparison.hpp"
#include "graphgpo/stop.hpp"

namespace graphgpo {

namespace {

// What a term is worth: one of both is empty.
struct TermValues {
    Array<double> by_step;
    Array<double> by_trajectory;
};

// The weighted mean of the comparisons that say something about a step.
Array<double> weighted_mean(const Term& term, Group& group, const ScoreReport& report) {
    Array<double> sums(group.num_steps(), 0);
    Array<double> weights(group.num_steps(), 0);
    ScoreReport of_first = report;
    for (const Comparison& comparison : term.comparisons) {
        stop_if_asked();
        const Array<double> standings =
            standings_of(comparison, group, unknown_score, nullptr, of_first);
        of_first = {};
        for (std::size_t step = 0; step < sums.size(); ++step) {
            if (std::isnan(standings[step])) continue;
            sums[step] += comparison.weight * standings[step];
            weights[step] += comparison.weight;
        }
    }
    for (std::size_t step = 0; step < sums.size(); ++step) {
        sums[step] = weights[step] == 0 ? 0 : sums[step] / weights[step];
    }
    return sums;
}

// Every value replaced by the mean of those with its key.
void average_among(const Csr& equals, std::span<double> values) {
    FoldedValues folded;
    StopMeter meter;
    for (std::size_t row = 0; row < equals.num_rows(); ++row) {
        const auto steps = equals.row(id_of(row));
        meter(steps.size());
        if (steps.size() < 2) continue;
        folded.clear();
        for (const StepId step : steps) folded.add(values[index(step)]);
        if (folded.sorted().size() == 1) continue;  // their mean is their value
        double sum = 0;
        for (const auto& [value, count] : folded.sorted()) {
            sum += static_cast<double>(count) * value;
        }
        for (const StepId step : steps) {
            values[index(step)] = sum / static_cast<double>(steps.size());
        }
    }
}

Array<double> by_step(const Array<double>& by_trajectory, const Rollouts& rollouts) {
    Array<double> values;
    values.reserve(rollouts.num_steps());
    for (const TrajectoryId t : rollouts.trajectory) values.push_back(by_trajectory[index(t)]);
    return values;
}

TermValues evaluate(const Term& term, Group& group, const Standing* in_batch,
                    const ScoreReport& report) {
    const bool is_plain = term.modifiers.empty() && !term.average;
    const Comparison& first = term.comparisons.front();
    TermValues values;
    if (term.comparisons.size() > 1) {
        values.by_step = weighted_mean(term, group, report);
    } else if (is_of_trajectories(first, group)) {
        values.by_trajectory = standings_of_trajectories(first, group, report);
        if (!is_plain) {
            values.by_step = by_step(values.by_trajectory, group.rollouts());
            values.by_trajectory.clear();
        }
    } else {
        values.by_step = standings_of(first, group, 0, in_batch, report);
    }
    if (term.average) average_among(group.peers(*term.average), values.by_step);
    for (const Modifier& modifier : term.modifiers) modify(modifier, group, values.by_step);
    if (term.weight != 1) {
        for (double& value : values.by_step) value *= term.weight;
        for (double& value : values.by_trajectory) value *= term.weight;
    }
    return values;
}

// A sum of terms, block by block: of all steps at once, it would be 8 bytes more for each.
class Sum {
  public:
    static constexpr std::size_t block_size = 1024;

    explicit Sum(const Rollouts& rollouts) : trajectory_(rollouts.trajectory) {}

    void add(TermValues&& values) { terms_.push_back(std::move(values)); }

    // Of `size` steps, at most `block_size`, from step `first` on. Valid until it is asked again.
    [[nodiscard]] std::span<const double> block(std::size_t first, std::size_t size) {
        const auto sums = std::span(memory_).first(size);
        if (terms_.empty()) std::ranges::fill(sums, 0.0);
        const auto values_of = [&](const TermValues& term) {
            return std::span(term.by_step).subspan(first, size);
        };
        if (terms_.size() == 1 && terms_[0].by_trajectory.empty()) return values_of(terms_[0]);
        for (const TermValues& term : terms_) {
            const auto put = [&](auto&& value_of) {
                if (&term == terms_.data()) {
                    for (std::size_t i = 0; i < size; ++i) sums[i] = value_of(i);
                } else {
                    for (std::size_t i = 0; i < size; ++i) sums[i] += value_of(i);
                }
            };
            if (term.by_trajectory.empty()) {
                put([values = values_of(term)](std::size_t i) { return values[i]; });
            } else {
                put([&](std::size_t i) {
                    return term.by_trajectory[index(trajectory_[first + i])];
                });
            }
        }
        return sums;
    }

  private:
    std::span<const TrajectoryId> trajectory_;
    std::vector<TermValues> terms_;
    std::array<double, block_size> memory_;
};

// 1 for infinity and NaN. On the bits, as wide as the value: the compiler then makes vectors of it.
std::uint32_t is_not_finite(float value) {
    constexpr std::uint32_t exponent_bits = 0x7f800000;
    return (std::bit_cast<std::uint32_t>(value) & exponent_bits) == exponent_bits ? 1U : 0U;
}

void combine(const Plan& plan, Sum& step_terms, Sum& episode_terms, const CreditColumns& steps) {
    std::uint32_t overflows = 0;
    for (std::size_t first = 0; first < steps.advantages.size(); first += Sum::block_size) {
        const std::size_t size = std::min(Sum::block_size, steps.advantages.size() - first);
        const auto of_steps = step_terms.block(first, size);
        const auto of_episodes = episode_terms.block(first, size);
        const CreditColumns credit = part_of(steps, first, size);
        for (std::size_t i = 0; i < size; ++i) {
            const auto joint = static_cast<float>(plan.step_weight * of_steps[i] +
                                                  plan.episode_weight * of_episodes[i]);
            const auto step = static_cast<float>(of_steps[i]);
            const auto episode = static_cast<float>(of_episodes[i]);
            credit.advantages[i] = joint;
            credit.step_advantages[i] = step;
            credit.episode_advantages[i] = episode;
            overflows |= is_not_finite(joint) | is_not_finite(step) | is_not_finite(episode);
        }
    }
    if (overflows != 0) {
        throw std::invalid_argument(
            "an advantage is more than a float32 holds; expected smaller weights or returns");
    }
}

}  // namespace

void add_to_batch(const Comparison& comparison, Group& group, FoldedValues& values) {
    Array<double> scores(group.num_steps());
    write_scores(comparison.score, group, scores);
    if (group.penalises(comparison.penalty)) penalise(scores, comparison.penalty, group);
    const Rollouts& rollouts = group.rollouts();
    for (std::size_t t = 0; t < rollouts.num_trajectories(); ++t) {
        for (const StepId step : rollouts.steps.row(id_of(t))) {
            if (!std::isnan(scores[index(step)])) values.add(scores[index(step)]);
            if (comparison.unit == Unit::trajectories) break;
        }
    }
}

void credit_steps(const Plan& plan, Group& group, std::span<const Standing> in_batch,
                  const CreditColumns& steps) {
    Sum step_terms(group.rollouts());
    Sum episode_terms(group.rollouts());
    ScoreReport report{.scores = steps.scores, .num_peers = steps.num_peers};
    for (const Term& term : plan.terms) {
        const Standing* standing = nullptr;
        if (is_batch_wide(term)) {
            standing = &in_batch.front();
            in_batch = in_batch.subspan(1);
        }
        TermValues values = evaluate(term, group, standing, report);
        stop_if_asked_after(group.num_steps());
        report = {};
        (is_episodic(term) ? episode_terms : step_terms).add(std::move(values));
    }
    combine(plan, step_terms, episode_terms, steps);
}

}  // namespace graphgpo
