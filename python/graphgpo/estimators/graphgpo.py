"""GraphGPO."""

from __future__ import annotations

from typing import Any, Literal

from graphgpo.blocks import EdgeReturn, Mean, MeanStd, SameState, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._base import option
from graphgpo.estimators._parts import episode_term, normaliser
from graphgpo.estimators._spread import StepEstimator


class GraphGPO(StepEstimator):
    """A = A_E + w A_S, A_S the edge return success_reward omega^(d(target) + c) among the steps
    from the same state (Eq. 4); the defaults are the paper's equations.
    """

    name = "graphgpo"
    source = "arXiv 2605.26684"
    mark = "C"

    omega: float = opt.omega(0.1)
    success_reward: float = opt.success_reward(10.0)
    exponent: Literal["paper", "recipe", "progress"] = option(
        "paper", None, "The exponent of omega: d(v) + c, d(v) + c - 1, or d(v) - d(u) + c."
    )
    normalization: opt.Normalization = opt.normalization("mean_std")
    epsilon: float = opt.epsilon(1e-6)
    epsilon_scale: opt.EpsilonScale = opt.epsilon_scale("relative")
    step_weight: float = opt.step_weight(1.0)
    episode_weight: float = opt.episode_weight(1.0)
    episode_weighting: opt.EpisodeWeighting = opt.episode_weighting("trajectory")
    invalid_action_penalty: float = opt.invalid_action_penalty(0.0)

    def terms(self) -> list[Term]:
        """The step term and the episode term, which is always at absolute scale."""
        scale, penalty = self.epsilon_scale, self.invalid_action_penalty
        is_mean = self.normalization == "mean"
        how = Mean(scale) if is_mean else MeanStd(epsilon=self.epsilon, scale=scale)
        returns = EdgeReturn(self.omega, self.success_reward, self.exponent)
        return [
            Term(returns, peers=SameState(), normaliser=how, penalty=penalty),
            episode_term(
                normaliser(self.normalization, self.epsilon), self.episode_weighting, penalty
            ),
            *self.spread_terms(),
        ]

    @classmethod
    def recipe(cls, **changes: Any) -> GraphGPO:
        """The official recipe term by term (verl-agent `recipe/GraphGPO`), then `changes`."""
        recipe: dict[str, Any] = {
            "exponent": "recipe",
            "epsilon_scale": "absolute",
            "episode_weighting": "step",
            "invalid_action_penalty": 0.1,
        }
        return cls().replaced(**{**recipe, **changes})
