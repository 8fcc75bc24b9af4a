"""G2PO."""

from __future__ import annotations

from graphgpo.blocks import Difference, MeanReturn, SameState, Target, Task, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._parts import episode_term, normaliser
from graphgpo.estimators._spread import StepEstimator


class G2PO(StepEstimator):
    """A = A_E + w (node + edge), V(u) = mean over visits of gamma^(T-t) R: node, V(v) among the
    steps from the same state; edge, V(v) - V(u) among those of the task.
    """

    name = "g2po"
    source = "arXiv 2606.22995"
    mark = "C"

    gamma: float = opt.gamma(0.95)
    success_reward: float = opt.success_reward(10.0)
    normalization: opt.Normalization = opt.normalization("mean_std")
    epsilon: float = opt.epsilon(1e-6)
    step_weight: float = opt.step_weight(1.0)
    episode_weight: float = opt.episode_weight(1.0)
    episode_weighting: opt.EpisodeWeighting = opt.episode_weighting("trajectory")
    invalid_action_penalty: float = opt.invalid_action_penalty(0.0)

    def terms(self) -> list[Term]:
        """The node term, which alone takes the penalty, the edge term and the episode term."""
        how = normaliser(self.normalization, self.epsilon)
        value = MeanReturn(self.gamma, self.success_reward, of="outcome", end="success")
        penalty = self.invalid_action_penalty
        return [
            Term(Target(value), peers=SameState(), normaliser=how, penalty=penalty),
            Term(Difference(value), peers=Task(), normaliser=how),
            episode_term(how, self.episode_weighting, penalty),
            *self.spread_terms(),
        ]
