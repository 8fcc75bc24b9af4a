"""PGPO."""

from __future__ import annotations

from graphgpo.blocks import Difference, FailureRate, MeanReturn, ReturnToGo, SameState, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._parts import normaliser
from graphgpo.estimators._spread import StepEstimator


class PGPO(StepEstimator):
    """A = A_S + beta (1-p)^alpha A_phi: returns-to-go (gamma .95), and the gain V(v) - V(u) of the
    mean return (undiscounted; R - V(u) at the end), each among the steps from the same state. No
    episode term.
    """

    mark = "P"

    gamma: float = opt.gamma(0.95)
    alpha: float = opt.alpha(2.0, meaning="Power of the task's failure rate 1 - p.")
    beta: float = opt.beta(1.0, meaning="Weight of the potential's term.")
    success_reward: float = opt.success_reward(10.0)
    normalization: opt.Normalization = opt.normalization("mean_std")
    epsilon: float = opt.epsilon(1e-6)
    invalid_action_penalty: float = opt.invalid_action_penalty(0.0)

    def terms(self) -> list[Term]:
        """Two step terms."""
        how = normaliser(self.normalization, self.epsilon)
        penalty = self.invalid_action_penalty
        value = MeanReturn(1.0, self.success_reward, end="outcome", penalty=penalty)
        returns = ReturnToGo(self.gamma, self.success_reward)
        return [
            Term(returns, peers=SameState(), normaliser=how, penalty=penalty),
            Term(
                Difference(value),
                peers=SameState(),
                normaliser=how,
                modifiers=(FailureRate(self.alpha, self.beta),),
            ),
            *self.spread_terms(),
        ]
