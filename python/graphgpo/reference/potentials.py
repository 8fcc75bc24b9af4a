"""A number per node of the merged graph, as each step meets it: before it, and after it."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from graphgpo.blocks import BellmanMean, Given, Log, MeanReturn, ReachValue
from graphgpo.reference.rollouts import Rollouts, Step, Trajectory
from graphgpo.reference.sums import mean

BeforeAndAfter: TypeAlias = tuple[list[float], list[float]]
"""V(u) and V(v) of every step; NaN: unknown. After a trajectory's last step may stand something
else than its target's value: that is each potential's to say."""

EXACT_UP_TO = 30
"""A group's Bellman equation is solved in fractions up to so many unknowns, beyond in float64."""


@functools.singledispatch
def potential(block: object, rollouts: Rollouts) -> BeforeAndAfter:
    """The potential V before and after every step."""
    raise TypeError(f"the reference knows no potential {type(block).__name__}")


@potential.register
def _given(block: Given, rollouts: Rollouts) -> BeforeAndAfter:
    how_many = "one per node of Rollouts.graph()"
    return _at_nodes(_numbers(block, rollouts, rollouts.num_nodes, how_many), rollouts)


@potential.register
def _log(block: Log, rollouts: Rollouts) -> BeforeAndAfter:
    before, after = potential(block.potential, rollouts)
    return [_floored(v, block.floor) for v in before], [_floored(v, block.floor) for v in after]


def _floored(value: float, floor: float) -> float:
    return value if math.isnan(value) else math.log(max(value, floor))


@potential.register
def _reach_value(block: ReachValue, rollouts: Rollouts) -> BeforeAndAfter:
    values = [0.0] * rollouts.num_nodes
    for node, distance in rollouts.distances.items():
        values[node] = block.success_reward * block.gamma**distance
    return _at_nodes(values, rollouts)


def _at_nodes(values: list[float], rollouts: Rollouts) -> BeforeAndAfter:
    return [values[s.source] for s in rollouts.steps], [values[s.target] for s in rollouts.steps]


# --- mean return ----------------------------------------------------------------------------------


@potential.register
def _mean_return(block: MeanReturn, rollouts: Rollouts) -> BeforeAndAfter:
    returns = (
        returns_to_go(rollouts, block.gamma, block.success_reward)
        if block.of == "rewards"
        else [
            block.gamma ** (len(step.trajectory.steps) - step.turn) * step.trajectory.outcome
            for step in rollouts.steps
        ]
    )
    leaving: dict[int, list[float]] = defaultdict(list)
    for step, value in zip(rollouts.steps, returns, strict=True):
        leaving[step.source].append(value - block.penalty if step.is_invalid else value)
    values = {node: mean(found) for node, found in leaving.items()}
    before = [values[step.source] for step in rollouts.steps]
    after = [
        _end(block, step) if step.following is None else values[step.following.source]
        for step in rollouts.steps
    ]
    return before, after


def _end(block: MeanReturn, last: Step) -> float:
    if block.end == "zero":
        return 0.0
    if block.end == "outcome":
        return last.trajectory.outcome - (block.penalty if last.is_invalid else 0.0)
    if not last.trajectory.has_verdict:
        return math.nan
    return block.success_reward if last.trajectory.succeeded else 0.0


def rewards(rollouts: Rollouts, success_reward: float) -> list[float]:
    """What every step receives: its reward, else success_reward on the winning last step.

    Unknown without either, where there is no verdict.
    """
    if rollouts.has("rewards"):
        return [step.values["rewards"] for step in rollouts.steps]
    return [
        (success_reward if step.wins else 0.0) if step.trajectory.has_verdict else math.nan
        for step in rollouts.steps
    ]


def returns_to_go(rollouts: Rollouts, gamma: float, success_reward: float) -> list[float]:
    """What a step receives, and gamma times the same of the following step."""
    returns = rewards(rollouts, success_reward)
    for trajectory in rollouts.trajectories:
        to_go = 0.0
        for step in reversed(trajectory.steps):
            to_go = returns[step.index] + gamma * to_go
            returns[step.index] = to_go
    return returns


# --- Bellman mean ---------------------------------------------------------------------------------


@potential.register
def _bellman_mean(block: BellmanMean, rollouts: Rollouts) -> BeforeAndAfter:
    ends = _ends(block, rollouts)
    values = [0.0] * rollouts.num_nodes
    for group in rollouts.groups:
        leaving: dict[int, list[Step]] = defaultdict(list)
        for step in group.steps:
            leaving[step.source].append(step)
        for node, value in _fixed_point(block.gamma, leaving, ends).items():
            values[node] = value
    before = [values[step.source] for step in rollouts.steps]
    after = [
        values[step.target] if ends[step] is None else float(ends[step] or 0)
        for step in rollouts.steps
    ]
    return before, after


def _ends(block: BellmanMean, rollouts: Rollouts) -> dict[Step, float | None]:
    """What a step leads to where that is no node with ways on, else None."""
    ends: dict[Step, float | None] = dict.fromkeys(rollouts.steps)
    boundary = None if block.boundary is None else _boundary(block.boundary, rollouts)
    for trajectory in rollouts.trajectories:
        last = trajectory.steps[-1]
        if boundary is not None:
            ends[last] = boundary[last.index]
        elif trajectory.succeeded:
            ends[last] = 1.0
        elif block.failed_end == "leaf":
            ends[last] = 0.0
    return ends


def _boundary(given: Given, rollouts: Rollouts) -> list[float]:
    values = step_numbers(given, rollouts)
    steps = sorted(rollouts.steps, key=lambda step: step.row)
    for step in steps:
        value = values[step.index]
        if not 0 <= value <= 1:
            raise ValueError(f"boundary[{step.row}] is {value}; expected a number in [0, 1]")
    first_of: dict[Trajectory, Step] = {}
    for step in steps:
        value, first = values[step.index], first_of.setdefault(step.trajectory, step)
        if value != values[first.index]:
            raise ValueError(
                f"boundary[{step.row}] is {value:.17g} but row {first.row} of the same trajectory "
                f"has {values[first.index]:.17g}; expected one value per trajectory"
            )
    return values


def _fixed_point(
    gamma: float, leaving: dict[int, list[Step]], ends: dict[Step, float | None]
) -> dict[int, float]:
    """V(u) = gamma * mean of what its steps lead to: linear equations, one a node with a way on."""
    if len(leaving) > EXACT_UP_TO:
        return _solved_in_floats(gamma, leaving, ends)
    # n V(u) - gamma * sum of V(v) = gamma * sum of ends: exact, so in whatever order.
    rows: dict[int, dict[int, Fraction]] = {}
    right: dict[int, Fraction] = {}
    for node, steps in leaving.items():
        row: dict[int, Fraction] = defaultdict(Fraction, {node: Fraction(len(steps))})
        right[node] = Fraction(gamma) * sum(Fraction(ends[step] or 0.0) for step in steps)
        for step in steps:
            if ends[step] is None and step.target in leaving:
                row[step.target] -= Fraction(gamma)
        rows[node] = row
    # Gauss and Jordan. The matrix is diagonally dominant, so that no pivot is 0.
    for pivot, pivot_row in rows.items():
        for node, row in rows.items():
            factor = row.get(pivot, Fraction(0)) / pivot_row[pivot]
            if node == pivot or factor == 0:
                continue
            for column, entry in pivot_row.items():
                row[column] = row.get(column, Fraction(0)) - factor * entry
            right[node] -= factor * right[pivot]
    return {node: float(right[node] / rows[node][node]) for node in leaving}


def _solved_in_floats(
    gamma: float, leaving: dict[int, list[Step]], ends: dict[Step, float | None]
) -> dict[int, float]:
    position = {node: i for i, node in enumerate(leaving)}
    matrix, right = np.eye(len(leaving)), np.zeros(len(leaving))
    for node, steps in leaving.items():
        for step in steps:
            if ends[step] is None and step.target in leaving:
                matrix[position[node], position[step.target]] -= gamma / len(steps)
            right[position[node]] += gamma / len(steps) * (ends[step] or 0.0)
    return dict(zip(leaving, np.linalg.solve(matrix, right).tolist(), strict=True))


# --- numbers of the user's own --------------------------------------------------------------------


def step_numbers(given: Given, rollouts: Rollouts) -> list[float]:
    """The values of a `Given` that has one a row, by step: of copies the first row's."""
    values = _numbers(given, rollouts, rollouts.num_rows, "one per row")
    return [values[step.row] for step in rollouts.steps]


def _numbers(given: Given, rollouts: Rollouts, length: int, how_many: str) -> list[float]:
    here: Any = rollouts  # stands for a graphgpo.Rollouts
    result: list[float] = given.numbers(here, length, how_many).tolist()
    return result
