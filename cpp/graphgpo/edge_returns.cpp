#include "graphgpo/edge_returns.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>

namespace graphgpo {

namespace {

// omega ** e. Unit costs make every exponent a small integer, and a group has far fewer distances
// than steps: those come from a table, filled by the same `std::pow` the others go through.
class Powers {
  public:
    Powers(double omega, double largest_exponent) : omega_(omega) {
        constexpr double largest_table = 1024;
        const double size = std::clamp(largest_exponent + 1, 0.0, largest_table);
        table_.reserve(static_cast<std::size_t>(size));
        for (std::size_t e = 0; e < static_cast<std::size_t>(size); ++e) {
            table_.push_back(std::pow(omega, static_cast<double>(e)));
        }
        table_end_ = static_cast<double>(table_.size());
    }
    [[nodiscard]] double operator()(double exponent) const {
        if (exponent >= 0 && exponent < table_end_) {
            const auto whole = static_cast<std::int32_t>(exponent);
            if (static_cast<double>(whole) == exponent) return table_[index(whole)];
        }
        return std::pow(omega_, exponent);
    }

  private:
    double omega_;
    Array<double> table_;
    double table_end_ = 0;
};

double cost_of(std::span<const double> costs, std::size_t step) {
    return costs.empty() ? 1 : costs[step];
}

}  // namespace

Array<double> edge_returns(const TransitionGraph& graph, std::span<const double> costs,
                           const Distances& distances, const Options& options) {
    const Powers power(options.omega, distances.unreachable + 1);
    Array<double> returns(graph.source.size());
    for (std::size_t step = 0; step < returns.size(); ++step) {
        double exponent = distances[graph.target[step]];
        if (options.exponent == Exponent::progress) exponent -= distances[graph.source[step]];
        exponent += cost_of(costs, step);
        if (options.exponent == Exponent::recipe) exponent -= 1;
        returns[step] = options.success_reward * power(exponent);
        if (!std::isfinite(returns[step])) {
            throw std::invalid_argument(
                "success_reward * omega ** exponent is more than a float64 holds; expected edge "
                "costs of at least 1, or an omega that is not so small, with exponent 'recipe'");
        }
    }
    return returns;
}

Array<double> relative_edge_returns(const TransitionGraph& graph, std::span<const double> costs,
                                    const Distances& distances, const Csr& peers,
                                    const Options& options) {
    const Powers power(options.omega, distances.unreachable + 1);
    Array<double> returns(graph.source.size());
    const auto exponent_of = [&](StepId step) {
        return distances[graph.target[index(step)]] + cost_of(costs, index(step));
    };
    for (std::size_t node = 0; node < peers.num_rows(); ++node) {
        const auto steps = peers.row(id_of(node));
        if (steps.size() == 1) {  // its own best: omega ** 0
            returns[index(steps[0])] = 1;
            continue;
        }
        double smallest = std::numeric_limits<double>::infinity();
        for (const StepId step : steps) smallest = std::min(smallest, exponent_of(step));
        for (const StepId step : steps) {
            returns[index(step)] = power(exponent_of(step) - smallest);
        }
    }
    return returns;
}

}  // namespace graphgpo
