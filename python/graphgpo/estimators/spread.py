"""GraphGPO with spread credit."""

from __future__ import annotations

from graphgpo.estimators import _options as opt
from graphgpo.estimators.graphgpo import GraphGPO


class Spread(GraphGPO):
    """A = A_E + w (A_S + X), A_S GraphGPO's; in groups that nobody won X = y - mean of y among the
    steps from the same state, y = ln(n(s) / n(s, target)): credit for going where peers rarely go.

    Targets that one step alone takes from a state count together as one. X is the policy gradient
    of the entropy of where one goes from a state; it is off as soon as somebody wins.
    """

    name = "spread"
    source = ""

    spread_weight: float = opt.spread_weight(1.0)
