"""RewardFlow."""

from __future__ import annotations

from graphgpo.blocks import Difference, ReachValue, SameState, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._parts import episode_term, normaliser
from graphgpo.estimators._spread import StepEstimator


class RewardFlow(StepEstimator):
    """A = A_E + w A_S, A_S the step's gain V(v) - V(u) of V = success_reward gamma^d among the
    steps from the same state; V is 0 where the goal cannot be reached.
    """

    name = "rewardflow"
    source = "arXiv 2603.18859"
    mark = "C"

    gamma: float = opt.discount(0.9)
    success_reward: float = opt.success_reward(10.0)
    normalization: opt.Normalization = opt.normalization("mean")
    epsilon: float = opt.epsilon(1e-6)
    step_weight: float = opt.step_weight(1.0)
    episode_weight: float = opt.episode_weight(1.0)
    episode_weighting: opt.EpisodeWeighting = opt.episode_weighting("trajectory")
    invalid_action_penalty: float = opt.invalid_action_penalty(0.0)

    def terms(self) -> list[Term]:
        """The step term and the episode term."""
        how = normaliser(self.normalization, self.epsilon)
        gain = Difference(ReachValue(self.gamma, self.success_reward))
        penalty = self.invalid_action_penalty
        return [
            Term(gain, peers=SameState(), normaliser=how, penalty=penalty),
            episode_term(how, self.episode_weighting, penalty),
            *self.spread_terms(),
        ]
