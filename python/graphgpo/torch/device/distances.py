"""The least total cost from every node of the batch to its group's goal."""

from __future__ import annotations

import torch

from graphgpo.torch.device.segments import Segments, numbered

Tensor = torch.Tensor

_SWEEPS = 8
"""Between two looks at whether anything still changes, for which the host waits."""


def distances_to_goals(source: Tensor, target: Tensor, cost: Tensor, goals: Tensor) -> Tensor:
    """(nodes,) float64, inf where there is no way.

    `goals` are (nodes,): 0 at a goal, inf elsewhere. Edges u -> v are (S,), repeated ones too. Each
    sweep takes min(d(v) + cost) over all edges at once, as many times as the longest of the best
    paths has edges. Sums run from the goal, as in Dijkstra's search: the same bits.
    O(edges * depth).
    """
    num_nodes = len(goals)
    edges = numbered(source * max(num_nodes, 1) + target)
    cheapest = Segments(edges.ids, edges.num).smallest(cost)[:-1]
    source, target = source[edges.first], target[edges.first]
    leaving = Segments(source, num_nodes)
    found = goals
    while True:
        before = found
        for _ in range(_SWEEPS):
            found = torch.minimum(found, leaving.smallest(found[target] + cheapest)[:-1])
        if torch.equal(found, before):
            return found
