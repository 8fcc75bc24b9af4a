"""REINFORCE++."""

from __future__ import annotations

from graphgpo.blocks import Batch, MeanStd, ReturnToGo, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._base import Estimator


class ReinforcePP(Estimator):
    """A = (G - mean) / sqrt(var + 1e-8) of the returns-to-go G of all steps of the batch.

    Statistics are the batch's, so the split of a batch over ranks changes them: compute it across
    ranks (`graphgpo.torch.distributed`).
    """

    name = "reinforce_pp"
    source = "arXiv 2501.03262"
    mark = "C"

    gamma: float = opt.gamma(1.0)
    success_reward: float = opt.success_reward(10.0)
    step_weight: float = opt.step_weight(1.0)

    def terms(self) -> list[Term]:
        """The step term alone."""
        whiten = MeanStd(epsilon=1e-8, inside=True)
        return [Term(ReturnToGo(self.gamma, self.success_reward), peers=Batch(), normaliser=whiten)]
