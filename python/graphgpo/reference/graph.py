"""The merged graph, and the least cost from its nodes to the goal."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphgpo.reference.rollouts import Group, Rollouts, Step


def merge_states(rollouts: Rollouts) -> None:
    """Number the nodes of each group by first appearance; GOAL and leaves have no state."""
    for group in rollouts.groups:
        first = rollouts.num_nodes
        rollouts.num_nodes += _merge_group(group, first)
        group.nodes = range(first, rollouts.num_nodes)


def _merge_group(group: Group, first: int) -> int:
    nodes: dict[Hashable, int] = {}

    def node_of(key: Hashable) -> int:
        return nodes.setdefault(key, first + len(nodes))

    for step in group.steps:
        step.source = node_of(("state", step.values["states"]))
        if step.wins:
            step.target = group.goal = node_of("GOAL")
        elif step.values["next_states"] is not None:
            step.target = node_of(("state", step.values["next_states"]))
        elif step.following is not None:
            step.target = node_of(("state", step.following.values["states"]))
        else:
            step.target = node_of(("leaf", id(step)))  # its own
    return len(nodes)


def measure_distances(rollouts: Rollouts) -> None:
    """d(u), the least total cost to GOAL (Dijkstra, against the edges); d(GOAL) = 0.

    Where there is no way stands d_max + c_max: one dearest edge beyond the farthest.
    """
    for group in rollouts.groups:
        distances = {} if group.goal is None else _distances_to(group.goal, group.steps)
        rollouts.distances |= distances
        farthest = max(distances.values(), default=0.0)
        rollouts.unreachable.append(farthest + max(step.cost for step in group.steps))


def _distances_to(goal: int, steps: list[Step]) -> dict[int, float]:
    incoming: dict[int, list[Step]] = defaultdict(list)
    for step in steps:
        incoming[step.target].append(step)
    distances: dict[int, float] = {}
    queue = [(0.0, goal)]
    while queue:
        distance, node = heapq.heappop(queue)
        if node in distances:
            continue
        distances[node] = distance
        for step in incoming[node]:
            heapq.heappush(queue, (distance + step.cost, step.source))
    return distances


@dataclass(frozen=True, eq=False)
class Graph:
    """The fields of `graphgpo.StateGraph` a `Given` may be computed from."""

    node_states: list[Any]
    """As it was given; None for GOAL and leaves."""
    node_groups: list[Any]
    node_distances: NDArray[np.float64]
    node_reached: NDArray[np.bool_]
    edge_rows: NDArray[np.int64]
    edge_sources: NDArray[np.int64]
    edge_targets: NDArray[np.int64]
    edge_costs: NDArray[np.float64]


def exported(rollouts: Rollouts) -> Graph:
    """The graph as arrays, its edges in the order of their rows."""
    columns, steps = rollouts.columns, sorted(rollouts.steps, key=lambda step: step.row)
    states: list[Any] = [None] * rollouts.num_nodes
    for step in reversed(steps):
        if columns["next_states"] is not None and not step.wins:
            states[step.target] = columns["next_states"][step.row]
        states[step.source] = columns["states"][step.row]
    groups = [
        columns["group_ids"][group.steps[0].row] for group in rollouts.groups for _ in group.nodes
    ]
    distances = [rollouts.distance(group, n) for group in rollouts.groups for n in group.nodes]
    return Graph(
        node_states=states,
        node_groups=groups,
        node_distances=np.array(distances, np.float64),
        node_reached=np.array([n in rollouts.distances for n in range(rollouts.num_nodes)], bool),
        edge_rows=np.array([step.row for step in steps], np.int64),
        edge_sources=np.array([step.source for step in steps], np.int64),
        edge_targets=np.array([step.target for step in steps], np.int64),
        edge_costs=np.array([step.cost for step in steps], np.float64),
    )
