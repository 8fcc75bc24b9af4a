// log max(V, floor).
#include <algorithm>
#include <cmath>

#include "graphgpo/group.hpp"

namespace graphgpo {

PotentialOfSteps potential_of(const Log& block, Group& group) {
    PotentialOfSteps values = group.potential(*block.potential);
    for (Array<double>* side : {&values.before, &values.after}) {
        for (double& value : *side) {
            value = std::isnan(value) ? value : std::log(std::max(value, block.floor));
        }
    }
    return values;
}

}  // namespace graphgpo
