"""GRAFT."""

from __future__ import annotations

from graphgpo.blocks import BellmanMean, SameState, Target, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._parts import normaliser
from graphgpo.estimators._spread import StepEstimator


class GRAFT(StepEstimator):
    """A = gamma V(v) - V(u) among the steps from the same state, V the Bellman mean; alone.

    V(u) cancels among them, so the target is scored. The paper's graph GAE equals the difference
    itself at the fixed point, whatever its lambda.
    """

    mark = "P"

    gamma: float = opt.discount(0.99)
    failed_end: opt.FailedEnd = opt.failed_end("leaf")
    normalization: opt.Normalization = opt.normalization("mean_std")
    epsilon: float = opt.epsilon(1e-6)

    def terms(self) -> list[Term]:
        """The step term alone."""
        value = BellmanMean(self.gamma, self.failed_end)
        how = normaliser(self.normalization, self.epsilon)
        return [
            Term(Target(value, self.gamma), peers=SameState(), normaliser=how),
            *self.spread_terms(),
        ]
