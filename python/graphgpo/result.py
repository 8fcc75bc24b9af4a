"""What `compute_advantages` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Float32T = TypeVar("Float32T")
Float64T = TypeVar("Float64T")
Int64T = TypeVar("Int64T")


@dataclass(frozen=True, slots=True, eq=False)
class Credit(Generic[Float32T, Float64T, Int64T]):
    """Credit for every step of a batch, in arrays of whatever kind."""

    advantages: Float32T
    """step_weight * step_advantages + episode_weight * episode_advantages."""

    step_advantages: Float32T
    """The step's return compared with those of all steps from the same state (0 with "grpo")."""

    episode_advantages: Float32T
    """The trajectory's outcome compared with those of its group."""

    edge_returns: Float64T
    """R of Eq. 4 before any penalty; with "gigpo" the discounted return-to-go."""

    distances: Float64T
    """Least total cost from the step's state to the goal; d_max + c_max where there is no way."""

    next_distances: Float64T
    """The same for the state the step leads to; 0 at the goal."""

    state_ids: Int64T
    """Node of the step's state, dense over the batch."""

    next_state_ids: Int64T
    """Node the step leads to: a state, the group's GOAL, or a leaf of its own."""

    metrics: dict[str, float] = field(repr=False)
    """Flat `graphgpo/...` numbers for a logger; copies of a row are counted once."""

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.advantages, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.advantages)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class StepAdvantages(Credit[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]):
    """Credit for every step of a batch: (N,) arrays in the order of the input rows.

    A masked row has advantages 0, returns and distances NaN and ids -1. `np.asarray(result)` is
    `result.advantages`.
    """
