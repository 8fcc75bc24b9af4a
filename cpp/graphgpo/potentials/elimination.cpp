// The sparse elimination of `Equations`, in the order of Markowitz (1957).
#include <algorithm>
#include <array>
#include <vector>

#include "graphgpo/potentials/equations.hpp"
#include "graphgpo/stop.hpp"

namespace graphgpo {

namespace {

// A node of which `cost`, edges in times edges out, is more is left to others.
constexpr std::size_t most_cost = 24;

class Elimination {
  public:
    explicit Elimination(const Equations& equations)
        : slack_(equations.slack),
          values_(equations.right),
          rows_(equations.size()),
          sources_(equations.size()),
          num_sources_(equations.size(), 0),
          place_(equations.size(), none) {
        for (std::size_t node = 0; node < size(); ++node) {
            rows_[node].assign(equations.of(node).begin(), equations.of(node).end());
            for (const auto& edge : rows_[node]) add_source(edge.target, id_of(node));
        }
        for (std::size_t node = 0; node < size(); ++node) queue(id_of(node));
    }

    [[nodiscard]] Array<double> solve() {
        eliminate_all();
        solve_rest();
        for (std::size_t i = eliminated_.size(); i-- > 0;) {
            const std::size_t node = index(eliminated_[i]);
            for (const auto& [target, weight] : rows_[node]) {
                values_[node] += weight * values_[index(target)];
            }
            values_[node] /= pivot_[i];
        }
        return std::move(values_);
    }

  private:
    [[nodiscard]] std::size_t size() const noexcept { return slack_.size(); }
    [[nodiscard]] bool is_eliminated(std::int32_t node) const noexcept {
        return num_sources_[index(node)] == gone;
    }
    [[nodiscard]] std::size_t cost_of(std::int32_t node) const noexcept {
        return index(num_sources_[index(node)]) * rows_[index(node)].size();
    }

    void add_source(std::int32_t target, std::int32_t source) {
        sources_[index(target)].push_back(source);
        ++num_sources_[index(target)];
    }
    void queue(std::int32_t node) {
        const std::size_t cost = cost_of(node);
        if (cost > most_cost) return;
        queues_[cost].push_back(node);
        cheapest_ = std::min(cheapest_, cost);
    }

    void eliminate_all() {
        while (cheapest_ <= most_cost) {
            if (queues_[cheapest_].empty()) {
                ++cheapest_;
                continue;
            }
            const std::int32_t node = queues_[cheapest_].back();
            queues_[cheapest_].pop_back();
            if (!is_eliminated(node) && cost_of(node) == cheapest_) eliminate(node);
        }
    }

    void eliminate(std::int32_t node) {
        const Array<Equations::Edge>& row = rows_[index(node)];
        double pivot = slack_[index(node)];
        for (const auto& edge : row) pivot += edge.weight;
        num_sources_[index(node)] = gone;
        eliminated_.push_back(node);
        pivot_.push_back(pivot);
        for (const auto& edge : row) --num_sources_[index(edge.target)];
        for (const std::int32_t source : sources_[index(node)]) {
            if (!is_eliminated(source)) substitute(node, pivot, source);
        }
        for (const std::int32_t source : sources_[index(node)]) {
            if (!is_eliminated(source)) queue(source);
        }
        for (const auto& edge : row) queue(edge.target);
        sources_[index(node)] = {};
    }

    // The eliminated node's equation for its value in that of `source`.
    void substitute(std::int32_t node, double pivot, std::int32_t source) {
        Array<Equations::Edge>& row = rows_[index(source)];
        meter_(1 + row.size());
        const auto here = std::ranges::find(row, node, &Equations::Edge::target);
        const double share = here->weight / pivot;
        *here = row.back();
        row.pop_back();
        slack_[index(source)] += share * slack_[index(node)];
        values_[index(source)] += share * values_[index(node)];
        for (std::size_t i = 0; i < row.size(); ++i) place_[index(row[i].target)] = id_of(i);
        const std::size_t known = row.size();
        for (const auto& [target, weight] : rows_[index(node)]) {
            if (target == source) continue;
            if (const std::int32_t place = place_[index(target)]; place != none) {
                row[index(place)].weight += share * weight;
            } else {
                row.push_back({target, share * weight});
                add_source(target, source);
            }
        }
        for (std::size_t i = 0; i < known; ++i) place_[index(row[i].target)] = none;
    }

    void solve_rest() {
        Array<std::int32_t> rest;
        for (std::size_t node = 0; node < size(); ++node) {
            if (is_eliminated(id_of(node))) continue;
            place_[node] = id_of(rest.size());
            rest.push_back(id_of(node));
        }
        if (rest.empty()) return;
        Equations equations;
        equations.offsets.push_back(0);
        for (const std::int32_t node : rest) {
            for (const auto& [target, weight] : rows_[index(node)]) {
                equations.edges.push_back({place_[index(target)], weight});
            }
            equations.offsets.push_back(id_of(equations.edges.size()));
            equations.slack.push_back(slack_[index(node)]);
            equations.right.push_back(values_[index(node)]);
        }
        const Array<double> values =
            rest.size() <= dense_size ? solve_densely(equations) : iterate(equations);
        for (std::size_t i = 0; i < rest.size(); ++i) values_[index(rest[i])] = values[i];
    }

    static constexpr std::int32_t gone = -1;

    Array<double> slack_;
    Array<double> values_;  // right sides until they are solved
    std::vector<Array<Equations::Edge>> rows_;
    // Of the edges into a node, those from eliminated nodes among them.
    std::vector<Array<std::int32_t>> sources_;
    Array<std::int32_t> num_sources_;  // without those; `gone`: the node is eliminated itself
    Array<std::int32_t> place_;        // by target, in the row at hand; `none` in between
    std::array<Array<std::int32_t>, most_cost + 1> queues_;  // by what the cost was, maybe is
    std::size_t cheapest_ = 0;
    Array<std::int32_t> eliminated_;
    Array<double> pivot_;  // of these
    StopMeter meter_;
};

}  // namespace

Array<double> solve_sparsely(const Equations& equations) { return Elimination(equations).solve(); }

}  // namespace graphgpo
