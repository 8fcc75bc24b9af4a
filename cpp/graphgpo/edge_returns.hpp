// The score of an edge from the potential of its ends: GraphGPO's edge return (paper, Eq. 4).
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

#include "graphgpo/distances.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/options.hpp"
#include "graphgpo/transition_graph.hpp"

namespace graphgpo {

// omega ** e. Unit costs make every exponent a small integer, and a group has far fewer distances
// than steps: those come from a table, filled by the same `std::pow` the others go through.
class Powers {
  public:
    Powers(double omega, double largest_exponent);

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
    double table_end_;
};

// By step, to `returns`: success_reward * omega ** e, with e = d(target) + c ("paper"), d(target) +
// c - 1
// ("recipe") or d(target) - d(source) + c ("progress"). Throws `std::invalid_argument` when a
// negative exponent (costs below 1 under "recipe") makes one larger than a double holds.
void write_edge_returns(const TransitionGraph& graph, std::span<const double> costs,
                        const Distances& distances, const Powers& powers, const Options& options,
                        std::span<double> returns);

// By step: the edge return divided by the largest of its peers, omega ** (e - min e). The three
// exponents differ by a constant per source and agree here. Neither a far goal nor a large reward
// can under- or overflow it: the best peer has 1.
[[nodiscard]] Array<double> relative_edge_returns(const TransitionGraph& graph,
                                                  std::span<const double> costs,
                                                  const Distances& distances, const Powers& powers);

}  // namespace graphgpo
