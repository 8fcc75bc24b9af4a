"""ECPO."""

from __future__ import annotations

from graphgpo.blocks import ActionEvidence, ActionMean, ReturnToGo, SameState, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._base import REQUIRED
from graphgpo.estimators._parts import episode_term, normaliser
from graphgpo.estimators._spread import StepEstimator


class ECPO(StepEstimator):
    """A = A_E + w rho(u) A_S, A_S the action's mean return-to-go, shrunk by kappa, among the steps
    from the same state, rho = tanh(n / tau) B / (B + W + epsilon).
    """

    source = "arXiv 2606.05885"
    mark = "R"

    tau: float = opt.tau(REQUIRED, meaning="How many steps from a state make evidence.")
    step_weight: float = opt.step_weight(REQUIRED)
    gamma: float = opt.gamma(0.95)
    kappa: float = opt.kappa(2.0)
    success_reward: float = opt.success_reward(10.0)
    normalization: opt.Normalization = opt.normalization("mean_std")
    epsilon: float = opt.epsilon(1e-6)
    episode_weight: float = opt.episode_weight(1.0)
    episode_weighting: opt.EpisodeWeighting = opt.episode_weighting("trajectory")

    def terms(self) -> list[Term]:
        """The step term, weighed by its evidence, and the episode term."""
        how = normaliser(self.normalization, self.epsilon)
        returns = ReturnToGo(self.gamma, self.success_reward)
        return [
            Term(
                ActionMean(returns, self.kappa),
                peers=SameState(),
                normaliser=how,
                modifiers=(ActionEvidence(returns, self.tau, self.epsilon),),
            ),
            episode_term(how, self.episode_weighting),
            *self.spread_terms(),
        ]
