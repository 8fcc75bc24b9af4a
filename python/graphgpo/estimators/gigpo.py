"""GiGPO."""

from __future__ import annotations

from graphgpo.blocks import ReturnToGo, SameState, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._parts import episode_term, normaliser
from graphgpo.estimators._spread import StepEstimator


class GiGPO(StepEstimator):
    """A = A_E + w (G - mean) / (std + epsilon), G the return-to-go, among steps from a state."""

    name = "gigpo"
    source = "arXiv 2505.10978"
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
        """The step term and the episode term."""
        how = normaliser(self.normalization, self.epsilon)
        penalty = self.invalid_action_penalty
        returns = ReturnToGo(self.gamma, self.success_reward)
        return [
            Term(returns, peers=SameState(), normaliser=how, penalty=penalty),
            episode_term(how, self.episode_weighting, penalty),
            *self.spread_terms(),
        ]
