"""Progress for failed groups."""

from __future__ import annotations

from graphgpo.blocks import MeanStd, NewStates, NobodyWon, Task, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._base import FINITE, Estimator, option
from graphgpo.estimators._parts import episode_term, normaliser


class Progress(Estimator):
    """A = A_E + weight f z, z the z-score, within a group that nobody won, of the share of a
    trajectory's steps that lead to states new to it, f the share of such groups in the batch.

    f makes it batch-wide: compute it across ranks (`graphgpo.torch.distributed`).
    """

    source = "arXiv 2607.22724"
    mark = "R"

    weight: float = option(0.3, FINITE, "Weight of the z-score.")
    floor: float = opt.floor(1e-4, meaning="Least standard deviation; below it the term is off.")
    normalization: opt.Normalization = opt.normalization("mean_std")
    epsilon: float = opt.epsilon(1e-6)
    episode_weight: float = opt.episode_weight(1.0)
    episode_weighting: opt.EpisodeWeighting = opt.episode_weighting("trajectory")

    def terms(self) -> list[Term]:
        """Two episode terms; the second only where nobody won."""
        return [
            episode_term(normaliser(self.normalization, self.epsilon), self.episode_weighting),
            Term(
                NewStates(),
                peers=Task(),
                normaliser=MeanStd(ddof=0, epsilon=self.epsilon, off_below=self.floor),
                unit="trajectories",
                modifiers=(NobodyWon(times_share=True),),
                weight=self.weight,
            ),
        ]
