// Terms of a plan to credit.
#pragma once

#include <span>

#include "graphgpo/advantage_columns.hpp"
#include "graphgpo/group.hpp"
#include "graphgpo/normalisers/standing.hpp"
#include "graphgpo/plan.hpp"

namespace graphgpo {

// The scores of a comparison within the whole batch, each counted as its unit says.
void add_to_batch(const Comparison& comparison, Group& group, FoldedValues& values);

// Credits the steps of a group: advantages, and the first term's scores and peers. `in_batch` has a
// standing for every term that is compared within the whole batch. Rounded once to what a trainer
// computes in. Throws `std::invalid_argument` when weights or returns are so large that a float32
// cannot hold an advantage.
void credit_steps(const Plan& plan, Group& group, std::span<const Standing> in_batch,
                  const CreditColumns& steps);

}  // namespace graphgpo
