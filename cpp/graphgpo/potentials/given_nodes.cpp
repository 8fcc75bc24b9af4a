// The caller's own numbers.
#include "graphgpo/group.hpp"

namespace graphgpo {

PotentialOfSteps potential_of(const GivenNodes& block, Group& group) {
    PotentialOfSteps values;
    for (const RowId row : group.rollouts().row) {
        values.before.push_back(block.source.values[index(row)]);
        values.after.push_back(block.target.values[index(row)]);
    }
    return values;
}

}  // namespace graphgpo
