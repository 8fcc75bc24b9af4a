#include "graphgpo/group_normalise.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace graphgpo {

namespace {

// Equal values as one, ascending, at the front of `values`: sums over them are then the same
// whatever order the values came in and whatever the counts were split into.
std::span<WeightedValue> fold_and_sort(std::span<WeightedValue> values) {
    // Peers mostly share two or three values: looking for those is cheaper than sorting them all.
    constexpr std::size_t few = 8;
    std::size_t kept = 0;
    for (const WeightedValue& entry : values) {
        const auto known = values.first(std::min(kept, few));
        const auto found = std::ranges::find(known, entry.value, &WeightedValue::value);
        if (found != known.end()) {
            found->count += entry.count;
        } else {
            values[kept++] = entry;
        }
    }
    values = values.first(kept);
    std::ranges::sort(values, {}, &WeightedValue::value);
    if (kept <= few) return values;

    std::size_t last = 0;
    for (const WeightedValue& entry : values.subspan(1)) {
        if (entry.value == values[last].value) {
            values[last].count += entry.count;
        } else {
            values[++last] = entry;
        }
    }
    return values.first(last + 1);
}

}  // namespace

Standing::Standing(std::span<WeightedValue> values, const Options& options) {
    values = fold_and_sort(values);
    is_flat_ = values.size() < 2;
    if (is_flat_) return;

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

Array<double> normalise_among(const Csr& peers, std::span<const double> values,
                              const Options& options) {
    Array<double> standings(values.size(), 0);
    Array<WeightedValue> compared;
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
