"""One task's merged graph, reduced to what is drawn: states and transitions with their traffic."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphgpo.graph import StateGraph, Terminal

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Kind(enum.Enum):
    """What a node stands for."""

    STATE = "state"
    GOAL = "goal"
    LEAF = "leaf"
    """Where a failed rollout ended without a known next state."""


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """The states of one task and the transitions between them, each transition once.

    Node arrays are (S,), in the order of the graph's ids; edge arrays are (E,), sorted by source
    and target. Sources and targets are positions among the S nodes.
    """

    group: Any
    nodes: Ints = field(repr=False)
    """Id of each node in the whole graph."""
    kinds: tuple[Kind, ...] = field(repr=False)
    states: tuple[Any, ...] = field(repr=False)
    distances: Floats = field(repr=False)
    reached: NDArray[np.bool_] = field(repr=False)
    """Whether the goal can be reached from the node."""
    visits: Ints = field(repr=False)
    """Steps that leave the node or, where none does, that lead to it."""
    sources: Ints = field(repr=False)
    targets: Ints = field(repr=False)
    counts: Ints = field(repr=False)
    """Steps that took the transition."""
    edge_of_step: Ints = field(repr=False)
    """(steps,) the transition each of the task's steps took ..."""
    rows: Ints = field(repr=False)
    """... and its row in the batch."""
    is_start: NDArray[np.bool_] = field(repr=False)
    """Where rollouts begin."""

    def mean_per_edge(self, values: NDArray[Any]) -> Floats:
        """(E,) mean over the steps of each transition of `values`, one per row of the batch."""
        totals = np.bincount(
            self.edge_of_step, np.asarray(values, np.float64)[self.rows], len(self.sources)
        )
        return totals / self.counts

    def kept(self, is_kept: NDArray[np.bool_]) -> Traffic:
        """The same without the other nodes, their transitions and the steps that took these."""
        position = np.cumsum(is_kept) - 1
        edges = is_kept[self.sources] & is_kept[self.targets]
        edge_position = np.cumsum(edges) - 1
        steps = edges[self.edge_of_step]
        chosen = np.flatnonzero(is_kept).tolist()
        return Traffic(
            group=self.group,
            nodes=self.nodes[is_kept],
            kinds=tuple(self.kinds[i] for i in chosen),
            states=tuple(self.states[i] for i in chosen),
            distances=self.distances[is_kept],
            reached=self.reached[is_kept],
            visits=self.visits[is_kept],
            sources=position[self.sources[edges]],
            targets=position[self.targets[edges]],
            counts=self.counts[edges],
            edge_of_step=edge_position[self.edge_of_step[steps]],
            rows=self.rows[steps],
            is_start=self.is_start[is_kept],
        )


_IDS = (int, np.integer, str, bytes, tuple, uuid.UUID)


def traffic_of(graph: StateGraph, group: Any = None) -> Traffic:
    """The traffic of one task of a graph; `group` may be left out where there is only one.

    A graph does not say where rollouts begin: taken for it are the node that was seen first and
    those to which no other leads.

    Raises
    ------
    ValueError
        If the graph has several tasks and none is named, or none of that name.
    """
    groups = list(dict.fromkeys(graph.node_groups))
    if group is not None and not isinstance(group, _IDS):
        raise TypeError(f"group is a {type(group).__name__}; expected the id of a task")
    if group is None and len(groups) != 1:
        raise ValueError(f"the graph has {len(groups)} tasks; name one: group={_first(groups)}")
    if group is not None and group not in groups:
        raise ValueError(f"group is {group!r}; the graph has {_first(groups, 8)}")
    wanted = groups[0] if group is None else group
    is_own = np.fromiter((g == wanted for g in graph.node_groups), np.bool_, len(graph.node_groups))
    return _traffic(graph, wanted, np.flatnonzero(is_own), None)


def traffic_by_group(graph: StateGraph) -> dict[Any, Ints]:
    """The nodes of every task, for `traffic_at`: one pass over a graph of many tasks."""
    nodes: dict[Any, list[int]] = {}
    for node, group in enumerate(graph.node_groups):
        nodes.setdefault(group, []).append(node)
    return {group: np.array(own, np.int64) for group, own in nodes.items()}


def traffic_at(graph: StateGraph, group: Any, nodes: Ints, starts: Ints) -> Traffic:
    """The traffic of the task whose nodes these are, see `traffic_by_group`."""
    return _traffic(graph, group, nodes, starts)


def most_visited(traffic: Traffic, most: int) -> Traffic:
    """At most `most` nodes: goal and starts, then the most visited."""
    if len(traffic.nodes) <= most:
        return traffic
    is_goal = np.array([kind is Kind.GOAL for kind in traffic.kinds])
    first_seen = np.arange(len(traffic.nodes))
    order = np.lexsort((first_seen, -traffic.visits, ~traffic.is_start, ~is_goal))
    is_kept = np.zeros(len(order), np.bool_)
    is_kept[order[:most]] = True
    return traffic.kept(is_kept)


def _traffic(graph: StateGraph, group: Any, nodes: Ints, starts: Ints | None) -> Traffic:
    position = np.full(len(graph.node_groups), -1, np.int64)
    position[nodes] = np.arange(len(nodes))
    steps = np.flatnonzero(position[graph.edge_sources] >= 0)
    sources = position[graph.edge_sources[steps]]
    targets = position[graph.edge_targets[steps]]
    pairs = sources * len(nodes) + targets
    distinct, edge_of_step, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    leaving = np.bincount(sources, minlength=len(nodes))
    arriving = np.bincount(targets, minlength=len(nodes))
    if starts is None:
        is_start = np.bincount(targets[sources != targets], minlength=len(nodes)) == 0
        is_start[:1] = True
    else:
        is_start = np.isin(nodes, starts)
    states = tuple(graph.node_states[node] for node in nodes.tolist())
    return Traffic(
        group=group,
        nodes=nodes,
        kinds=tuple(_KINDS.get(s, Kind.STATE) if _is_terminal(s) else Kind.STATE for s in states),
        states=states,
        distances=graph.node_distances[nodes],
        reached=graph.node_reached[nodes],
        visits=np.where(leaving > 0, leaving, arriving).astype(np.int64),
        sources=distinct // len(nodes),
        targets=distinct % len(nodes),
        counts=counts.astype(np.int64),
        edge_of_step=edge_of_step.astype(np.int64),
        rows=graph.edge_rows[steps],
        is_start=is_start,
    )


_KINDS = {Terminal.GOAL: Kind.GOAL, Terminal.LEAF: Kind.LEAF}


def _is_terminal(state: Any) -> bool:
    return isinstance(state, Terminal)  # before hashing: a state may be an array


def _first(groups: list[Any], most: int = 1) -> str:
    plain = [group.item() if isinstance(group, np.generic) else group for group in groups[:most]]
    shown = ", ".join(map(repr, plain))
    return shown if len(groups) <= most or most == 1 else f"{shown} and {len(groups) - most} more"
