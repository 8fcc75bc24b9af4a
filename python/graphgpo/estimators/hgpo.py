"""HGPO."""

from __future__ import annotations

from typing import Literal

from graphgpo.blocks import LastStates, Mean, MeanStd, Outcome, ReturnToGo, Task, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._base import EXPONENT, option
from graphgpo.estimators._spread import StepEstimator


class HGPO(StepEstimator):
    """A = sum_k w_k A_k / sum_k w_k: returns-to-go among steps whose last k states agree,
    k = 1 .. history + 1, w_k = k^alpha. Levels that say nothing about a step are left out.
    """

    source = "arXiv 2602.22817"
    mark = "C"

    gamma: float = opt.gamma(0.95)
    success_reward: float = opt.success_reward(10.0)
    history: int = opt.history(2)
    alpha: float = opt.alpha(1.0, allowed=EXPONENT, meaning="Power of a level's weight.")
    exponent: Literal["paper", "recipe"] = option(
        "paper", None, "The weight of level k: k^alpha, or (k + 1)^alpha as the recipe computes."
    )
    base: bool = option(False, None, "Whether GRPO's advantage is level 0.")
    normalization: opt.Normalization = opt.normalization("mean_std")
    epsilon: float = opt.epsilon(1e-6)
    invalid_action_penalty: float = opt.invalid_action_penalty(0.0)

    def terms(self) -> list[Term]:
        """The term over nested peers."""
        is_mean = self.normalization == "mean"
        nested = Mean() if is_mean else MeanStd(ddof=0, epsilon=self.epsilon)
        whole = Mean() if is_mean else MeanStd(epsilon=self.epsilon)
        penalty, shift = self.invalid_action_penalty, self.exponent == "recipe"
        levels = range(0 if self.base else 1, self.history + 2)
        return [
            Term(
                ReturnToGo(self.gamma, self.success_reward),
                peers=tuple(LastStates(k) for k in range(1, self.history + 2)),
                peer_weights=tuple(float((k + shift) ** self.alpha) for k in levels),
                base=Term(Outcome(), Task(), whole, penalty=penalty) if self.base else None,
                normaliser=nested,
                penalty=penalty,
            ),
            *self.spread_terms(),
        ]
