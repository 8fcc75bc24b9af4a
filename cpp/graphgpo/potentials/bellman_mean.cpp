// V(u) = mean over the steps that leave u of gamma V(v): the value of the policy that made the
// rollouts, with V(GOAL) = 1. The unique fixed point of a contraction, computed to 1e-9.
//
// Strongly connected components are solved one after the other, those nearest the ends first, so
// that a graph without cycles takes one pass whatever its length. In a component
//
//  1. nodes that nothing tells apart become one (alike.hpp). That gives the others an order that
//     does not depend on the rows, and so nothing below does: neither do the bits of a value;
//  2. nodes with few edges are eliminated exactly (equations.hpp), a step that stays where it is
//     among the first; a small component, a chain or a ring is then solved;
//  3. what is left, a graph in which every node has many neighbours, is iterated: sweeps sped up by
//     BiCGSTAB, which end when their change bounds the error, or else after as many sweeps as the
//     discount alone needs (iteration.cpp).
//
// O(edges log nodes) without the iteration, and O(edges) per sweep.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include "graphgpo/errors.hpp"
#include "graphgpo/group.hpp"
#include "graphgpo/potentials/alike.hpp"
#include "graphgpo/potentials/chances.hpp"
#include "graphgpo/potentials/components.hpp"
#include "graphgpo/potentials/equations.hpp"
#include "graphgpo/stop.hpp"
#include "graphgpo/validate.hpp"

namespace graphgpo {

namespace {

void check_boundary(const BellmanMean& block, const Rollouts& rollouts) {
    const auto values = block.boundary->values;
    Array<RowId> first_row(rollouts.num_trajectories(), none);
    for (std::size_t step = 0; step < rollouts.num_steps(); ++step) {
        const RowId row = rollouts.row[step];
        RowId& first = first_row[index(rollouts.trajectory[step])];
        if (first == none) first = row;
        if (values[index(row)] == values[index(first)]) continue;
        throw RowError(row, cell("boundary", row) + " is " + describe(values[index(row)]) +
                                " but row " + std::to_string(first) +
                                " of the same trajectory has " + describe(values[index(first)]) +
                                "; expected one value per trajectory");
    }
}

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

class Solver {
  public:
    Solver(const Chances& chances, double gamma)
        : chances_(&chances),
          components_(components_of(chances)),
          gamma_(gamma),
          values_(chances.size(), 0),
          place_(chances.size(), none) {}

    [[nodiscard]] Array<double> solve() {
        for (std::size_t component = 0; component < components_.size(); ++component) {
            const auto nodes = components_[component];
            if (nodes.size() > 1) {
                solve_component(nodes);
            } else {
                solve_node(nodes.front());
            }
        }
        return std::move(values_);
    }

  private:
    // What the steps of a node are worth that leave its component. Sorted, so that the sum does not
    // depend on their order.
    [[nodiscard]] double earned_outside(StateId node) {
        const std::int32_t component = components_.of[index(node)];
        products_.clear();
        const auto edges = chances_->of(node);
        meter_(1 + edges.size());
        for (const auto& [target, count] : edges) {
            if (components_.of[index(target)] == component) continue;
            products_.push_back(count * values_[index(target)]);
        }
        if (products_.size() > 2) std::ranges::sort(products_);
        double sum = 0;
        for (const double product : products_) sum += product;
        return sum + chances_->earned[index(node)];
    }

    void solve_node(StateId node) {
        const std::size_t at = index(node);
        if (chances_->leaving[at] == 0) return;  // GOAL or a leaf
        const double earned = earned_outside(node);
        values_[at] = gamma_ * earned / (chances_->leaving[at] - gamma_ * chances_->staying[at]);
    }

    void solve_component(std::span<const StateId> nodes) {
        const Chances inside = restricted_to(nodes);
        const bool earns = std::ranges::any_of(inside.earned, [](double x) { return x > 0; });
        if (!earns) return;  // nor do those its steps lead to
        const Array<std::int32_t> class_of = classes_of(inside);
        const Equations equations = equations_of(merge_classes(inside, class_of), gamma_);
        const Array<double> values =
            equations.size() <= dense_size ? solve_densely(equations) : solve_sparsely(equations);
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            values_[index(nodes[i])] = values[index(class_of[i])];
        }
    }

    [[nodiscard]] Chances restricted_to(std::span<const StateId> nodes) {
        for (std::size_t i = 0; i < nodes.size(); ++i) place_[index(nodes[i])] = id_of(i);
        const std::int32_t component = components_.of[index(nodes.front())];
        Chances inside;
        inside.offsets.push_back(0);
        for (const StateId node : nodes) {
            for (const auto& [target, count] : chances_->of(node)) {
                if (components_.of[index(target)] != component) continue;
                inside.edges.push_back({place_[index(target)], count});
            }
            inside.offsets.push_back(id_of(inside.edges.size()));
            inside.staying.push_back(chances_->staying[index(node)]);
            inside.leaving.push_back(chances_->leaving[index(node)]);
            inside.earned.push_back(earned_outside(node));
        }
        return inside;
    }

    const Chances* chances_;
    Components components_;
    double gamma_;
    Array<double> values_;
    Array<std::int32_t> place_;  // by node, in its component
    Array<double> products_;
    StopMeter meter_;
};

}  // namespace

PotentialOfSteps potential_of(const BellmanMean& block, Group& group) {
    if (block.boundary) check_boundary(block, group.rollouts());
    const Chances chances = chances_of(block, group);
    const Array<double> of_node = Solver(chances, block.gamma).solve();
    const TransitionGraph& graph = group.graph();
    PotentialOfSteps values;
    values.before.reserve(group.num_steps());
    values.after.reserve(group.num_steps());
    for_each_stoppable(group.num_steps(), [&](std::size_t step) {
        const double end = value_at_end(block, group, step);
        values.before.push_back(of_node[index(graph.source[step])]);
        values.after.push_back(std::isnan(end) ? of_node[index(graph.target[step])] : end);
    });
    return values;
}

}  // namespace graphgpo
