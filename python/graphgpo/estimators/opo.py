"""OPO."""

from __future__ import annotations

from graphgpo.blocks import Mean, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._base import Estimator
from graphgpo.estimators._parts import episode_term


class OPO(Estimator):
    """A = R - sum(T R) / sum(T): the baseline weighs each trajectory by its length T, in steps."""

    source = "arXiv 2505.23585"
    mark = "C"

    episode_weight: float = opt.episode_weight(1.0)

    def terms(self) -> list[Term]:
        """The episode term alone: a trajectory counts once a step."""
        return [episode_term(Mean(), "step")]
