"""Steps as a rollout loop records them, as columns of a batch, and back on the tokens."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphgpo.integrations._wiring import Advice

if TYPE_CHECKING:
    import torch

    from graphgpo.torch import Column

EXTRA_FIELD = "graphgpo"
"""Where a `StepRecorder` leaves its steps among the extra fields of a rollout."""

UNTIL_END = np.iinfo(np.int64).max  # a stop of None: spans are clipped to the response

_STEP_COLUMNS = ("step_ids", "states", "next_states", "starts", "stops", "action_valid")


class StepRecorder:
    """Collects the steps of one rollout while it is played.

    One row of the batch for the whole rollout: give every step the tokens it wrote, as positions
    in the response, and take `rollout_fields`.

    >>> steps = StepRecorder()
    >>> steps.add("hall", start=0, stop=5)
    >>> steps.add("kitchen", start=9, stop=12)  # 5..8 is what the environment said
    >>> fields = steps.rollout_fields(success=True, final_state="sink")
    >>> fields["graphgpo"]["states"], fields["graphgpo"]["next_states"]
    (['hall', 'kitchen'], ['kitchen', 'sink'])

    One row per step: no positions, and `step_fields` gives one dict for each.

    >>> steps = StepRecorder()
    >>> steps.add("hall")
    >>> steps.add("kitchen")
    >>> [fields["graphgpo"]["states"] for fields in steps.step_fields(success=False)]
    [['hall'], ['kitchen']]
    """

    def __init__(self) -> None:
        self.trajectory_id = uuid.uuid4().hex
        self._states: list[Any] = []
        self._starts: list[int] = []
        self._stops: list[int | None] = []
        self._action_valid: list[bool | None] = []

    def __len__(self) -> int:
        return len(self._states)

    def add(
        self,
        state: Any,
        *,
        start: int = 0,
        stop: int | None = None,
        action_valid: bool | None = None,
    ) -> None:
        """A step from `state`, written as response tokens start..stop-1 (None: all that follow).

        A state is anything `graphgpo.compute_advantages` takes as one, as the environment shows it
        before the step: what two rollouts must share to be in the same situation, so no step
        counter and no history. `action_valid` False: the environment could not make sense of the
        action; it costs `invalid_action_penalty`. None, not known, counts as valid.
        """
        self._states.append(state)
        self._starts.append(start)
        self._stops.append(stop)
        self._action_valid.append(action_valid)

    def rollout_fields(self, *, success: bool, final_state: Any = None) -> dict[str, Any]:
        """Fields of the one row of the rollout.

        `success`: the rollout reached the goal. `final_state`: what the last step led to; a
        rollout that failed can still have got close, so give it.
        """
        return {EXTRA_FIELD: self._steps(0, len(self), success, final_state)}

    def step_fields(self, *, success: bool, final_state: Any = None) -> list[dict[str, Any]]:
        """The same for one row per step, in order of the steps; each owns all its tokens."""
        whole_row = {"starts": [0], "stops": [None]}
        return [
            {EXTRA_FIELD: {**self._steps(step, step + 1, success, final_state), **whole_row}}
            for step in range(len(self))
        ]

    def _steps(self, first: int, stop: int, success: bool, final_state: Any) -> dict[str, Any]:
        next_states = [*self._states[1:], final_state]
        return {
            "trajectory_id": self.trajectory_id,
            "success": bool(success),
            "step_ids": list(range(first, stop)),
            "states": self._states[first:stop],
            "next_states": next_states[first:stop],
            "starts": self._starts[first:stop],
            "stops": self._stops[first:stop],
            "action_valid": self._action_valid[first:stop],
        }


class RecordedSteps(NamedTuple):
    """Columns of recorded steps, one entry per step."""

    rows: NDArray[np.int64]
    """The row of the batch whose tokens the step wrote."""

    step_ids: NDArray[np.int64]
    states: Sequence[Any]
    next_states: Sequence[Any]
    success: NDArray[np.bool_]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    action_valid: Sequence[bool]
    knows_action_valid: bool
    """Whether any step says if its action was valid."""


def recorded_steps(by_row: Mapping[int, Any], advice: Advice) -> RecordedSteps:
    """The steps of all rows, each given as a `StepRecorder` leaves it.

    Raises
    ------
    ValueError
        If a row has no recorded steps, or a step no state, saying how to record them.
    """
    missing = [row for row, steps in by_row.items() if not isinstance(steps, Mapping)]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(by_row)} rows have no recorded states (the first is row "
            f"{missing[0]}), so GraphGPO has no graph to work on. {advice.record_steps}"
        )
    for row, steps in by_row.items():
        _check_steps(row, steps, advice)
    columns = {
        name: [value for steps in by_row.values() for value in steps[name]]
        for name in _STEP_COLUMNS
    }
    stops = [UNTIL_END if stop is None else stop for stop in columns["stops"]]
    action_valid = columns["action_valid"]
    counts = [len(steps["states"]) for steps in by_row.values()]
    success = np.array([steps["success"] for steps in by_row.values()], dtype=bool)
    return RecordedSteps(
        rows=np.repeat(np.array(list(by_row), dtype=np.int64), counts),
        step_ids=np.array(columns["step_ids"], dtype=np.int64),
        states=columns["states"],
        next_states=columns["next_states"],
        success=np.repeat(success, counts),
        starts=np.array(columns["starts"], dtype=np.int64),
        stops=np.array(stops, dtype=np.int64),
        action_valid=[True if flag is None else flag for flag in action_valid],
        knows_action_valid=any(flag is not None for flag in action_valid),
    )


def _check_steps(row: int, steps: Mapping[str, Any], advice: Advice) -> None:
    absent = [name for name in (*_STEP_COLUMNS, "success") if name not in steps]
    if absent:
        raise ValueError(
            f"the steps recorded in row {row} have no {', '.join(map(repr, absent))}. "
            f"{advice.record_steps}"
        )
    lengths = {name: len(steps[name]) for name in _STEP_COLUMNS}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"the steps recorded in row {row} have columns of different lengths: {lengths}"
        )
    for step, state in zip(steps["step_ids"], steps["states"], strict=True):
        if state is None:
            raise ValueError(
                f"step {step} recorded in row {row} has None for a state; expected what the "
                f"environment showed before it. {advice.record_steps}"
            )


def on_tokens(
    step_values: Column, steps: RecordedSteps, response_mask: torch.Tensor
) -> torch.Tensor:
    """(B, T) float32: the value of its step on every token the policy wrote, 0 elsewhere."""
    from graphgpo.torch import spans_to_tokens

    num_rows, width = response_mask.shape
    tokens = spans_to_tokens(
        step_values,
        rows=steps.rows,
        starts=steps.starts,
        stops=steps.stops,
        shape=(num_rows, width),
        device=response_mask.device,
    )
    return tokens * (response_mask != 0)


def num_tokens_without_step(steps: RecordedSteps, response_mask: torch.Tensor) -> int:
    """How many tokens the policy wrote are in no step."""
    in_step = on_tokens(np.ones(len(steps.rows)), steps, response_mask)
    return int(((response_mask != 0) & (in_step == 0)).sum().item())
