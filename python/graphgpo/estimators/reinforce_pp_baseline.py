"""REINFORCE++ with a baseline."""

from __future__ import annotations

from typing import Literal

from graphgpo.blocks import Batch, Mean, MeanStd, Outcome, Standing, Task, Term, Unit
from graphgpo.estimators import _options as opt
from graphgpo.estimators._base import Estimator, option

UNITS: dict[str, Unit] = {"trajectory": "trajectories", "step": "steps"}


class ReinforcePPBaseline(Estimator):
    """A = x / sqrt(var + 1e-8) over the steps of the batch, x = R - mean outcome of the task.

    Statistics are the batch's, so the split of a batch over ranks changes them: compute it across
    ranks (`graphgpo.torch.distributed`).
    """

    name = "reinforce_pp_baseline"
    source = "arXiv 2501.03262"
    mark = "C"

    episode_weight: float = opt.episode_weight(1.0)
    episode_weighting: opt.EpisodeWeighting = opt.episode_weighting("trajectory")
    whitening: Literal["step", "trajectory"] = option(
        "step", None, "What the batch's variance counts once; the task's mean: `episode_weighting`."
    )

    def terms(self) -> list[Term]:
        """The episode term alone."""
        centred = Standing(Outcome(), Task(), Mean(), unit=UNITS[self.episode_weighting])
        whiten = MeanStd(epsilon=1e-8, inside=True)
        return [Term(centred, peers=Batch(), normaliser=whiten, unit=UNITS[self.whitening])]
