"""What `compute_advantages` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True, slots=True, eq=False)
class StepAdvantages:
    """Credit for every step of a batch: (N,) arrays in the order of the input rows.

    A masked row has advantages and peers 0, scores and distances NaN and ids -1.
    `np.asarray(result)` is `result.advantages`.
    """

    advantages: NDArray[np.float32]
    """step_weight * step_advantages + episode_weight * episode_advantages."""

    step_advantages: NDArray[np.float32]
    """The sum of the estimator's terms that differ along a trajectory; 0 if it has none."""

    episode_advantages: NDArray[np.float32]
    """The sum of its terms that are one number per trajectory; 0 if it has none."""

    scores: NDArray[np.float64]
    """The first term's score before any penalty: of "graphgpo" the edge return of Eq. 4, of "gigpo"
    the discounted return-to-go, of "grpo" the outcome. NaN where it is unknown."""

    distances: NDArray[np.float64]
    """Least total cost from the step's state to the goal; d_max + c_max where there is no way."""

    next_distances: NDArray[np.float64]
    """The same for the state the step leads to; 0 at the goal."""

    state_ids: NDArray[np.int64]
    """Node of the step's state, dense over the batch."""

    next_state_ids: NDArray[np.int64]
    """Node the step leads to: a state, the group's GOAL, or a leaf of its own."""

    num_peers: NDArray[np.int32]
    """How many known scores the first term's was compared with, its own included, steps or
    trajectories as the term counts; 0 if it is compared with nothing."""

    metrics: dict[str, float] = field(repr=False)
    """Flat `graphgpo/...` numbers for a logger; copies of a row are counted once."""

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.advantages, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.advantages)
