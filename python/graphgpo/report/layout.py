"""Where the nodes of one task stand: columns by distance, and a band for those without a way.

A step shortens the way to the goal by at most its cost, so with unit costs every step that makes
progress leads from one column to the next: nothing is left open but the order inside columns
(`ordering`). Deterministic; units are those of the picture.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from graphgpo.report.ordering import Link, heights, ordered
from graphgpo.report.traffic import Kind, Traffic

MOST_COLUMNS = 120
"""Of one band; distances beyond them share a column (they are costs, not numbers of steps)."""

FEW_NODES = 48
"""Up to here nodes have their names beside them."""

MIN_RADIUS, MAX_RADIUS = 5.0, 13.0
LEAF_RADIUS = 4.0
GOAL_RADIUS = 14.0


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a band: where it stands and what its nodes have in common."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Band:
    """Columns under one heading."""

    title: str
    top: float
    bottom: float
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions of every node, and the frame around them."""

    width: float
    height: float
    x: tuple[float, ...] = field(repr=False)
    y: tuple[float, ...] = field(repr=False)
    radius: tuple[float, ...] = field(repr=False)
    column: tuple[int, ...] = field(repr=False)
    """By node: of a state with a way to the goal its rank among the distances, 0 at the goal; of
    the others the fewest steps from a start."""
    bands: tuple[Band, ...]
    has_names: bool
    """Whether there is room for names beside the nodes."""


def place(traffic: Traffic, *, names: bool = True) -> Layout:
    """Lay one task out, with room for `names` beside the nodes where these are few."""
    number = len(traffic.nodes)
    has_names = names and number <= FEW_NODES
    column_width, gap = (124.0, 50.0) if has_names else (92.0, 32.0)
    radius = _radii(traffic)
    with_way = [n for n in range(number) if traffic.reached[n]]
    without_way = [n for n in range(number) if not traffic.reached[n]]
    rank, labels = _ranks_of_distances(traffic, with_way)
    depth = _steps_from_start(traffic, without_way)
    column = {**rank, **depth}

    margin, heading, foot = 34.0 if not has_names else 58.0, 62.0, 34.0
    nearest, farthest = min(depth.values(), default=0), max(depth.values(), default=0)
    num_columns = max(len(labels), farthest - nearest + 1)
    width = 2 * margin + max(num_columns - 1, 1) * column_width
    goal_x = width - margin
    x = {node: goal_x - rank[node] * column_width for node in with_way}
    shift = _shift(traffic, rank, depth, num_columns) - nearest
    x.update({node: margin + (depth[node] + shift) * column_width for node in without_way})

    y: dict[int, float] = {}
    bands: list[Band] = []
    top = 0.0
    for nodes, is_with_way in ((with_way, True), (without_way, False)):
        if not nodes:
            continue
        columns = _columns(nodes, column, reverse=is_with_way)
        links = _links(traffic, columns)
        found = heights(ordered(columns, links), links, [gap] * len(columns))
        down = top + heading + _arc_room(traffic, nodes, column) - min(found.values())
        y.update({node: height + down for node, height in found.items()})
        bottom = max(y[node] for node in nodes) + foot
        if is_with_way:
            title = "steps to the goal" if _counts_steps(traffic) else "cost to the goal"
            marks = [Column(goal_x - i * column_width, label) for i, label in enumerate(labels)]
        else:
            title = "no way to the goal seen: steps from the start"
            lanes = range(nearest, farthest + 1)
            marks = [Column(margin + (d + shift) * column_width, str(d)) for d in lanes]
        bands.append(Band(title, top, bottom, tuple(marks)))
        top = bottom + 10.0
    everyone = range(number)
    return Layout(
        width=width,
        height=max(top - 10.0, heading + foot),
        x=tuple(x[n] for n in everyone),
        y=tuple(y[n] for n in everyone),
        radius=radius,
        column=tuple(column[n] for n in everyone),
        bands=tuple(bands),
        has_names=has_names,
    )


def _radii(traffic: Traffic) -> tuple[float, ...]:
    """By visits, area for area."""
    most = int(traffic.visits.max(initial=1))

    def radius(kind: Kind, visits: int) -> float:
        if kind is Kind.GOAL:
            return GOAL_RADIUS
        if kind is Kind.LEAF:
            return LEAF_RADIUS
        return MIN_RADIUS + (MAX_RADIUS - MIN_RADIUS) * math.sqrt(visits / most)

    return tuple(map(radius, traffic.kinds, traffic.visits.tolist()))


def _counts_steps(traffic: Traffic) -> bool:
    return bool(np.equal(np.mod(traffic.distances[traffic.reached], 1), 0).all())


def _ranks_of_distances(traffic: Traffic, nodes: list[int]) -> tuple[dict[int, int], list[str]]:
    """Column of each node, counted from the goal, and what stands above the columns."""
    if not nodes:
        return {}, []
    distances = traffic.distances[nodes]
    largest = float(distances.max())
    if _counts_steps(traffic) and largest < MOST_COLUMNS:
        rank = {n: int(d) for n, d in zip(nodes, distances, strict=True)}
        return rank, ["goal", *(str(d) for d in range(1, int(largest) + 1))]
    values = np.unique(distances)
    if len(values) <= MOST_COLUMNS:
        places = np.searchsorted(values, distances)
        labels = ["goal" if v == 0 else f"{v:g}" for v in values]
    else:
        width = largest / (MOST_COLUMNS - 1)
        places = np.ceil(distances / width - 1e-9).astype(np.int64)
        labels = ["goal", *(f"≤ {i * width:.3g}" for i in range(1, MOST_COLUMNS))]
    return dict(zip(nodes, places.tolist(), strict=True)), labels


def _steps_from_start(traffic: Traffic, nodes: list[int]) -> dict[int, int]:
    """Of each node, the fewest steps from a start; of what no start leads to, 0."""
    following: dict[int, list[int]] = defaultdict(list)
    for source, target in zip(traffic.sources.tolist(), traffic.targets.tolist(), strict=True):
        following[source].append(target)
    queue = np.flatnonzero(traffic.is_start).tolist()
    depth = dict.fromkeys(queue, 0)
    for node in queue:  # grows while it is walked
        for target in following[node]:
            if target not in depth:
                depth[target] = depth[node] + 1
                queue.append(target)
    return {node: min(depth.get(node, 0), MOST_COLUMNS - 1) for node in nodes}


def _shift(traffic: Traffic, rank: dict[int, int], depth: dict[int, int], num_columns: int) -> int:
    """How many columns from the left the band without a way begins: most of it stands where it is
    left for, as far as there is room.
    """
    if not depth:
        return 0
    nearest, farthest = min(depth.values()), max(depth.values())
    wanted = sorted(
        num_columns - rank[source] - (depth[target] - nearest)
        for source, target in zip(traffic.sources.tolist(), traffic.targets.tolist(), strict=True)
        if source in rank and target in depth
    )
    middle = wanted[len(wanted) // 2] if wanted else 0
    return max(0, min(middle, num_columns - 1 - (farthest - nearest)))


def _columns(nodes: list[int], column: dict[int, int], *, reverse: bool) -> list[list[int]]:
    """Nodes by column, from left to right; columns may be empty."""
    last = max(column[node] for node in nodes)
    columns: list[list[int]] = [[] for _ in range(last + 1)]
    for node in nodes:
        columns[column[node]].append(node)
    return columns[::-1] if reverse else columns


def _links(traffic: Traffic, columns: Sequence[Sequence[int]]) -> list[Link]:
    """Transitions between neighbouring columns of a band, progress and detours alike."""
    column_of = {node: c for c, column in enumerate(columns) for node in column}
    links = []
    edges = zip(
        traffic.sources.tolist(), traffic.targets.tolist(), traffic.counts.tolist(), strict=True
    )
    for source, target, count in edges:
        if source not in column_of or target not in column_of:
            continue
        left, right = sorted((source, target), key=lambda node: column_of[node])
        if column_of[right] - column_of[left] == 1:
            links.append(Link(left, right, math.sqrt(count)))
    return links


def _arc_room(traffic: Traffic, nodes: list[int], column: dict[int, int]) -> float:
    """Height above a band that its longest detour needs."""
    own = set(nodes)
    spans = [
        abs(column[source] - column[target])
        for source, target in zip(traffic.sources.tolist(), traffic.targets.tolist(), strict=True)
        if source in own
        and target in own
        and is_detour(traffic, source, column[source], column[target])
    ]
    return arc_height(max(spans, default=0))


def is_detour(traffic: Traffic, source: int, source_column: int, target_column: int) -> bool:
    """Whether a transition of node `source`, between these columns, leads to the left."""
    return (target_column > source_column) == bool(traffic.reached[source]) and (
        target_column != source_column
    )


def arc_height(span: int) -> float:
    """How far a detour over `span` columns rises above its ends."""
    return 0.0 if span == 0 else 20.0 + 9.0 * math.sqrt(span)
