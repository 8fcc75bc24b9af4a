"""Dr. GRPO."""

from __future__ import annotations

from graphgpo.blocks import Mean, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._base import Estimator
from graphgpo.estimators._parts import episode_term


class DrGRPO(Estimator):
    """A = R - mean of the outcomes R of the task's trajectories: GRPO without the division."""

    name = "dr_grpo"
    source = "arXiv 2503.20783"
    mark = "C"

    episode_weight: float = opt.episode_weight(1.0)
    episode_weighting: opt.EpisodeWeighting = opt.episode_weighting("trajectory")
    invalid_action_penalty: float = opt.invalid_action_penalty(0.0)

    def terms(self) -> list[Term]:
        """The episode term alone."""
        return [episode_term(Mean(), self.episode_weighting, self.invalid_action_penalty)]
