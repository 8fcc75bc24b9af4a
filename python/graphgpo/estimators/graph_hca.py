"""Graph-HCA."""

from __future__ import annotations

from graphgpo.blocks import BellmanMean, Log, SameState, Target, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._parts import episode_term, normaliser
from graphgpo.estimators._spread import StepEstimator


class GraphHCA(StepEstimator):
    """A = A_E + w A_S, A_S the gain log V(v) - log V(u) among the steps from the same state, V the
    Bellman mean, at least `floor`. V(u) cancels among them, so the target is scored.
    """

    name = "graph_hca"
    mark = "P"

    gamma: float = opt.discount(0.95)
    floor: float = opt.floor(0.01, meaning="Least value to take the logarithm of.")
    failed_end: opt.FailedEnd = opt.failed_end("leaf")
    normalization: opt.Normalization = opt.normalization("mean_std")
    epsilon: float = opt.epsilon(1e-6)
    step_weight: float = opt.step_weight(1.0)
    episode_weight: float = opt.episode_weight(1.0)
    episode_weighting: opt.EpisodeWeighting = opt.episode_weighting("trajectory")

    def terms(self) -> list[Term]:
        """The step term and the episode term."""
        how = normaliser(self.normalization, self.epsilon)
        value = Log(BellmanMean(self.gamma, self.failed_end), self.floor)
        return [
            Term(Target(value), peers=SameState(), normaliser=how),
            episode_term(how, self.episode_weighting),
            *self.spread_terms(),
        ]
