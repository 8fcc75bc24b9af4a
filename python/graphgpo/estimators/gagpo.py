"""GAGPO."""

from __future__ import annotations

from graphgpo.blocks import Difference, MeanReturn, Task, Term, Trace
from graphgpo.estimators import _options as opt
from graphgpo.estimators._base import REQUIRED
from graphgpo.estimators._parts import normaliser
from graphgpo.estimators._spread import StepEstimator


class GAGPO(StepEstimator):
    """A = sum_l (gamma lam)^l delta_(t+l) among the steps of the task, delta = r + gamma V(v)
    - V(u), V the mean return-to-go, 0 after the last step; alone.
    """

    source = "arXiv 2605.13217"
    mark = "R"

    gamma: float = opt.gamma(REQUIRED)
    lam: float = opt.lam(REQUIRED)
    success_reward: float = opt.success_reward(10.0)
    normalization: opt.Normalization = opt.normalization("mean_std")
    epsilon: float = opt.epsilon(1e-6)

    def terms(self) -> list[Term]:
        """The step term alone."""
        value = MeanReturn(self.gamma, self.success_reward)
        delta = Difference(value, self.gamma, rewards=True, success_reward=self.success_reward)
        how = normaliser(self.normalization, self.epsilon)
        return [Term(Trace(delta, self.lam), peers=Task(), normaliser=how), *self.spread_terms()]
