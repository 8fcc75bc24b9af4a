"""What `compute_advantages` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True, slots=True, eq=False)
class StepAdvantages:
    """Credit for every step of a batch: (N,) arrays in the order of the input rows.

    A masked row has advantages 0, returns and distances NaN and ids -1. `np.asarray(result)` is
    `result.advantages`.
    """

    advantages: NDArray[np.float32]
    """step_weight * step_advantages + episode_weight * episode_advantages."""

    step_advantages: NDArray[np.float32]
    """The step's return compared with those of all steps from the same state (0 with "grpo")."""

    episode_advantages: NDArray[np.float32]
    """The trajectory's outcome compared with those of its group."""

    edge_returns: NDArray[np.float64]
    """R of Eq. 4 before any penalty; with "gigpo" the discounted return-to-go."""

    distances: NDArray[np.float64]
    """Least total cost from the step's state to the goal; d_max + c_max where there is no way."""

    next_distances: NDArray[np.float64]
    """The same for the state the step leads to; 0 at the goal."""

    state_ids: NDArray[np.int64]
    """Node of the step's state, dense over the batch."""

    next_state_ids: NDArray[np.int64]
    """Node the step leads to: a state, the group's GOAL, or a leaf of its own."""

    metrics: dict[str, float] = field(repr=False)
    """Flat `graphgpo/...` numbers for a logger; copies of a row are counted once."""

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.advantages, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.advantages)
