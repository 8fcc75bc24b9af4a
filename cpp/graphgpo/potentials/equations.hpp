// d(u) x(u) = sum over edges of a(u, v) x(v) + b(u), with d(u) = slack(u) + sum of a(u, v). No
// number is negative and every slack is positive, so that the solution is unique and none of the
// eliminations below subtracts: every value is right to a few units of its own last place, however
// close to singular the equations are (Grassmann, Taksar, Heyman 1985).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "graphgpo/memory.hpp"
#include "graphgpo/potentials/chances.hpp"
#include "graphgpo/types.hpp"

namespace graphgpo {

struct Equations {
    struct Edge {
        std::int32_t target;
        double weight;
    };

    Array<std::int32_t> offsets;  // by node; nodes + 1
    Array<Edge> edges;            // between different nodes, each pair once
    Array<double> slack;
    Array<double> right;

    [[nodiscard]] std::size_t size() const noexcept { return slack.size(); }
    [[nodiscard]] std::span<const Edge> of(std::size_t node) const noexcept {
        const auto begin = index(offsets[node]);
        return std::span(edges).subspan(begin, index(offsets[node + 1]) - begin);
    }
};

// Of V(u) = mean over the steps that leave u of gamma V(v).
[[nodiscard]] Equations equations_of(const Chances& chances, double gamma);

// Node by node without looking for zeros: O(nodes^3). For few of them.
[[nodiscard]] Array<double> solve_densely(const Equations& equations);
inline constexpr std::size_t dense_size = 32;

// Node by node, those first whose elimination makes few new edges, until none does; the rest by
// `solve_densely` or `iterate`. Chains, rings and trees leave no rest.
[[nodiscard]] Array<double> solve_sparsely(const Equations& equations);

// By sweeps (Gauss-Seidel), nodes near what is earned first, sped up by BiCGSTAB. O(edges) a sweep.
[[nodiscard]] Array<double> iterate(const Equations& equations);

}  // namespace graphgpo
