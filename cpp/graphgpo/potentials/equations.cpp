#include "graphgpo/potentials/equations.hpp"

namespace graphgpo {

Equations equations_of(const Chances& chances, double gamma) {
    Equations equations;
    equations.offsets = chances.offsets;
    equations.edges.reserve(chances.edges.size());
    equations.slack.reserve(chances.size());
    equations.right.reserve(chances.size());
    for (std::size_t node = 0; node < chances.size(); ++node) {
        double inside = chances.staying[node];
        for (const auto& [target, count] : chances.of(id_of(node))) {
            inside += count;
            equations.edges.push_back({target, gamma * count});
        }
        const double outside = chances.leaving[node] - inside;
        equations.slack.push_back((1 - gamma) * inside + outside);
        equations.right.push_back(gamma * chances.earned[node]);
    }
    return equations;
}

Array<double> solve_densely(const Equations& equations) {
    const std::size_t n = equations.size();
    Array<double> matrix(n * n, 0);  // its diagonal is not looked at
    const auto row = [&](std::size_t node) { return std::span(matrix).subspan(node * n, n); };
    for (std::size_t node = 0; node < n; ++node) {
        for (const auto& [target, weight] : equations.of(node)) row(node)[index(target)] = weight;
    }
    Array<double> slack = equations.slack;
    Array<double> values = equations.right;
    Array<double> pivot(n);
    for (std::size_t last = n; last-- > 0;) {
        const auto eliminated = row(last).first(last);
        pivot[last] = slack[last];
        for (const double weight : eliminated) pivot[last] += weight;
        for (std::size_t node = 0; node < last; ++node) {
            if (row(node)[last] == 0) continue;
            const double share = row(node)[last] / pivot[last];
            slack[node] += share * slack[last];
            values[node] += share * values[last];
            for (std::size_t to = 0; to < last; ++to) row(node)[to] += share * eliminated[to];
            row(node)[node] = 0;
        }
    }
    for (std::size_t node = 0; node < n; ++node) {
        for (std::size_t to = 0; to < node; ++to) values[node] += row(node)[to] * values[to];
        values[node] /= pivot[node];
    }
    return values;
}

}  // namespace graphgpo
