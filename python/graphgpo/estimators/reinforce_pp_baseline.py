"""REINFORCE++ with a baseline."""

from __future__ import annotations

from graphgpo.blocks import Batch, Mean, MeanStd, Outcome, Standing, Task, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._base import Estimator


class ReinforcePPBaseline(Estimator):
    """A = x / sqrt(var + 1e-8) over the steps of the batch, x = R - mean outcome of the task.

    Statistics are the batch's, so the split of a batch over ranks changes them: compute it across
    ranks (`graphgpo.torch.distributed`).
    """

    name = "reinforce_pp_baseline"
    source = "arXiv 2501.03262"
    mark = "C"

    episode_weight: float = opt.episode_weight(1.0)
    episode_weighting: opt.EpisodeWeighting = opt.episode_weighting("step")

    def terms(self) -> list[Term]:
        """The episode term alone; the task's mean counts each trajectory once."""
        unit = "trajectories" if self.episode_weighting == "trajectory" else "steps"
        centred = Standing(Outcome(), Task(), Mean(), unit="trajectories")
        whiten = MeanStd(epsilon=1e-8, inside=True)
        return [Term(centred, peers=Batch(), normaliser=whiten, unit=unit)]
