"""What an estimator says of every step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    from graphgpo.estimators import Estimator
    from graphgpo.problems.problem import Problems
    from graphgpo.rollouts import Rollouts
    from graphgpo.torch.device import HostCopy


class Asked(NamedTuple):
    """What a result answers."""

    rollouts: Rollouts | HostCopy
    estimator: Estimator


class _Answer:
    """Room for what was asked: no column of the result, and left behind when it travels."""

    __slots__ = ("_asked",)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StepAdvantages(_Answer):
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

    @property
    def asked(self) -> Asked | None:
        """What this answers; keeps the batch alive. None: computed elsewhere, as across ranks."""
        asked: Asked | None = getattr(self, "_asked", None)
        return asked

    def answering(self, rollouts: Rollouts | HostCopy, estimator: Estimator) -> StepAdvantages:
        """The same object, which from now on knows what it answers."""
        object.__setattr__(self, "_asked", Asked(rollouts, estimator))
        return self

    def with_arrays(self, changed: Callable[[Any], Any]) -> StepAdvantages:
        """The same metrics, and each array changed. It no longer knows what it answers."""
        names = (one.name for one in fields(self) if one.name != "metrics")
        return replace(self, **{name: changed(getattr(self, name)) for name in names})

    def problems(self) -> Problems:
        """What is probably wrong with the batch, the most certain first; none hides another.

        Looks at the states of up to 3,000 steps, which takes a second or so; at those of tensors on
        a device, in a copy. Prints readably.

        >>> import graphgpo
        >>> rooms = ["hall", "kitchen", "bath", "hall", "bath", "kitchen"] * 8
        >>> result = graphgpo.compute_advantages(
        ...     [f"10:03:{i:02} {room}" for i, room in enumerate(rooms)],
        ...     group_ids=[0] * 48,
        ...     trajectory_ids=[i // 6 for i in range(48)],
        ...     success=[i // 6 % 2 == 0 for i in range(48)],
        ... )
        >>> result.problems().named("noise").remedy
        "normalise={'timestamps': True}"
        """
        from graphgpo.problems import problems_of
        from graphgpo.problems.problem import Problems

        if self.asked is None:
            return Problems()
        rollouts = self.asked.rollouts.in_host_memory()
        return problems_of(self.metrics, self.asked.estimator, rollouts)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.advantages, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.advantages)

    def __repr__(self) -> str:
        return f"StepAdvantages({self._in_short()})"

    def _repr_html_(self) -> str:
        return f"<code>StepAdvantages</code> {escape(self._in_short())}"

    def _in_short(self) -> str:
        from graphgpo.problems.problem import counted
        from graphgpo.problems.search import problems_of

        m = {name.removeprefix("graphgpo/"): value for name, value in self.metrics.items()}
        found = () if self.asked is None else problems_of(self.metrics, self.asked.estimator)
        told = f"; {counted(len(found), 'problem')}, see problems()" if found else ""
        return (
            f"{counted(m['num_steps'], 'step')}, {counted(m['num_trajectories'], 'rollout')}, "
            f"{counted(m['num_groups'], 'group')}; {1 - m['zero_advantage_share']:.0%} of the "
            f"steps with credit, merge_ratio {m['merge_ratio']:.2f}{told}"
        )
