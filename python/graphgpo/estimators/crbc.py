"""CRBC."""

from __future__ import annotations

from graphgpo.blocks import ActionMean, BellmanMean, FlooredStd, SameState, Seen, Target, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._parts import episode_term, normaliser
from graphgpo.estimators._spread import StepEstimator


class CRBC(StepEstimator):
    """A = A_E + w (Q(u,a) - mean) / max(std, floor) over the steps from the same state, Q the mean
    Bellman-mean value of what the action led to; 0 where fewer than two actions were seen. Without
    `actions` the target stands for the action.
    """

    mark = "P"

    gamma: float = opt.discount(0.98)
    floor: float = opt.floor(0.1, meaning="Least standard deviation to divide by.")
    failed_end: opt.FailedEnd = opt.failed_end("leaf")
    normalization: opt.Normalization = opt.normalization("mean_std")
    epsilon: float = opt.epsilon(1e-6)
    step_weight: float = opt.step_weight(5.0)
    episode_weight: float = opt.episode_weight(1.0)
    episode_weighting: opt.EpisodeWeighting = opt.episode_weighting("trajectory")

    def terms(self) -> list[Term]:
        """The step term, gated, and the episode term."""
        value = Target(BellmanMean(self.gamma, self.failed_end))
        return [
            Term(
                ActionMean(value, unknown="target"),
                peers=SameState(),
                normaliser=FlooredStd(self.floor),
                modifiers=(Seen("actions", at_least=2),),
            ),
            episode_term(normaliser(self.normalization, self.epsilon), self.episode_weighting),
            *self.spread_terms(),
        ]
