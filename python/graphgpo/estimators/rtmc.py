"""RTMC."""

from __future__ import annotations

from graphgpo.blocks import ActionMean, Mean, ReturnToGo, SameState, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._spread import StepEstimator


class RTMC(StepEstimator):
    """A = Q(u,a) - V(u): the mean return-to-go of the action less that of the state; alone."""

    source = "arXiv 2604.11037"
    mark = "R"

    gamma: float = opt.gamma(0.95)
    success_reward: float = opt.success_reward(10.0)

    def terms(self) -> list[Term]:
        """The step term alone."""
        mean = ActionMean(ReturnToGo(self.gamma, self.success_reward))
        return [Term(mean, peers=SameState(), normaliser=Mean()), *self.spread_terms()]
