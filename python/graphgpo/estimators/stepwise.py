"""Stepwise returns."""

from __future__ import annotations

from typing import Literal

from graphgpo.blocks import ReturnToGo, Task, Term, Turn
from graphgpo.estimators import _options as opt
from graphgpo.estimators._base import option
from graphgpo.estimators._parts import normaliser
from graphgpo.estimators._spread import StepEstimator


class Stepwise(StepEstimator):
    """A = returns-to-go among all steps of the task, or those at the same turn; alone."""

    mark = "R"

    gamma: float = opt.gamma(0.4)
    peers: Literal["task", "turn"] = option("task", None, "Which steps of the task are compared.")
    success_reward: float = opt.success_reward(10.0)
    normalization: opt.Normalization = opt.normalization("mean_std")
    epsilon: float = opt.epsilon(1e-6)

    def terms(self) -> list[Term]:
        """The step term alone."""
        returns = ReturnToGo(self.gamma, self.success_reward)
        peers = Task() if self.peers == "task" else Turn()
        return [
            Term(returns, peers=peers, normaliser=normaliser(self.normalization, self.epsilon)),
            *self.spread_terms(),
        ]
