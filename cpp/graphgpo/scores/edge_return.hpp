// GraphGPO's edge return (arXiv 2605.26684, Eq. 4), as it is and as its peers see it.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

#include "graphgpo/group.hpp"
#include "graphgpo/memory.hpp"
#include "graphgpo/scores/score.hpp"

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

// Large enough for every exponent of the group.
[[nodiscard]] Powers powers_of(const EdgeReturn& block, Group& group);

// By step, to `returns`. Throws `std::invalid_argument` when a negative exponent (costs below 1
// under "recipe") makes one larger than a double holds.
void write_edge_returns(const EdgeReturn& block, Group& group, const Powers& powers,
                        std::span<double> returns);

// By step: the edge return divided by the largest of its peers, omega ** (e - min e). The three
// exponents differ by a constant per source and agree here. Neither a far goal nor a large reward
// can under- or overflow it: the best peer has 1.
[[nodiscard]] Array<double> relative_edge_returns(Group& group, const Powers& powers);

// Their standings among the steps from the same state, where every step costs 1: a return follows
// from a distance, and peers are counted by it.
[[nodiscard]] Array<double> compare_by_distance(Group& group, const Powers& powers,
                                                const Normaliser& normaliser,
                                                std::span<std::int32_t> num_peers);

}  // namespace graphgpo
