"""What an estimator says of every step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StepAdvantages:
    """Credit for every step of a batch: (N,) arrays in the order of the input rows.

    A masked row has advantages 0, scores and distances NaN, ids -1 and no peers.
    `np.asarray(result)` is `result.advantages`.
    """

    advantages: NDArray[np.float32]
    """step_weight * step_advantages + episode_weight * episode_advantages."""

    step_advantages: NDArray[np.float32]
    """Sum of the terms that differ along a trajectory."""

    episode_advantages: NDArray[np.float32]
    """Sum of the terms that are one number per trajectory."""

    scores: NDArray[np.float64]
    """The first term's score before it was compared: GraphGPO's edge return (Eq. 4), GiGPO's
    discounted return, GRPO's outcome. NaN: unknown."""

    distances: NDArray[np.float64]
    """Least total cost from the step's state to the goal; d_max + c_max where there is no way."""

    next_distances: NDArray[np.float64]
    """The same for the state the step leads to; 0 at the goal."""

    state_ids: NDArray[np.int64]
    """Node of the step's state, dense over the batch."""

    next_state_ids: NDArray[np.int64]
    """Node the step leads to: a state, the group's GOAL, or a leaf of its own."""

    num_peers: NDArray[np.int32]
    """With how many scores that one was compared, its own among them."""

    metrics: dict[str, float] = field(repr=False)
    """Flat `graphgpo/...` numbers for a logger; copies of a row are counted once."""

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.advantages, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.advantages)

    def __repr__(self) -> str:
        m = {name.removeprefix("graphgpo/"): value for name, value in self.metrics.items()}
        return (
            f"StepAdvantages({m['num_steps']:.0f} steps, {m['num_trajectories']:.0f} rollouts, "
            f"{m['num_groups']:.0f} groups; {1 - m['zero_advantage_share']:.0%} of the steps with "
            f"credit, merge_ratio {m['merge_ratio']:.2f})"
        )
