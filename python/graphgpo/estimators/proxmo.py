"""ProxMO."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graphgpo.blocks import Given, Mean, Needs, Polarised, Raw, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators import load
from graphgpo.estimators._base import POSITIVE, option
from graphgpo.estimators._parts import episode_term
from graphgpo.estimators._spread import StepEstimator
from graphgpo.estimators._tfidf import less_soft_means


class ProxMO(StepEstimator):
    """A = m(p) A_E + w A_S: A_S is the return-to-go less its mean over all steps of the task, each
    weighted by exp(similarity / temperature) of its state's text to this one's (TF-IDF cosine); A_E
    is the outcome less the task's mean, m(p) stresses rare successes and rare failures.

    States are texts. Words are weighed by the texts of the same task alone.
    """

    name = "proxmo"
    source = "arXiv 2602.19225"
    mark = "C"

    gamma: float = opt.gamma(0.95)
    success_reward: float = opt.success_reward(10.0)
    temperature: float = option(0.1, POSITIVE, "Of the softmax over similarities.")
    alpha: float = opt.alpha(4.0, meaning="Power of the success rate p, and of 1 - p, in m(p).")
    span: float = option(0.05, POSITIVE, "How far m(p) goes from 1.")
    step_weight: float = opt.step_weight(1.0)
    episode_weight: float = opt.episode_weight(1.0)
    episode_weighting: opt.EpisodeWeighting = opt.episode_weighting("trajectory")

    def terms(self) -> list[Term]:
        """The step term, compared with nothing more, and the episode term."""
        episode = episode_term(Mean(), self.episode_weighting)
        return [
            Term(Given(self._less_soft_mean), normaliser=Raw()),
            replace(episode, modifiers=(Polarised(self.alpha, self.span),)),
            *self.spread_terms(),
        ]

    @property
    def needs(self) -> Needs:
        """Those of its terms, and of the returns its function reads."""
        return super().needs | load("stepwise")().needs

    def _less_soft_mean(self, rollouts: Any) -> Any:
        options = {"gamma": self.gamma, "success_reward": self.success_reward}
        returns = rollouts.advantages("stepwise", **options).scores
        return less_soft_means(rollouts, returns, self.temperature)
