#include "graphgpo/group_normalise.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace graphgpo {

Standing::Standing(std::span<WeightedValue> values, const Options& options) {
    if (values.empty()) return;
    std::ranges::sort(values, {}, &WeightedValue::value);
    is_flat_ = values.front().value == values.back().value;
    if (is_flat_) return;

    // Folding makes the sums below those of (value, count) pairs in one order, whatever the counts
    // were split into.
    std::size_t distinct = 0;
    for (const WeightedValue& entry : values.subspan(1)) {
        if (entry.value == values[distinct].value) {
            values[distinct].count += entry.count;
        } else {
            values[++distinct] = entry;
        }
    }
    values = values.first(distinct + 1);

    double count = 0;
    double sum = 0;
    for (const auto& entry : values) {
        count += static_cast<double>(entry.count);
        sum += static_cast<double>(entry.count) * entry.value;
    }
    mean_ = sum / count;

    double squares = 0;
    for (const auto& entry : values) {
        const double deviation = entry.value - mean_;
        squares += static_cast<double>(entry.count) * (deviation * deviation);
    }
    if (!std::isfinite(squares)) {
        throw std::invalid_argument(
            "returns differ so much that their variance is more than a float64 holds");
    }
    if (options.normalization == Normalization::mean_std) {
        denominator_ = std::sqrt(squares / (count - 1)) + options.epsilon;
    }
}

std::vector<double> normalise_among(const Csr& peers, std::span<const double> values,
                                    const Options& options) {
    std::vector<double> standings(values.size(), 0);
    std::vector<WeightedValue> compared;
    for (std::size_t row = 0; row < peers.num_rows(); ++row) {
        const auto items = peers.row(id_of(row));
        if (items.size() < 2) continue;
        compared.clear();
        for (const auto item : items) compared.push_back({values[index(item)], 1});
        const Standing standing(compared, options);
        for (const auto item : items) standings[index(item)] = standing(values[index(item)]);
    }
    return standings;
}

}  // namespace graphgpo
