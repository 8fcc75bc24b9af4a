"""Rows to steps, steps to trajectories and groups, and the merged graph, as tensors over steps.

A step is the first of the rows that repeat it; steps stand in the order of their rows. Groups,
trajectories and nodes are numbered by first appearance, the nodes of a group one after the other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from graphgpo.blocks import Block
from graphgpo.torch.device.columns import NO_VERDICT, Columns, RefusedError
from graphgpo.torch.device.distances import distances_to_goals
from graphgpo.torch.device.segments import Numbering, Segments, inverse_of, numbered

Tensor = torch.Tensor
Known = TypeVar("Known")


@dataclass(eq=False)
class Rollouts:
    """A batch that is read, checked and merged. (S,) tensors over steps unless said otherwise."""

    columns: Columns
    host: Any
    """The `graphgpo.Rollouts` of the same columns in host memory, for functions in a `Given`."""
    row: Tensor
    step_of_row: Tensor
    """(N,) of masked rows S."""

    group: Segments
    trajectory: Segments
    trajectory_group: Tensor
    """(trajectories,)"""
    turn: Tensor
    following: Tensor
    """The step after it; S: it is the last of its trajectory."""
    length: Tensor
    """Steps of its trajectory."""

    source: Tensor
    target: Tensor
    node_group: Tensor
    """(nodes,)"""
    cost: Tensor

    won: Tensor
    """(trajectories,) whether it succeeded."""
    judged: Tensor
    """(trajectories,) whether there is a verdict."""
    has_goal: Tensor
    """(groups,) whether a rollout succeeded."""
    distance: Tensor
    """(nodes,) inf: there is no way."""

    known: dict[tuple[str, Block], Any] = field(default_factory=dict)
    """What was computed of a block, for other estimators on the same batch."""

    def once(self, kind: str, block: Block, make: Callable[[], Known]) -> Known:
        """What `make` computes of a block, computed once a batch."""
        key = (kind, block)
        if key not in self.known:
            self.known[key] = make()
        found: Known = self.known[key]
        return found

    @property
    def num_steps(self) -> int:
        return len(self.row)

    @property
    def num_nodes(self) -> int:
        return len(self.node_group)

    @property
    def is_last(self) -> Tensor:
        return self.following == self.num_steps

    @property
    def is_judged(self) -> Tensor:
        return self.judged[self.trajectory.ids]

    @property
    def is_won(self) -> Tensor:
        return self.won[self.trajectory.ids]

    def has(self, name: str) -> bool:
        return name in self.columns

    def of(self, name: str) -> Tensor:
        """A column by step."""
        return self.columns[name][self.row]

    @property
    def is_invalid(self) -> Tensor:
        if not self.has("action_valid"):
            return torch.zeros_like(self.is_last)
        return ~self.of("action_valid")

    def keys(self, name: str) -> Tensor:
        """A column every step must have a value in."""
        if name in self.columns.is_null and bool(self.columns.is_null[name][self.row].any()):
            raise RefusedError
        return self.of(name)

    def actions(self) -> Tensor:
        """What was done at each step; without the column the target stands for it."""
        return self.keys("actions") if self.has("actions") else self.target

    def per_trajectory(self, of_step: Tensor) -> Tensor:
        """(trajectories,) of what all its steps have in common."""
        first = self.turn == 0
        found = of_step.new_zeros(self.trajectory.num)
        found[self.trajectory.ids[first]] = of_step[first]
        return found

    def distances_at(self, node: Tensor) -> Tensor:
        """By step, of a node of its: d_max + c_max where there is no way."""
        found = self.distance[node]
        return torch.where(found.isinf(), self.unreachable[self.group.ids], found)

    @property
    def unreachable(self) -> Tensor:
        """(groups + 1,)"""
        return self.once("unreachable", Block(), self._unreachable)

    def _unreachable(self) -> Tensor:
        finite = torch.where(self.distance.isinf(), 0.0, self.distance)
        farthest = Segments(self.node_group, self.group.num).largest(finite, 0.0)
        return farthest + self.group.largest(self.cost, 0.0)

    def backwards(self, received: Tensor, decay: float) -> Tensor:
        """x_t + decay * (the same of the following step): turn by turn, from the last."""
        order = torch.argsort(self.turn, stable=True)
        place = torch.cat([inverse_of(order), order.new_tensor([self.num_steps])])
        following = place[self.following[order]]
        ends = [0, *torch.bincount(self.turn).cumsum(0).tolist()]
        total = torch.cat([received[order], received.new_zeros(1)])
        for begin, end in reversed([*itertools.pairwise(ends)]):
            total[begin:end] += decay * total[following[begin:end]]
        return total[place[:-1]]


def merged(columns: Columns, host: Any) -> Rollouts:
    """The steps of a batch and their graph. Raises `RefusedError` for what the core refuses."""
    device, num_rows = columns.device, columns.num_rows
    mask = columns.given.get("mask")
    rows = torch.arange(num_rows, device=device) if mask is None else mask.nonzero()[:, 0]
    row_group = numbered(columns["group_ids"][rows])
    row_trajectory = numbered(row_group.ids, columns["trajectory_ids"][rows])
    step_of_row = torch.full((num_rows,), -1, dtype=torch.int64, device=device)
    if "step_ids" in columns:
        steps = numbered(row_trajectory.ids, columns["step_ids"][rows])
        first = steps.first  # ascending: numbers are by first appearance
        step_of_row[rows] = steps.ids
        _check_copies(columns, rows, rows[first[steps.ids]])
    else:
        first = torch.arange(len(rows), device=device)
        step_of_row[rows] = first
    row, num_steps = rows[first], len(first)
    step_of_row[step_of_row < 0] = num_steps
    group = Segments(row_group.ids[first], row_group.num)
    trajectory = Segments(row_trajectory.ids[first], row_trajectory.num)

    order = torch.arange(num_steps, device=device)
    if "step_ids" in columns:
        order = torch.argsort(columns["step_ids"][row], stable=True)
    order = order[torch.argsort(trajectory.ids[order], stable=True)]
    lengths = trajectory.count(torch.ones_like(order))
    starts = (lengths.cumsum(0) - lengths)[trajectory.ids[order]]
    turn = torch.empty_like(order)
    turn[order] = torch.arange(num_steps, device=device) - starts
    length = lengths[trajectory.ids]
    following = torch.full_like(order, num_steps)
    following[order[:-1]] = order[1:]
    following[turn == length - 1] = num_steps

    is_last = following == num_steps
    won, judged = _verdicts(columns, row, trajectory, is_last)
    _check_order(columns, row, is_last, following)
    _check_along(columns, row, trajectory)
    columns.refuse_what_is_wrong()

    wins = is_last & won[trajectory.ids]
    source, target, node_group = _nodes(columns, row, group, following, wins)
    cost = (
        columns["edge_costs"][row]
        if "edge_costs" in columns
        else torch.ones(num_steps, dtype=torch.float64, device=device)
    )
    goals = torch.full((group.num,), -1, dtype=torch.int64, device=device)
    goals[group.ids[wins]] = target[wins]  # of a group always the same node
    trajectory_group = row_group.ids[row_trajectory.first]
    return Rollouts(
        columns=columns,
        host=host,
        row=row,
        step_of_row=step_of_row,
        group=group,
        trajectory=trajectory,
        trajectory_group=trajectory_group,
        turn=turn,
        following=following,
        length=length,
        source=source,
        target=target,
        node_group=node_group,
        cost=cost,
        won=won,
        judged=judged,
        has_goal=goals >= 0,
        distance=distances_to_goals(source, target, cost, goals, node_group),
    )


def _check_copies(columns: Columns, rows: Tensor, originals: Tensor) -> None:
    """Rows of one step agree in every column; unknown is unknown."""
    for values in (*columns.given.values(), *columns.is_null.values()):
        own, other = values[rows], values[originals]
        differs = own != other
        if own.is_floating_point():
            differs &= ~(own.isnan() & other.isnan())
        columns.wrong.append(differs.any())


def _verdicts(
    columns: Columns, row: Tensor, trajectory: Segments, is_last: Tensor
) -> tuple[Tensor, Tensor]:
    """By trajectory: whether it succeeded, and whether that is known."""
    won = torch.zeros(trajectory.num, dtype=torch.bool, device=columns.device)
    if "success" not in columns:
        return won, ~won
    success = columns["success"][row]
    at_the_end = success.new_zeros(trajectory.num)
    at_the_end[trajectory.ids[is_last]] = success[is_last]
    ends = at_the_end[trajectory.ids]
    columns.wrong.append(((success == NO_VERDICT) != (ends == NO_VERDICT)).any())
    columns.wrong.append(((success == 1) & (ends == 0)).any())
    return at_the_end == 1, at_the_end != NO_VERDICT


def _check_order(columns: Columns, row: Tensor, is_last: Tensor, following: Tensor) -> None:
    """A step that is followed leads to a known state: its next state, or that of the next id."""
    if "next_states" in columns.is_null:
        columns.wrong.append((columns.is_null["next_states"][row] & ~is_last).any())
    if "next_states" not in columns and "step_ids" in columns:
        ids = columns["step_ids"][row]
        after = ids[following.clamp(max=max(len(row) - 1, 0))]
        columns.wrong.append(((ids + 1 != after) & ~is_last).any())


def _check_along(columns: Columns, row: Tensor, trajectory: Segments) -> None:
    """A trajectory has one return."""
    if "episode_returns" in columns:
        returns = columns["episode_returns"][row]
        known = ~returns.isnan()
        low = trajectory.smallest(torch.where(known, returns, math.inf))
        high = trajectory.largest(torch.where(known, returns, -math.inf))
        columns.wrong.append((low < high).any())


def _nodes(
    columns: Columns, row: Tensor, group: Segments, following: Tensor, wins: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of every step the nodes it leaves and leads to; of every node its group."""
    num_steps = len(row)
    own = columns["states"][row]
    after = own[following.clamp(max=max(num_steps - 1, 0))]
    is_leaf = following == num_steps
    if "next_states" in columns:
        after = columns["next_states"][row]
        is_null = columns.is_null.get("next_states")
        is_leaf = torch.zeros_like(is_leaf) if is_null is None else is_null[row]
    states: Numbering = numbered(torch.cat([own, after]), by_appearance=False)
    sources, targets = states.ids[:num_steps], states.ids[num_steps:]
    leaves = torch.arange(num_steps, device=row.device) + states.num + 1
    targets = torch.where(is_leaf, leaves, targets)
    targets = torch.where(wins, states.num, targets)  # GOAL
    kinds = torch.stack([sources, targets], 1).reshape(-1)  # as they appear
    of_group = group.ids.repeat_interleave(2)
    nodes = numbered(of_group, kinds)
    node_group = of_group[nodes.first]
    by_group = torch.argsort(node_group, stable=True)
    ids = inverse_of(by_group)[nodes.ids]
    return ids[0::2], ids[1::2], node_group[by_group]
