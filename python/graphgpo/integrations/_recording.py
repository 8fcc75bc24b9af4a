"""Steps as a rollout loop records them, as columns of a batch, and back on the tokens."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphgpo.integrations import _fields
from graphgpo.integrations._wiring import Advice
from graphgpo.states.merging import as_normaliser

if TYPE_CHECKING:
    import torch

    from graphgpo.torch.arguments import Column

EXTRA_FIELD = "graphgpo"
"""Where a `StepRecorder` leaves its steps among the extra fields of a rollout."""

UNTIL_END = np.iinfo(np.int64).max  # a stop of None: spans are clipped to the response

_OPTIONAL = ("actions", "peer_keys", "rewards")  # may be absent from fields filled in by hand
_STEP_COLUMNS = ("step_ids", "states", "next_states", "starts", "stops", "action_valid", *_OPTIONAL)

_NO_VERDICT = "no verdict: cut off, or the environment died"
_NOT_KNOWN = "not known"


class StepRecorder:
    """Collects the steps of one rollout while it is played.

    Every field is taken as `graphgpo.compute_advantages` takes its column; what it would refuse is
    refused here, where it is written, with a `TypeError` or `ValueError` that names it.

    One row of the batch for the whole rollout: give every step the tokens it wrote, as positions
    in the response, and take `rollout_fields`.

    >>> steps = StepRecorder()
    >>> steps.add("hall", start=0, stop=5)
    >>> steps.add("kitchen", start=9, stop=12)  # 5..8 is what the environment said
    >>> fields = steps.rollout_fields(success=True, final_state="sink")
    >>> fields["graphgpo"]["states"], fields["graphgpo"]["next_states"]
    (['hall', 'kitchen'], ['kitchen', 'sink'])

    `normalise` takes the noise out of states where they are recorded: a
    `graphgpo.states.Normaliser`, its switches as a mapping, or True. The trainer's option of that
    name does the same when advantages are due, and sees what it merges; where `similar` and
    `node_history` need the whole group, they are the trainer's options only.

    `task_id` names the task in every batch (a game's seed, the number of a prompt in the data): a
    trainer with a memory needs it.

    One row per step: no positions, and `step_fields` gives one dict for each.

    >>> steps = StepRecorder()
    >>> steps.add("hall")
    >>> steps.add("kitchen")
    >>> [fields["graphgpo"]["states"] for fields in steps.step_fields(success=False)]
    [['hall'], ['kitchen']]
    """

    def __init__(self, *, normalise: Any = None, task_id: Any = None) -> None:
        self._normaliser = as_normaliser(normalise)
        self._task_id = None if task_id is None else _fields.identity("task_id", task_id)
        self.trajectory_id = uuid.uuid4().hex
        self._states: list[Any] = []
        self._starts: list[int] = []
        self._stops: list[int | None] = []
        self._action_valid: list[bool | None] = []
        self._actions: list[Any] = []
        self._peer_keys: list[Any] = []
        self._rewards: list[float | None] = []

    def __len__(self) -> int:
        return len(self._states)

    def add(
        self,
        state: Any,
        *,
        start: int = 0,
        stop: int | None = None,
        action: Any = None,
        action_valid: bool | None = None,
        reward: float | None = None,
        peer_key: Any = None,
    ) -> None:
        """A step from `state`, written as response tokens start..stop-1 (None: all that follow).

        A state is anything `graphgpo.compute_advantages` takes as one, as the environment shows it
        before the step: what two rollouts must share to be in the same situation, so no step
        counter and no history. `action`: what was done, of any kind a state may be, for estimators
        that compare actions; the action as the environment takes it, not the text around it.
        `action_valid` False: the environment could not make sense of the
        action; it costs `invalid_action_penalty`. None, not known, counts as valid. `reward`: what
        the environment gave for the step, on every step of a batch or on none. `peer_key`: steps
        with equal ones are compared, by estimators whose peers the user defines.
        """
        state = self._without_noise(_fields.state("state", state))
        start = _fields.position("start", start)
        if stop is not None:
            stop = _fields.position("stop", stop, at_least=start)
        action_valid = _fields.flag("action_valid", action_valid, unknown=_NOT_KNOWN)
        action = _fields.state("action", action, may_be_unknown=True)
        reward = _fields.reward("reward", reward)
        peer_key = _fields.state("peer_key", peer_key, may_be_unknown=True)
        self._states.append(state)
        self._starts.append(start)
        self._stops.append(stop)
        self._action_valid.append(action_valid)
        self._actions.append(action)
        self._peer_keys.append(peer_key)
        self._rewards.append(reward)

    def rollout_fields(self, *, success: bool | None, final_state: Any = None) -> dict[str, Any]:
        """Fields of the one row of the rollout.

        `success`: the rollout reached the goal; None: nobody knows (it was cut off, or its
        environment died), so that its outcome counts nowhere. `final_state`: what the
        last step led to; a rollout that failed can still have got close, so give it.
        """
        return {EXTRA_FIELD: self._steps(0, len(self), success, final_state)}

    def step_fields(self, *, success: bool | None, final_state: Any = None) -> list[dict[str, Any]]:
        """The same for one row per step, in order of the steps; each owns all its tokens."""
        whole_row = {"starts": [0], "stops": [None]}
        return [
            {EXTRA_FIELD: {**self._steps(step, step + 1, success, final_state), **whole_row}}
            for step in range(len(self))
        ]

    def _without_noise(self, state: Any) -> Any:
        if self._normaliser is None or not isinstance(state, str):
            return state
        return self._normaliser(state)

    def _steps(
        self, first: int, stop: int, success: bool | None, final_state: Any
    ) -> dict[str, Any]:
        success = _fields.flag("success", success, unknown=_NO_VERDICT)
        final_state = self._without_noise(
            _fields.state("final_state", final_state, may_be_unknown=True)
        )
        next_states = [*self._states[1:], final_state]
        return {
            "trajectory_id": _fields.identity("trajectory_id", self.trajectory_id),
            "task_id": self._task_id,
            "success": success,
            "step_ids": list(range(first, stop)),
            "states": self._states[first:stop],
            "next_states": next_states[first:stop],
            "starts": self._starts[first:stop],
            "stops": self._stops[first:stop],
            "action_valid": self._action_valid[first:stop],
            "actions": self._actions[first:stop],
            "peer_keys": self._peer_keys[first:stop],
            "rewards": self._rewards[first:stop],
        }


class RecordedSteps(NamedTuple):
    """Columns of recorded steps, one entry per step."""

    rows: NDArray[np.int64]
    """The row of the batch whose tokens the step wrote."""

    task_ids: Sequence[Any]
    """None: its recorder does not name the task."""

    step_ids: NDArray[np.int64]
    states: Sequence[Any]
    next_states: Sequence[Any]
    success: NDArray[np.bool_ | np.object_]
    """Bools; objects, if a rollout has no verdict (None)."""

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    action_valid: Sequence[bool]
    knows_action_valid: bool
    """Whether any step says if its action was valid."""

    actions: Sequence[Any] | None
    """None: no step has one."""

    peer_keys: Sequence[Any] | None
    """None: no step has one."""

    rewards: NDArray[np.float64] | None
    """None: no step has one."""


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
    checked = {row: _checked_steps(row, steps, advice) for row, steps in by_row.items()}
    columns = {
        name: [value for steps in checked.values() for value in steps[name]]
        for name in _STEP_COLUMNS
    }
    stops = [UNTIL_END if stop is None else stop for stop in columns["stops"]]
    action_valid = columns["action_valid"]
    counts = [len(steps["states"]) for steps in checked.values()]
    success = [steps["success"] for steps in checked.values()]
    has_verdicts = None not in success
    rows = np.repeat(np.array(list(checked), dtype=np.int64), counts)
    return RecordedSteps(
        rows=rows,
        task_ids=[
            steps["task_id"]
            for steps, count in zip(checked.values(), counts, strict=True)
            for _ in range(count)
        ],
        step_ids=np.array(columns["step_ids"], dtype=np.int64),
        states=columns["states"],
        next_states=columns["next_states"],
        success=np.repeat(np.array(success, dtype=bool if has_verdicts else object), counts),
        starts=np.array(columns["starts"], dtype=np.int64),
        stops=np.array(stops, dtype=np.int64),
        action_valid=[True if flag is None else flag for flag in action_valid],
        knows_action_valid=any(flag is not None for flag in action_valid),
        actions=_any_or_none(columns["actions"]),
        peer_keys=_any_or_none(columns["peer_keys"]),
        rewards=_all_or_none(columns["rewards"], columns["step_ids"], rows.tolist()),
    )


def _checked_steps(row: int, steps: Mapping[str, Any], advice: Advice) -> dict[str, Any]:
    """The fields of a row, which anyone may have filled in; optional ones may be absent."""
    unknown = [None] * len(_fields.column(f"states recorded in row {row}", steps.get("states", ())))
    steps = {**dict.fromkeys(_OPTIONAL, unknown), **steps}
    absent = [name for name in (*_STEP_COLUMNS, "success") if name not in steps]
    if absent:
        raise ValueError(
            f"the steps recorded in row {row} have no {', '.join(map(repr, absent))}. "
            f"{advice.record_steps}"
        )
    steps |= {
        name: _fields.column(f"{name} recorded in row {row}", steps[name]) for name in _STEP_COLUMNS
    }
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

    def column(name: str, read: Callable[[str, Any], Any]) -> list[Any]:
        return [
            read(f"{name}[{step}] recorded in row {row}", value)
            for step, value in enumerate(steps[name])
        ]

    starts = column("starts", _fields.position)
    stops = column("stops", _stop)
    for step, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        if stop is not None and stop < start:
            raise ValueError(
                f"stops[{step}] recorded in row {row} is {stop} and starts[{step}] is {start}; "
                "expected start <= stop"
            )
    if "trajectory_id" in steps:
        _fields.identity(f"trajectory_id recorded in row {row}", steps["trajectory_id"])
    task_id = steps.get("task_id")
    if task_id is not None:
        _fields.identity(f"task_id recorded in row {row}", task_id)
    return {
        "task_id": task_id,
        "success": _fields.flag(
            f"success recorded in row {row}", steps["success"], unknown=_NO_VERDICT
        ),
        "step_ids": column("step_ids", _fields.position),
        "states": column("states", _fields.state),
        "next_states": column("next_states", functools.partial(_fields.state, may_be_unknown=True)),
        "starts": starts,
        "stops": stops,
        "action_valid": column("action_valid", functools.partial(_fields.flag, unknown=_NOT_KNOWN)),
        "actions": column("actions", functools.partial(_fields.state, may_be_unknown=True)),
        "peer_keys": column("peer_keys", functools.partial(_fields.state, may_be_unknown=True)),
        "rewards": column("rewards", _fields.reward),
    }


def _stop(name: str, value: Any) -> int | None:
    return None if value is None else _fields.position(name, value)


def _any_or_none(values: list[Any]) -> list[Any] | None:
    return values if any(value is not None for value in values) else None


def _all_or_none(
    rewards: list[float | None], step_ids: list[int], rows: list[int]
) -> NDArray[np.float64] | None:
    missing = [step for step, reward in enumerate(rewards) if reward is None]
    if len(missing) == len(rewards):
        return None
    for step in missing[:1]:
        raise ValueError(
            f"step {step_ids[step]} recorded in row {rows[step]} has no reward but other steps "
            "have; expected one on every step (0 where the environment gives none), or on none"
        )
    return np.array(rewards, dtype=np.float64)


def on_tokens(
    step_values: Column, steps: RecordedSteps, response_mask: torch.Tensor
) -> torch.Tensor:
    """(B, T) float32: the value of its step on every token the policy wrote, 0 elsewhere."""
    from graphgpo.torch import spans_to_tokens

    return spans_to_tokens(
        step_values, steps.rows, steps.starts, steps.stops, response_mask=response_mask
    )


def num_tokens_without_step(steps: RecordedSteps, response_mask: torch.Tensor) -> int:
    """How many tokens the policy wrote are in no step."""
    from graphgpo.torch import tokens_without_span

    return int(tokens_without_span(steps.rows, steps.starts, steps.stops, response_mask).item())
