"""A batch as the report looks at it: credited once, its tasks in the order that they tell most."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphgpo import estimators as known
from graphgpo.estimators import Estimator
from graphgpo.graph import StateGraph, value_at
from graphgpo.problems.warning import told_elsewhere
from graphgpo.report.labels import as_text, shortened
from graphgpo.report.svg import NO_CREDIT
from graphgpo.report.traffic import Ints, traffic_by_group
from graphgpo.result import StepAdvantages
from graphgpo.rollouts import Rollouts


class UnknownTaskError(ValueError):
    """There is no task of the name that was asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rollouts with the credit of every chosen estimator."""

    rollouts: Rollouts
    estimators: dict[str, Estimator]
    results: dict[str, StepAdvantages]
    graph: StateGraph
    nodes: dict[Any, Ints]
    """By task, its nodes."""
    disagrees: NDArray[np.bool_]
    """(N,) whether one estimator rewards the row's step and another punishes it."""
    has_credit: NDArray[np.bool_]
    """(N,) whether any gives it credit."""
    edge_tasks: Ints
    """Of every step of the graph, which task of `nodes` it belongs to."""

    @property
    def first(self) -> StepAdvantages:
        """The result whose numbers of the graph and the outcomes stand for all."""
        return next(iter(self.results.values()))

    def rows_of(self, position: int) -> Ints:
        """Rows of the steps of a task, by its position in `nodes`."""
        rows: Ints = self.graph.edge_rows[self.edge_tasks == position]
        return rows


def credited(rollouts: Rollouts, chosen: Sequence[Any]) -> Batch:
    """The batch with its credit; estimators as `Rollouts.compare` takes them."""
    if not isinstance(rollouts, Rollouts):
        raise TypeError(f"rollouts is a {type(rollouts).__name__}; expected graphgpo.Rollouts")
    rollouts.check_alone("a report")
    made = known.several("estimators", chosen)
    if not made:
        raise ValueError("estimators is empty; expected at least one")
    with told_elsewhere():  # the page has a section of problems
        results = rollouts.compare(made)
    graph = rollouts.graph()
    nodes = traffic_by_group(graph)
    task_of_node = np.zeros(len(graph.node_groups), np.int64)
    for position, own in enumerate(nodes.values()):
        task_of_node[own] = position
    credits = np.array([result.advantages for result in results.values()])
    rewarded: NDArray[np.bool_] = np.any(credits > NO_CREDIT, axis=0)
    punished: NDArray[np.bool_] = np.any(credits < -NO_CREDIT, axis=0)
    return Batch(
        rollouts=rollouts,
        estimators=dict(zip(results, made, strict=True)),
        results=results,
        graph=graph,
        nodes=nodes,
        disagrees=rewarded & punished,
        has_credit=rewarded | punished,
        edge_tasks=task_of_node[graph.edge_sources],
    )


def telling(batch: Batch, top: int) -> list[int]:
    """Positions of the tasks with the most steps on whose credit the estimators disagree in sign;
    of equals those with more steps that have credit, then the first seen.
    """
    number = len(batch.nodes)
    rows = batch.graph.edge_rows
    counts = [
        np.bincount(batch.edge_tasks, weights, number)
        for weights in (batch.disagrees[rows], batch.has_credit[rows])
    ]
    order = np.lexsort((np.arange(number), -counts[1], -counts[0]))
    return [int(position) for position in order[:top]]


def named(batch: Batch, wanted: Iterable[str]) -> list[int]:
    """Positions of the tasks with these ids or, over all training steps, these names.

    Raises
    ------
    UnknownTaskError
        If there is no such task, naming those that come nearest.
    """
    found: list[int] = []
    ids = [as_text(group) for group in batch.nodes]
    for name in wanted:
        fits = [i for i, id_ in enumerate(ids) if name in (id_, task_name(id_)[0])]
        if not fits:
            near = difflib.get_close_matches(name, ids, n=3, cutoff=0.4) or ids[:3]
            listed = ", ".join(repr(shortened(one, 60)) for one in near)
            raise UnknownTaskError(f"no task {name!r} among the {len(ids)}; the nearest: {listed}")
        found += [i for i in fits if i not in found]
    return found


def task_name(group: Any) -> tuple[str, int | None]:
    """A group's name and its training step, which readers of files put before it.

    >>> task_name("step=3|water_fern"), task_name(7)
    (('water_fern', 3), ('7', None))
    """
    text = as_text(group)
    prefix = re.match(r"step=(-?\d{1,18})\|", text)
    if prefix:
        text = text[prefix.end() :]
    if "%" in text and isinstance(group, str):
        text = text.replace("%3D", "=").replace("%7C", "|").replace("%25", "%")
    return text, int(prefix[1]) if prefix else None


def trajectories(rollouts: Rollouts, rows: Ints) -> dict[Any, Ints]:
    """The rows of each rollout of a task, in the order of its steps."""
    ids: dict[Any, list[int]] = {}
    column = rollouts.columns["trajectory_ids"]
    for row in rows.tolist():
        ids.setdefault(_hashable(value_at(column, row)), []).append(row)
    order = rollouts.columns.get("step_ids")
    if order is not None:
        for own in ids.values():
            own.sort(key=lambda row: value_at(order, row))
    return {trajectory: np.array(own, np.int64) for trajectory, own in ids.items()}


def outcome(rollouts: Rollouts, rows: Ints) -> bool | None:
    """Whether the rollout of these rows won; None: nobody has judged."""
    column = rollouts.columns.get("success")
    if column is None:
        return None
    verdict = value_at(column, int(rows[-1]))
    return None if verdict is None else bool(verdict)


def taken(column: Any, rows: Ints) -> Any:
    """Some rows of a column, in its own kind of container."""
    if isinstance(column, (list, tuple)):
        return [column[row] for row in rows.tolist()]
    if hasattr(column, "iloc"):
        return column.iloc[rows]
    return column.take(rows) if hasattr(column, "take") else column[rows]


def _hashable(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
