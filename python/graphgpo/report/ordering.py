"""The order of nodes inside columns: few crossings, then straight chains.

Barycentre sweeps (Sugiyama, Tagawa, Toda 1981) over columns that are given, the best of all sweeps
kept; then heights by sweeps of exact least squares under the order (isotonic regression), so that
neighbours stand level where that is possible and never nearer than they may.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass

NUM_SWEEPS = 24
NUM_STRAIGHTENINGS = 12


@dataclass(frozen=True, slots=True)
class Link:
    """A transition between neighbouring columns, whichever way it goes."""

    left: int
    right: int
    weight: float


def ordered(columns: Sequence[Sequence[int]], links: Sequence[Link]) -> list[list[int]]:
    """The columns, each with its nodes from top to bottom. O(sweeps * links * log nodes)."""
    to_left, to_right = _neighbours(links)
    order = [list(column) for column in columns]
    best, fewest = [list(column) for column in order], crossings(order, links)
    for sweep in range(NUM_SWEEPS):
        if fewest == 0:
            break
        is_rightwards = sweep % 2 == 0
        neighbours = to_left if is_rightwards else to_right
        _sweep(order if is_rightwards else order[::-1], neighbours)
        found = crossings(order, links)
        if found < fewest:
            best, fewest = [list(column) for column in order], found
    return best


def crossings(order: Sequence[Sequence[int]], links: Sequence[Link]) -> int:
    """Pairs of links between the same columns that cross."""
    place = {node: i for column in order for i, node in enumerate(column)}
    column_of = {node: c for c, column in enumerate(order) for node in column}
    between: dict[int, list[tuple[int, int]]] = {}
    for link in links:
        between.setdefault(column_of[link.left], []).append((place[link.left], place[link.right]))
    total = 0
    for pairs in between.values():
        seen: list[int] = []
        for _, right in sorted(pairs):
            total += len(seen) - bisect_right(seen, right)
            insort(seen, right)
    return total


def heights(
    order: Sequence[Sequence[int]], links: Sequence[Link], gaps: Sequence[float]
) -> dict[int, float]:
    """Where each node stands: in its column's order, `gaps[column]` apart at least."""
    to_left, to_right = _neighbours(links)
    height: dict[int, float] = {}
    for column, gap in zip(order, gaps, strict=True):
        middle = (len(column) - 1) / 2
        height.update({node: (i - middle) * gap for i, node in enumerate(column)})
    for sweep in range(NUM_STRAIGHTENINGS):
        is_rightwards = sweep % 2 == 0
        neighbours = to_left if is_rightwards else to_right
        steps = range(len(order)) if is_rightwards else range(len(order) - 1, -1, -1)
        for c in steps:
            wanted = [_mean(neighbours.get(node, ()), height, height[node]) for node in order[c]]
            height.update(zip(order[c], spread(wanted, gaps[c]), strict=True))
    return height


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """The heights nearest to those wanted (least squares) that rise by at least `gap`.

    >>> spread([0, 0, 10], 2)
    [-1.0, 1.0, 10.0]
    """
    blocks: list[tuple[float, int]] = []  # sum and number of heights that became one, less gaps
    for i, height in enumerate(wanted):
        total, count = height - i * gap, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
            total, count = total + blocks[-1][0], count + blocks[-1][1]
            blocks.pop()
        blocks.append((total, count))
    level = [total / count for total, count in blocks for _ in range(count)]
    return [base + i * gap for i, base in enumerate(level)]


Neighbours = dict[int, list[tuple[int, float]]]


def _neighbours(links: Sequence[Link]) -> tuple[Neighbours, Neighbours]:
    to_left: Neighbours = {}
    to_right: Neighbours = {}
    for link in links:
        to_left.setdefault(link.right, []).append((link.left, link.weight))
        to_right.setdefault(link.left, []).append((link.right, link.weight))
    return to_left, to_right


def _sweep(order: Sequence[list[int]], neighbours: Neighbours) -> None:
    """Sort every column but the first by where its neighbours in the one before stand."""
    place: dict[int, float] = {}
    for column in order:
        own = {node: float(i) for i, node in enumerate(column)}
        wanted = {node: _mean(neighbours.get(node, ()), place, own[node]) for node in column}
        column.sort(key=lambda node: (wanted[node], own[node]))
        place = {node: float(i) for i, node in enumerate(column)}


def _mean(
    neighbours: Sequence[tuple[int, float]], place: dict[int, float], otherwise: float
) -> float:
    known = [(place[node], weight) for node, weight in neighbours if node in place]
    total = sum(weight for _, weight in known)
    return sum(at * weight for at, weight in known) / total if total else otherwise
