// V(u) = mean over the steps that leave u of gamma V(v): the value of the policy that made the
// rollouts, with V(GOAL) = 1. The unique fixed point of a contraction, computed to 1e-9.
//
// Strongly connected components are solved one after the other, those nearest the ends first, so
// that a graph without cycles takes one pass whatever its length. Inside a component, nodes are
// swept in levels by how many steps they are from leaving it (Gauss-Seidel between levels, all
// nodes of a level at once), each solved for itself exactly: a step that stays where it is needs no
// iteration. A sweep shrinks the error by gamma at least; sweeping ends when no value grows by more
// than a sweep could leave wrong (`converged`), or after as many sweeps as gamma alone needs for
// 1e-12. Starting from 0, values only grow.
//
// Levels, components and sums do not depend on the order of rows: neither do the bits of a value.
// O(edges) per sweep.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "graphgpo/group.hpp"
#include "graphgpo/stop.hpp"

namespace graphgpo {

namespace {

// The group's edges, parallel ones as one: how often u leads to each node, and what it earns at
// ends.
struct Chances {
    struct Edge {
        StateId target;
        double count;
    };

    Array<std::int32_t> offsets;  // by node; nodes + 1
    Array<Edge> edges;            // between different nodes that have steps of their own
    Array<double> staying;        // by node: steps that stay
    Array<double> leaving;        // by node: all steps
    Array<double> earned;         // by node: sum of what stands at the ends its steps lead to

    [[nodiscard]] std::span<const Edge> of(StateId node) const noexcept {
        const auto begin = index(offsets[index(node)]);
        return std::span(edges).subspan(begin, index(offsets[index(node) + 1]) - begin);
    }
    [[nodiscard]] std::size_t size() const noexcept { return leaving.size(); }
};

// What stands after a step that is the last of its trajectory; NaN: the node it leads to.
double value_at_end(const BellmanMean& block, Group& group, std::size_t step) {
    const Rollouts& rollouts = group.rollouts();
    if (!rollouts.is_last(id_of(step))) return unknown_score;
    if (block.boundary) return block.boundary->values[index(rollouts.row[step])];
    if (rollouts.is_winning(id_of(step))) return 1;
    return block.failed_end == FailedEnd::leaf ? 0 : unknown_score;
}

Chances chances_of(const BellmanMean& block, Group& group) {
    const TransitionGraph& graph = group.graph();
    const Csr& leaving = group.steps_by_source();
    const std::size_t nodes = graph.num_nodes;
    Chances chances;
    chances.staying.assign(nodes, 0);
    chances.leaving.assign(nodes, 0);
    chances.earned.assign(nodes, 0);
    chances.offsets.reserve(nodes + 1);
    chances.offsets.push_back(0);
    Array<std::int32_t> place(nodes, none);  // by target: its edge, if it is one of this node
    Array<double> ends;
    StopMeter meter;
    for (std::size_t node = 0; node < nodes; ++node) {
        meter(1 + leaving.row(id_of(node)).size());
        const auto first = chances.edges.size();
        ends.clear();
        for (const StepId step : leaving.row(id_of(node))) {
            chances.leaving[node] += 1;
            const double end = value_at_end(block, group, index(step));
            if (!std::isnan(end)) {
                ends.push_back(end);
                continue;
            }
            const StateId target = graph.target[index(step)];
            if (index(target) == node) {
                chances.staying[node] += 1;
            } else if (leaving.row(target).empty()) {
                continue;  // a leaf: 0
            } else if (place[index(target)] >= id_of(first)) {
                chances.edges[index(place[index(target)])].count += 1;
            } else {
                place[index(target)] = id_of(chances.edges.size());
                chances.edges.push_back({target, 1});
            }
        }
        std::ranges::sort(ends);
        for (const double end : ends) chances.earned[node] += end;
        chances.offsets.push_back(id_of(chances.edges.size()));
    }
    return chances;
}

// Components one after the other, every one after those its steps lead to (Tarjan, with a stack of
// its own: a chain may be as long as the group).
class Components {
  public:
    explicit Components(const Chances& chances) : chances_(&chances) {
        const std::size_t nodes = chances.size();
        low_.assign(nodes, none);
        next_edge_.assign(nodes, 0);
        component_.assign(nodes, none);
        for (std::size_t node = 0; node < nodes; ++node) {
            if (low_[node] == none) search(id_of(node));
        }
    }

    [[nodiscard]] std::int32_t of(StateId node) const noexcept { return component_[index(node)]; }
    // Calls visit(nodes) for each.
    void for_each(auto&& visit) const {
        for (std::size_t begin = 0; begin < order_.size();) {
            std::size_t end = begin + 1;
            while (end < order_.size() && of(order_[end]) == of(order_[begin])) ++end;
            visit(std::span(order_).subspan(begin, end - begin));
            begin = end;
        }
    }

  private:
    void search(StateId root) {
        enter(root);
        while (!path_.empty()) {
            meter_();
            const StateId node = path_.back();
            const auto edges = chances_->of(node);
            std::int32_t& next = next_edge_[index(node)];
            if (index(next) < edges.size()) {
                const StateId target = edges[index(next++)].target;
                if (low_[index(target)] == none) {
                    enter(target);
                } else if (of(target) == none) {
                    low_[index(node)] = std::min(low_[index(node)], low_[index(target)]);
                }
                continue;
            }
            path_.pop_back();
            if (!path_.empty()) {
                std::int32_t& low = low_[index(path_.back())];
                low = std::min(low, low_[index(node)]);
            }
            if (low_[index(node)] == entered_[index(node)]) close(node);
        }
    }
    void enter(StateId node) {
        if (entered_.empty()) entered_.assign(chances_->size(), none);
        entered_[index(node)] = low_[index(node)] = num_entered_++;
        path_.push_back(node);
        open_.push_back(node);
    }
    void close(StateId first) {
        for (StateId node = none; node != first;) {
            node = open_.back();
            open_.pop_back();
            component_[index(node)] = num_components_;
            order_.push_back(node);
        }
        ++num_components_;
    }

    const Chances* chances_;
    Array<std::int32_t> low_;
    Array<std::int32_t> entered_;
    Array<std::int32_t> next_edge_;
    Array<std::int32_t> component_;
    Array<StateId> path_;
    Array<StateId> open_;
    Array<StateId> order_;
    std::int32_t num_entered_ = 0;
    std::int32_t num_components_ = 0;
    StopMeter meter_;
};

class Solver {
  public:
    Solver(const Chances& chances, double gamma)
        : chances_(&chances), components_(chances), gamma_(gamma), values_(chances.size(), 0) {}

    [[nodiscard]] Array<double> solve() {
        level_.assign(chances_->size(), none);
        components_.for_each([&](std::span<const StateId> nodes) {
            const StateId first = nodes.front();
            if (nodes.size() > 1) {
                iterate(nodes);
            } else if (chances_->leaving[index(first)] > 0) {
                values_[index(first)] = updated(first);
            }
        });
        return std::move(values_);
    }

  private:
    // The node's value if all others were right.
    [[nodiscard]] double updated(StateId node) {
        const std::size_t at = index(node);
        double sum = 0;
        const auto edges = chances_->of(node);
        meter_(1 + edges.size());
        if (edges.size() <= 2) {  // a sum of two does not depend on their order
            for (const auto& [target, count] : edges) sum += count * values_[index(target)];
        } else {
            products_.resize(edges.size());
            for (std::size_t i = 0; i < edges.size(); ++i) {
                products_[i] = edges[i].count * values_[index(edges[i].target)];
            }
            std::ranges::sort(products_);
            for (const double product : products_) sum += product;
        }
        return gamma_ * (sum + chances_->earned[at]) /
               (chances_->leaving[at] - gamma_ * chances_->staying[at]);
    }

    void iterate(std::span<const StateId> nodes) {
        const Array<StateId> sweep = by_level(nodes);
        if (sweep.empty()) return;  // nothing is earned from here on: 0
        // After so many sweeps gamma alone has brought the error below 1e-12.
        const double most = std::ceil(std::log(1e-12) / std::log(gamma_));
        const double converged = (1 - gamma_) * 1e-11;
        const Array<std::size_t> ends = ends_of_levels(sweep);
        Array<double> next(sweep.size());
        for (double swept = 0; swept < most; ++swept) {
            bool grows = false;
            std::size_t begin = 0;
            for (const std::size_t end : ends) {
                for (std::size_t i = begin; i < end; ++i) next[i] = updated(sweep[i]);
                for (std::size_t i = begin; i < end; ++i) {
                    double& value = values_[index(sweep[i])];
                    grows |= next[i] - value > converged * next[i];
                    value = next[i];
                }
                begin = end;
            }
            if (!grows) return;
        }
    }

    [[nodiscard]] Array<std::size_t> ends_of_levels(std::span<const StateId> sweep) const {
        Array<std::size_t> ends;
        for (std::size_t i = 1; i < sweep.size(); ++i) {
            if (level_[index(sweep[i])] != level_[index(sweep[i - 1])]) ends.push_back(i);
        }
        ends.push_back(sweep.size());
        return ends;
    }

    // The nodes from which something is earned, by how many steps they are from where.
    [[nodiscard]] Array<StateId> by_level(std::span<const StateId> nodes) {
        const std::int32_t component = components_.of(nodes.front());
        Array<StateId> reached;
        const auto reach = [&](StateId node, std::int32_t level) {
            if (level_[index(node)] != none) return;
            level_[index(node)] = level;
            reached.push_back(node);
        };
        for (const StateId node : nodes) {
            bool earns = chances_->earned[index(node)] > 0;
            for (const auto& [target, count] : chances_->of(node)) {
                earns |= components_.of(target) != component && values_[index(target)] > 0;
            }
            if (earns) reach(node, 0);
        }
        if (reached.empty()) return reached;
        stop_if_asked_after(chances_->size());
        // Against the edges inside the component.
        Array<std::int32_t> place(chances_->size(), none);
        for (std::size_t i = 0; i < nodes.size(); ++i) place[index(nodes[i])] = id_of(i);
        Array<std::int32_t> sources;
        Array<std::int32_t> targets;
        for (const StateId node : nodes) {
            for (const auto& edge : chances_->of(node)) {
                if (components_.of(edge.target) != component) continue;
                sources.push_back(node);
                targets.push_back(place[index(edge.target)]);
            }
        }
        const Csr into = group_by_row(targets, nodes.size());
        for (std::size_t head = 0; head < reached.size(); ++head) {
            const StateId node = reached[head];
            for (const auto edge : into.row(place[index(node)])) {
                reach(sources[index(edge)], level_[index(node)] + 1);
            }
        }
        return reached;
    }

    const Chances* chances_;
    Components components_;
    double gamma_;
    Array<double> values_;
    Array<std::int32_t> level_;
    Array<double> products_;
    StopMeter meter_;
};

}  // namespace

PotentialOfSteps potential_of(const BellmanMean& block, Group& group) {
    const Chances chances = chances_of(block, group);
    const Array<double> of_node = Solver(chances, block.gamma).solve();
    const TransitionGraph& graph = group.graph();
    PotentialOfSteps values;
    values.before.reserve(group.num_steps());
    values.after.reserve(group.num_steps());
    for (std::size_t step = 0; step < group.num_steps(); ++step) {
        const double end = value_at_end(block, group, step);
        values.before.push_back(of_node[index(graph.source[step])]);
        values.after.push_back(std::isnan(end) ? of_node[index(graph.target[step])] : end);
    }
    return values;
}

}  // namespace graphgpo
