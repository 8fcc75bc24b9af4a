// The iteration of `Equations`. A sweep replaces every x(u) by what its equation makes of the
// others, nodes near what is earned first; swept values are x' = T x + c. It shrinks the greatest
// error by 1 - s at least, s the least share of slack in a node's d(u), so that an error is at most
// the greatest change of a sweep, over s.
//
// BiCGSTAB (van der Vorst 1992) solves x - T x = c, with a sweep for each product with T. Where it
// breaks down or does not get nearer, it begins again from the best x; when that does not help,
// sweeps alone end the work: from any x they converge. They come last in any case, so that nodes
// of like equations have like values and none is negative.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "graphgpo/potentials/equations.hpp"
#include "graphgpo/stop.hpp"

namespace graphgpo {

namespace {

// After so many sweeps of a discount alone the error is below 1e-12 of the greatest value.
double most_sweeps(double least_slack) {
    return std::ceil(std::log(1e-12) / std::log1p(-least_slack));
}

using Values = Array<double>;

double dot(const Values& a, const Values& b) {
    double sums[4] = {0, 0, 0, 0};  // apart, so that none waits for another
    std::size_t i = 0;
    for (; i + 4 <= a.size(); i += 4) {
        for (std::size_t k = 0; k < 4; ++k) sums[k] += a[i + k] * b[i + k];
    }
    for (; i < a.size(); ++i) sums[0] += a[i] * b[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

double greatest(const Values& values) {
    double found = 0;
    for (const double value : values) found = std::max(found, std::abs(value));
    return found;
}

class Iteration {
  public:
    explicit Iteration(const Equations& equations) : order_(nearest_first(equations)) {
        Array<std::int32_t> place(order_.size());
        for (std::size_t i = 0; i < order_.size(); ++i) place[index(order_[i])] = id_of(i);
        offsets_.push_back(0);
        for (const std::int32_t node : order_) {
            double pivot = equations.slack[index(node)];
            for (const auto& edge : equations.of(index(node))) pivot += edge.weight;
            for (const auto& [target, weight] : equations.of(index(node))) {
                edges_.push_back({place[index(target)], weight / pivot});
            }
            offsets_.push_back(id_of(edges_.size()));
            right_.push_back(equations.right[index(node)] / pivot);
            least_slack_ = std::min(least_slack_, equations.slack[index(node)] / pivot);
        }
        nothing_.assign(order_.size(), 0);
    }

    [[nodiscard]] Values solve() {
        Values values(order_.size(), 0);
        speed_up(values);
        for (double& value : values) value = std::max(value, 0.0);
        const double most = most_sweeps(least_slack_);
        double swept = 0;
        while (sweep(values, right_) > tolerance(values) && swept < most) ++swept;
        sweep(values, right_);
        Values of_node(order_.size());
        for (std::size_t i = 0; i < order_.size(); ++i) of_node[index(order_[i])] = values[i];
        return of_node;
    }

  private:
    // By steps to an equation that earns something of its own.
    static Array<std::int32_t> nearest_first(const Equations& equations) {
        const std::size_t size = equations.size();
        Array<std::int32_t> offsets(size + 2, 0);
        for (const auto& edge : equations.edges) ++offsets[index(edge.target) + 2];
        std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
        Array<std::int32_t> sources(equations.edges.size());
        for (std::size_t node = 0; node < size; ++node) {
            for (const auto& edge : equations.of(node)) {
                sources[index(offsets[index(edge.target) + 1]++)] = id_of(node);
            }
        }
        Array<std::int32_t> order;
        Array<std::uint8_t> is_reached(size, 0);
        const auto reach = [&](std::int32_t node) {
            if (is_reached[index(node)] != 0) return;
            is_reached[index(node)] = 1;
            order.push_back(node);
        };
        for (std::size_t node = 0; node < size; ++node) {
            if (equations.right[node] > 0) reach(id_of(node));
        }
        for (std::size_t head = 0; head < order.size(); ++head) {
            const std::size_t target = index(order[head]);
            const auto end = index(offsets[target + 1]);
            for (auto at = index(offsets[target]); at < end; ++at) reach(sources[at]);
        }
        for (std::size_t node = 0; node < size; ++node) reach(id_of(node));
        return order;
    }

    // The greatest change.
    double sweep(Values& values, const Values& right) const {
        meter_(edges_.size());
        double change = 0;
        for (std::size_t node = 0; node < values.size(); ++node) {
            double sum = right[node];
            const auto end = index(offsets_[node + 1]);
            for (auto at = index(offsets_[node]); at < end; ++at) {
                sum += edges_[at].weight * values[index(edges_[at].target)];
            }
            change = std::max(change, std::abs(sum - values[node]));
            values[node] = sum;
        }
        return change;
    }

    // Of a sweep's change: an error of 1e-11 of the greatest value, if doubles can tell.
    [[nodiscard]] double tolerance(const Values& values) const {
        return greatest(values) * std::max(least_slack_ * 1e-11, 4e-16);
    }

    // x - T x
    void multiply(const Values& x, Values& product) const {
        product = x;
        sweep(product, nothing_);
        for (std::size_t i = 0; i < x.size(); ++i) product[i] = x[i] - product[i];
    }
    void residual_of(const Values& x, Values& residual) const {
        residual = x;
        sweep(residual, right_);
        for (std::size_t i = 0; i < x.size(); ++i) residual[i] -= x[i];
    }

    // Leaves the best values found.
    void speed_up(Values& best) const {
        constexpr int most_restarts = 8;
        Values residual(best.size());
        residual_of(best, residual);
        double least = greatest(residual);
        Values values = best;
        for (int restart = 0; restart < most_restarts; ++restart) {
            approach(values, residual);
            residual_of(values, residual);
            const double left = greatest(residual);
            const bool is_nearer = left < least;  // not so of NaN
            if (is_nearer) {
                best = values;
                least = left;
            }
            if (!is_nearer || left <= tolerance(best)) return;
        }
    }

    // One run of BiCGSTAB from `values`, whose residual is given.
    void approach(Values& values, Values& residual) const {
        constexpr int most_rounds = 1000;
        const double enough = 0.5 * std::max(greatest(values), greatest(right_)) *
                              std::max(least_slack_ * 1e-11, 4e-16);
        const std::size_t n = values.size();
        const Values shadow = residual;
        Values direction = residual;
        Values moved(n);
        Values corrected(n);
        double product = dot(shadow, residual);
        for (int round = 0; round < most_rounds; ++round) {
            multiply(direction, moved);
            const double alpha = product / dot(shadow, moved);
            if (!std::isfinite(alpha)) return;
            for (std::size_t i = 0; i < n; ++i) residual[i] -= alpha * moved[i];
            multiply(residual, corrected);
            const double size = dot(corrected, corrected);
            const double omega = size > 0 ? dot(corrected, residual) / size : 0;
            for (std::size_t i = 0; i < n; ++i) {
                values[i] += alpha * direction[i] + omega * residual[i];
                residual[i] -= omega * corrected[i];
            }
            if (greatest(residual) <= enough) return;
            const double next = dot(shadow, residual);
            const double beta = next / product * (alpha / omega);
            if (!std::isfinite(beta)) return;
            product = next;
            for (std::size_t i = 0; i < n; ++i) {
                direction[i] = residual[i] + beta * (direction[i] - omega * moved[i]);
            }
        }
    }

    Array<std::int32_t> order_;
    Array<std::int32_t> offsets_;
    Array<Equations::Edge> edges_;  // d(u) is 1
    Values right_;
    Values nothing_;
    double least_slack_ = 1;
    mutable StopMeter meter_;
};

}  // namespace

Array<double> iterate(const Equations& equations) { return Iteration(equations).solve(); }

}  // namespace graphgpo
