"""Terms that several estimators share."""

from __future__ import annotations

from graphgpo.blocks import Mean, MeanStd, Normaliser, Outcome, Task, Term
from graphgpo.estimators._options import EpisodeWeighting, Normalization


def normaliser(normalization: Normalization, epsilon: float) -> Normaliser:
    """The two normalisers of the option `normalization`, at absolute scale."""
    return Mean() if normalization == "mean" else MeanStd(epsilon=epsilon)


def episode_term(
    normaliser: Normaliser, weighting: EpisodeWeighting = "trajectory", penalty: float = 0.0
) -> Term:
    """GRPO's advantage, A_E; only where it counts steps a penalty lowers their score."""
    return Term(
        Outcome(),
        peers=Task(),
        normaliser=normaliser,
        unit="trajectories" if weighting == "trajectory" else "steps",
        penalty=0.0 if weighting == "trajectory" else penalty,
    )
