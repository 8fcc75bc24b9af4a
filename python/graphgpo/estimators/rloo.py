"""RLOO."""

from __future__ import annotations

from graphgpo.blocks import LeaveOneOut, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._base import Estimator
from graphgpo.estimators._parts import episode_term


class RLOO(Estimator):
    """A = R - mean outcome of the task's other trajectories."""

    source = "arXiv 2402.14740"
    mark = "C"

    episode_weight: float = opt.episode_weight(1.0)
    episode_weighting: opt.EpisodeWeighting = opt.episode_weighting("trajectory")

    def terms(self) -> list[Term]:
        """The episode term alone."""
        return [episode_term(LeaveOneOut(), self.episode_weighting)]
