#include "graphgpo/group_normalise.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace graphgpo {

std::span<const WeightedValue> FoldedValues::sorted() {
    if (folded_.size() < 2) return folded_;
    std::ranges::sort(folded_, {}, &WeightedValue::value);
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

Standing::Standing(std::span<const WeightedValue> values, const Options& options) {
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

Array<double> normalise_among(const Csr& peers, Array<double> values, const Options& options) {
    FoldedValues compared;
    for (std::size_t row = 0; row < peers.num_rows(); ++row) {
        const auto items = peers.row(id_of(row));
        if (items.size() < 2) {
            for (const auto item : items) values[index(item)] = 0;
            continue;
        }
        compared.clear();
        for (const auto item : items) compared.add(values[index(item)]);
        const Standing standing(compared, options);
        for (const auto item : items) values[index(item)] = standing(values[index(item)]);
    }
    return values;
}

}  // namespace graphgpo
