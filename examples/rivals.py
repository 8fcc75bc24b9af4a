"""Remedies of others for groups that nobody won, as estimators of one's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphgpo
from graphgpo.blocks import Given, Raw, Term


def among_virtual_best(rollouts: graphgpo.Rollouts) -> NDArray[np.float64]:
    """(N,) advantage of each row's rollout in its group and one more rollout that won.

    NGRPO's calibration (arXiv 2509.18851): a group of failures has equal negative advantages.
    """
    columns: dict[str, Any] = dict(rollouts.columns)
    groups, trajectories = np.array(columns["group_ids"]), np.array(columns["trajectory_ids"])
    won = np.array(columns["success"], dtype=float)
    advantages = np.empty(len(won))
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        _, of_row = np.unique(trajectories[rows], return_inverse=True)
        outcomes = np.zeros(of_row.max() + 1)
        np.maximum.at(outcomes, of_row, won[rows])
        with_best = np.append(outcomes, 1.0)
        scaled = (outcomes - with_best.mean()) / (with_best.std(ddof=1) + 1e-6)
        advantages[rows] = scaled[of_row]
    return advantages


class NGRPO(graphgpo.Estimator):
    """GRPO with a virtual best sample in every group."""

    def terms(self) -> list[Term]:
        return [Term(Given(among_virtual_best), normaliser=Raw())]


class GraphNGRPO(graphgpo.Estimator):
    """GraphGPO's step term beside it."""

    def terms(self) -> list[Term]:
        step, *_ = graphgpo.GraphGPO().terms()
        return [step, Term(Given(among_virtual_best), normaliser=Raw())]
