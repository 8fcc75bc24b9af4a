"""The steps a diagnosis looks at: plain columns, cut to a bounded number of whole rollouts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphgpo.keys import state_key
from graphgpo.states.column import element_list

MAX_STEPS = 3_000
"""Steps a diagnosis looks at; a few groups of a batch show its noise as well as all of them."""

MAX_CHARS = 4_000_000

COLUMNS = (
    "states",
    "next_states",
    "group_ids",
    "trajectory_ids",
    "step_ids",
    "actions",
    "mask",
)
"""What a diagnosis looks at, of the columns of a batch."""


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the batch."""

    row: int
    group: int
    rollout: int
    position: int
    """Of the step in its rollout, from 0."""
    state: Any
    next_state: Any
    """None where it is unknown."""
    action: Any


@dataclass(frozen=True, slots=True)
class Shares:
    """How the states of some steps recur."""

    steps: int
    states: int
    """Distinct states, each group's its own."""
    lone_steps: int
    """Steps whose state no other step of the group starts from: nothing to compare them with."""
    revisited_positions: float
    """Of the states that recur, the share seen at more than one position of a rollout. With a step
    counter in the state it is 0, however much merges; where rollouts walk about, near 1."""


def read_steps(given: Mapping[str, Any]) -> list[Step]:
    """The unmasked rows of a batch as steps, rollout by rollout and each in its order."""
    columns = {
        name: element_list(name, given[name]) for name in COLUMNS if given.get(name) is not None
    }
    num_rows = len(columns["states"])
    for name, column in columns.items():
        if len(column) != num_rows:
            raise ValueError(
                f"{name} has {len(column)} rows and states {num_rows}; expected as many"
            )

    rollouts: dict[tuple[Any, Any], list[int]] = defaultdict(list)
    for row in range(num_rows):
        if "mask" not in columns or columns["mask"][row]:
            rollouts[columns["group_ids"][row], columns["trajectory_ids"][row]].append(row)
    groups: dict[Any, int] = {}
    steps = []
    for rollout, ((group, _), rows) in enumerate(rollouts.items()):
        if "step_ids" in columns:
            rows.sort(key=columns["step_ids"].__getitem__)
        for position, row in enumerate(rows):
            if "next_states" in columns:
                next_state = columns["next_states"][row]
            else:
                is_last = position + 1 == len(rows)
                next_state = None if is_last else columns["states"][rows[position + 1]]
            steps.append(
                Step(
                    row=row,
                    group=groups.setdefault(group, len(groups)),
                    rollout=rollout,
                    position=position,
                    state=_comparable(columns["states"][row]),
                    next_state=_comparable(next_state),
                    action=_comparable(columns["actions"][row]) if "actions" in columns else None,
                )
            )
    return steps


def bounded(steps: list[Step]) -> list[Step]:
    """Whole groups, the first ones, up to `MAX_STEPS`; of a larger group its first rollouts."""
    if len(steps) <= MAX_STEPS and sum(_size(step) for step in steps) <= MAX_CHARS:
        return steps
    chosen: list[Step] = []
    num_chars = 0
    by_group = sorted(steps, key=lambda step: step.group)  # stable: rollouts stay whole
    for step in by_group:
        num_chars += _size(step)
        starts_rollout = step.position == 0
        is_full = len(chosen) >= MAX_STEPS or num_chars > MAX_CHARS
        if chosen and starts_rollout and is_full:
            break
        chosen.append(step)
    return chosen


def shares(steps: list[Step], states: list[Any] | None = None) -> Shares:
    """How their states recur, or `states` in their place."""
    seen: dict[tuple[int, Any], list[int]] = defaultdict(list)
    for i, step in enumerate(steps):
        seen[step.group, step.state if states is None else states[i]].append(step.position)
    recurring = [positions for positions in seen.values() if len(positions) > 1]
    revisited = sum(len(set(positions)) > 1 for positions in recurring)
    return Shares(
        steps=len(steps),
        states=len(seen),
        lone_steps=len(seen) - len(recurring),
        revisited_positions=revisited / len(recurring) if recurring else 0.0,
    )


def _size(step: Step) -> int:
    return len(step.state) if isinstance(step.state, str) else 0


def _comparable(value: Any) -> Any:
    """The value itself or, where it cannot be looked up, its stable key."""
    return value if value is None or isinstance(value, (str, int, bytes)) else state_key(value)
