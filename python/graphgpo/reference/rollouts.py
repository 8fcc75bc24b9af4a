"""Rows to steps, steps to trajectories, trajectories to groups."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphgpo import estimators
from graphgpo.columns import COLUMNS
from graphgpo.reference.columns import check_columns, check_ids, check_kinds, is_unknown, read
from graphgpo.reference.merging import merged, remember
from graphgpo.reference.states import plain
from graphgpo.result import StepAdvantages
from graphgpo.states.merging import Merging


@dataclass(eq=False)
class Step:
    """One step of one trajectory: a row, and the rows that repeat it."""

    row: int
    copies: list[int]
    values: dict[str, Any]
    """What its row holds in every column: of states, ids and keys the canonical form."""
    group: Group
    trajectory: Trajectory
    given: Hashable
    """Its state as it came, before noise was taken out."""

    index: int = -1
    """Its position in `Rollouts.steps`."""
    turn: int = -1
    following: Step | None = None
    source: int = -1
    target: int = -1

    @property
    def cost(self) -> float:
        cost = self.values["edge_costs"]
        return 1.0 if cost is None else float(cost)

    @property
    def is_invalid(self) -> bool:
        return self.values["action_valid"] is False

    @property
    def wins(self) -> bool:
        return self.following is None and self.trajectory.succeeded


@dataclass(eq=False)
class Trajectory:
    """The steps of one rollout, in their order."""

    steps: list[Step] = field(default_factory=list)
    succeeded: bool = False
    has_verdict: bool = True

    @property
    def outcome(self) -> float:
        """Its episode return, else its summed rewards, else success as 1 and 0; NaN: unknown."""
        if not self.has_verdict:
            return math.nan
        first = self.steps[0].values
        if first["episode_returns"] is not None:
            return float(first["episode_returns"])
        if first["rewards"] is not None:
            return math.fsum(step.values["rewards"] for step in self.steps)
        return float(self.succeeded)


@dataclass(eq=False)
class Group:
    """All trajectories of one task."""

    index: int
    trajectories: dict[Hashable, Trajectory] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    nodes: range = range(0)
    goal: int | None = None


@dataclass(eq=False)
class Rollouts:
    """A batch. A function in a `Given` may use its `columns`, `graph` and `advantages`."""

    columns: dict[str, Any]
    """The caller's columns, by name; those that were not given are None."""
    groups: list[Group]
    steps: list[Step]
    masked: list[int]
    """Rows that do not exist."""
    similar: list[int]
    """Near-duplicates that vanish, and the most texts that count as one state."""
    num_nodes: int = 0
    distances: dict[int, float] = field(default_factory=dict)
    """By node, of those that reach a goal."""
    unreachable: list[float] = field(default_factory=list)
    """By group: what stands for the distance of the others."""

    def distance(self, group: Group, node: int) -> float:
        return self.distances.get(node, self.unreachable[group.index])

    @property
    def num_rows(self) -> int:
        return len(self.columns["states"])

    @property
    def trajectories(self) -> list[Trajectory]:
        return [t for group in self.groups for t in group.trajectories.values()]

    def has(self, name: str) -> bool:
        return self.columns[name] is not None

    def keys(self, name: str) -> list[Hashable]:
        """A column every step must have a value in."""
        for step in self.steps:
            if step.values[name] is None:
                raise ValueError(f"{name}[{step.row}] is null; expected a value")
        return [step.values[name] for step in self.steps]

    def actions(self) -> list[Hashable]:
        """What was done at each step; without the column the target stands for it."""
        return self.keys("actions") if self.has("actions") else [s.target for s in self.steps]

    def graph(self) -> Any:
        """The merged graph, as arrays."""
        from graphgpo.reference.graph import exported

        return exported(self)

    def advantages(self, estimator: Any = "graphgpo", **options: Any) -> StepAdvantages:
        """What another estimator makes of the same columns."""
        from graphgpo.reference import credit

        return credit(estimators.make(estimator, options), self)


def read_rollouts(columns: dict[str, Any], merging: Merging | None = None) -> Rollouts:
    """The steps of a batch: masked rows do not exist, copies of a step are one step."""
    check_columns(columns)
    rows = range(len(columns["states"]))
    mask = columns["mask"]
    masked = [row for row in rows if mask is not None and not read("mask", mask, row)]
    unmasked = sorted(set(rows) - set(masked))
    merging = merging or Merging()
    given, (columns, *similar) = columns, merged(columns, merging, unmasked)
    groups: dict[Hashable, Group] = {}
    steps: dict[Hashable, Step] = {}
    for row in unmasked:
        values = _values(columns, row)
        group = groups.setdefault(values["group_ids"], Group(len(groups)))
        trajectory = group.trajectories.setdefault(values["trajectory_ids"], Trajectory())
        step = Step(row, [], values, group, trajectory, read("states", given["states"], row))
        key = (values["group_ids"], values["trajectory_ids"], values["step_ids"])
        first = step if values["step_ids"] is None else steps.setdefault(key, step)
        if first is step:
            trajectory.steps.append(step)
            group.steps.append(step)
        else:
            _check_copy(first, step)
            first.copies.append(row)
    check_ids(columns, unmasked)
    for group in groups.values():
        for trajectory in group.trajectories.values():
            _arrange(trajectory, columns)
            if merging.node_history > 1:
                remember(trajectory, merging.node_history)
    all_steps = [step for group in groups.values() for step in group.steps]
    for index, step in enumerate(all_steps):
        step.index = index
    if columns["next_states"] is not None:
        states, nexts = ([s.values[n] for s in all_steps] for n in ("states", "next_states"))
        check_kinds(columns, (states, nexts))
    return Rollouts(given, list(groups.values()), all_steps, masked, similar)


def _values(columns: Mapping[str, Any], row: int) -> dict[str, Any]:
    """What a row holds in every column, and that it holds what it must."""
    values: dict[str, Any] = dict.fromkeys(COLUMNS)
    for name, column in columns.items():
        if column is not None and not (name == "episode_returns" and _is_open(columns, row)):
            values[name] = read(name, column, row)
    if values["states"] is None:
        raise ValueError(f"states[{row}] is None; expected a value")
    if values["edge_costs"] is not None and values["edge_costs"] <= 0:
        raise ValueError(
            f"edge_costs[{row}] is {values['edge_costs']!r}; expected a finite number > 0"
        )
    return values


def _is_open(columns: Mapping[str, Any], row: int) -> bool:
    """Whether a row has neither a verdict nor a return: fine in a rollout without a verdict."""
    has_verdict = columns["success"] is None or plain(columns["success"][row]) is not None
    return not has_verdict and is_unknown(columns["episode_returns"], row)


def _check_copy(step: Step, copy: Step) -> None:
    """Rows of one step agree in every column."""
    for name in COLUMNS:
        if step.values[name] != copy.values[name]:
            raise ValueError(
                f"{name}[{copy.row}] differs from that of row {step.row}; rows with the same "
                "group, trajectory and step id are copies of one step"
            )


def _arrange(trajectory: Trajectory, columns: Mapping[str, Any]) -> None:
    """Order the steps of a trajectory, link them, and find out whether it succeeded."""
    has_next_states, has_step_ids = (columns[n] is not None for n in ("next_states", "step_ids"))
    steps = trajectory.steps
    if has_step_ids:
        steps.sort(key=lambda step: step.values["step_ids"])
    for turn, step in enumerate(steps):
        step.turn = turn
    for step, following in itertools.pairwise(steps):
        step.following = following
        if has_next_states and step.values["next_states"] is None:
            raise ValueError(
                f"next_states[{step.row}] is None; expected a value, because its trajectory "
                f"goes on at row {following.row}"
            )
        order, after = step.values["step_ids"], following.values["step_ids"]
        if not has_next_states and has_step_ids and after != order + 1:
            raise ValueError(
                f"step_ids[{following.row}] is {after}, after {order} in row "
                f"{step.row}; expected no gap, because there are no next_states"
            )
    if columns["success"] is not None:
        _judge(trajectory)
    for step in steps:
        here, first = (s.values["episode_returns"] for s in (step, steps[0]))
        if here != first:
            raise ValueError(
                f"episode_returns[{step.row}] is {here} but row {steps[0].row} "
                f"has {first}; expected one value per trajectory"
            )


def _judge(trajectory: Trajectory) -> None:
    """Success, failure or no verdict."""
    last = trajectory.steps[-1]
    for step in trajectory.steps:
        here, at_the_end = (s.values["success"] for s in (step, last))
        if (here is None) != (at_the_end is None):
            raise ValueError(
                f"success[{step.row}] is {here} but row {last.row} of its trajectory has "
                f"{at_the_end}; expected None on every row of a rollout without a verdict, or on "
                "none"
            )
    trajectory.has_verdict = last.values["success"] is not None
    if not trajectory.has_verdict:
        return
    for step in trajectory.steps:
        if step.values["success"] and not last.values["success"]:
            raise ValueError(
                f"success[{step.row}] is True but the last step of its trajectory (row "
                f"{last.row}) is False; expected the flag on the last step or on every step"
            )
    trajectory.succeeded = last.values["success"]
