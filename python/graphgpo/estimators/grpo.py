"""GRPO."""

from __future__ import annotations

from graphgpo.blocks import Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._base import Estimator
from graphgpo.estimators._parts import episode_term, normaliser


class GRPO(Estimator):
    """A = (R - mean) / (std + epsilon) of the outcomes R of the task's trajectories; alone."""

    source = "arXiv 2402.03300"
    mark = "C"

    normalization: opt.Normalization = opt.normalization("mean_std")
    epsilon: float = opt.epsilon(1e-6)
    episode_weight: float = opt.episode_weight(1.0)
    episode_weighting: opt.EpisodeWeighting = opt.episode_weighting("trajectory")
    invalid_action_penalty: float = opt.invalid_action_penalty(0.0)

    def terms(self) -> list[Term]:
        """The episode term alone."""
        how = normaliser(self.normalization, self.epsilon)
        return [episode_term(how, self.episode_weighting, self.invalid_action_penalty)]
