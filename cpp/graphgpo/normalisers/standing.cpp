#include "graphgpo/normalisers/standing.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>
#include <variant>

namespace graphgpo {

namespace {

// What the deviations of `count` values are divided by; 0: by nothing, they are void.
double denominator(const Raw&, double, double) { return 1; }
double denominator(const Mean&, double, double) { return 1; }
double denominator(const MeanStd& how, double squares, double count) {
    const double variance = squares / (count - static_cast<double>(how.ddof));
    if (how.inside) return std::sqrt(variance + how.epsilon);
    const double std = std::sqrt(variance);
    return std < how.off_below ? 0 : std + how.epsilon;
}
double denominator(const LeaveOneOut&, double, double count) { return (count - 1) / count; }
double denominator(const FlooredStd& how, double squares, double count) {
    return std::max(std::sqrt(squares / (count - static_cast<double>(how.ddof))), how.floor);
}

}  // namespace

std::span<const WeightedValue> FoldedValues::sorted() {
    if (folded_.size() < 2) return folded_;
    if (folded_.size() < passes_between_stops) {  // most are of a few: the meter would be felt
        std::ranges::sort(folded_, std::less(), &WeightedValue::value);
    } else {
        StopMeter meter;
        std::ranges::sort(folded_, [&](const WeightedValue& a, const WeightedValue& b) {
            meter();
            return a.value < b.value;
        });
    }
    if (folded_.size() <= few) return folded_;
    std::size_t last = 0;
    for (const WeightedValue& entry : std::span(folded_).subspan(1)) {
        if (entry.value == folded_[last].value) {
            folded_[last].count += entry.count;
        } else {
            folded_[++last] = entry;
        }
    }
    folded_.resize(last + 1);
    return folded_;
}

Standing::Standing(std::span<const WeightedValue> values, const Normaliser& normaliser,
                   double tolerance) {
    if (values.empty()) return;
    largest_ = values.back().value;
    if (tolerance > 0) as_largest_ = largest_ - tolerance * std::abs(largest_);
    const auto taken = [&](double value) { return value >= as_largest_ ? largest_ : value; };

    double sum = 0;
    for (const auto& entry : values) {
        count_ += entry.count;
        sum += static_cast<double>(entry.count) * taken(entry.value);
    }
    if (values.size() < 2 || values.front().value >= as_largest_) return;
    const auto count = static_cast<double>(count_);
    mean_ = sum / count;

    double squares = 0;
    for (const auto& entry : values) {
        const double deviation = taken(entry.value) - mean_;
        squares += static_cast<double>(entry.count) * (deviation * deviation);
    }
    if (!std::isfinite(squares)) {
        throw std::invalid_argument(
            "returns differ so much that their variance is more than a float64 holds");
    }
    denominator_ =
        std::visit([&](const auto& how) { return denominator(how, squares, count); }, normaliser);
    is_void_ = denominator_ == 0;
}

void compare_among(const Csr& peers, std::span<double> values, const Comparing& how) {
    FoldedValues compared;
    const bool by_trajectory = !how.trajectories.empty();
    TrajectoryId num_trajectories = 0;
    for (const TrajectoryId t : how.trajectories)
        num_trajectories = std::max(num_trajectories, t + 1);
    Array<std::int32_t> counted_in(index(num_trajectories), none);  // by trajectory: the last row
    const bool leaves_out = peers.items.size() < values.size();
    Array<std::uint8_t> is_listed(leaves_out ? values.size() : 0, 0);

    StopMeter meter;
    for (std::size_t row = 0; row < peers.num_rows(); ++row) {
        const auto items = peers.row(id_of(row));
        meter(items.size());
        if (items.size() < 2) {
            for (const auto item : items) {
                if (!how.num_peers.empty()) {
                    how.num_peers[index(item)] = std::isnan(values[index(item)]) ? 0 : 1;
                }
                values[index(item)] = how.when_void;
                if (leaves_out) is_listed[index(item)] = 1;
            }
            continue;
        }
        compared.clear();
        for (const auto item : items) {
            const double value = values[index(item)];
            if (std::isnan(value)) continue;
            if (by_trajectory) {
                std::int32_t& last = counted_in[index(how.trajectories[index(item)])];
                if (last == id_of(row)) continue;
                last = id_of(row);
            }
            compared.add(value);
        }
        const Standing standing(compared, *how.normaliser, how.tolerance);
        for (const auto item : items) {
            double& value = values[index(item)];
            const bool is_void = standing.is_void() || std::isnan(value);
            value = is_void ? how.when_void : standing(value);
        }
        if (!how.num_peers.empty()) {
            const auto count = static_cast<std::int32_t>(standing.count());
            for (const auto item : items) how.num_peers[index(item)] = count;
        }
        if (leaves_out) {
            for (const auto item : items) is_listed[index(item)] = 1;
        }
    }
    for (std::size_t item = 0; item < is_listed.size(); ++item) {
        if (is_listed[item] != 0) continue;
        values[item] = how.when_void;
        if (!how.num_peers.empty()) how.num_peers[item] = 0;
    }
}

}  // namespace graphgpo
