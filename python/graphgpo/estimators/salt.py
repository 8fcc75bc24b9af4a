"""SALT."""

from __future__ import annotations

from dataclasses import replace

from graphgpo.blocks import SameTransition, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._parts import episode_term, normaliser
from graphgpo.estimators._spread import StepEstimator


class SALT(StepEstimator):
    """A = mean of A_E over equal transitions (u, a, v) with equal (a, v) of the `history` steps
    before them; alone. Credit that good and bad trajectories share cancels.
    """

    source = "arXiv 2510.20022"
    mark = "R"

    history: int = opt.history(3)
    normalization: opt.Normalization = opt.normalization("mean_std")
    epsilon: float = opt.epsilon(1e-6)
    episode_weighting: opt.EpisodeWeighting = opt.episode_weighting("trajectory")

    def terms(self) -> list[Term]:
        """The episode term, averaged."""
        episode = episode_term(normaliser(self.normalization, self.epsilon), self.episode_weighting)
        return [replace(episode, average=SameTransition(self.history)), *self.spread_terms()]
