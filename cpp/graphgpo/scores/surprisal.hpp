// How rarely the peers of a step go where it goes.
#pragma once

#include "graphgpo/group.hpp"
#include "graphgpo/memory.hpp"

namespace graphgpo {

// By step, ln(n(s) / n(s, c)): n(s) steps leave its state, n(s, c) of them to its target. Targets
// that one step alone takes from a state count together as one: a text that never recurs says
// nothing of where one goes.
[[nodiscard]] Array<double> surprisals(Group& group);

// The same among the steps with its state and action alone: what is left of the surprise where the
// action is known. Never negative; 0 where an action has one outcome.
[[nodiscard]] Array<double> surprisals_given_action(Group& group);

}  // namespace graphgpo
