"""The least total cost from every node of the batch to its group's goal."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor

from graphgpo.torch.device.segments import Segments, settled


def distances_to_goals(
    source: Tensor, target: Tensor, cost: Tensor, goals: Tensor, node_group: Tensor
) -> Tensor:
    """(nodes,) float64, inf where there is no way.

    `goals` are (groups,) nodes, -1 where nobody succeeded. Edges u -> v are (E,); the nodes of a
    group are neighbours. Sums run from the goal, as in Dijkstra's search: the same bits. Without a
    kernel min(d(v) + cost) over all edges at once, as often as the longest of the best paths has
    edges: O(edges * depth).
    """
    kernel = cuda_kernel() if goals.device.type == "cuda" else None
    if kernel is not None:
        return _searched(kernel, source, target, cost, goals, node_group)
    leaving = Segments(source, len(node_group))

    def sweep(found: Tensor) -> Tensor:
        return torch.minimum(found, leaving.smallest(found[target] + cost)[:-1])

    start = _nowhere(node_group).index_fill(0, goals[goals >= 0], 0.0)
    return settled(sweep, start, every=8)


def _searched(
    kernel: Any, source: Tensor, target: Tensor, cost: Tensor, goals: Tensor, node_group: Tensor
) -> Tensor:
    """The same by the kernel of cpp/cuda/search.hpp, on torch's current stream: O(edges) with unit
    costs. All memory is torch's, and of that stream.
    """
    num_nodes, num_groups = len(node_group), len(goals)
    order = torch.argsort(target, stable=True)
    ends = goals.to(torch.int32)
    found = _nowhere(node_group)
    memory = {
        "edge_offsets": _offsets(target, num_nodes),
        "edge_sources": source[order].to(torch.int32),
        "edge_costs": cost[order],
        "goals": ends,
        "node_offsets": _offsets(node_group, num_groups),
        "distances": found,
        "queued_in": ends.new_full((num_nodes,), -1),
        "frontier": ends.new_empty(num_nodes),
        "next_frontier": ends.new_empty(num_nodes),
        "queue_sizes": ends.new_zeros(3 * (num_groups + 1)),
    }
    with torch.cuda.device(goals.device):
        kernel.search_from_goals(
            **{name: tensor.data_ptr() for name, tensor in memory.items()},
            num_groups=num_groups,
            stream=torch.cuda.current_stream(goals.device).cuda_stream,
        )
    return found


def _nowhere(node_group: Tensor) -> Tensor:
    return torch.full_like(node_group, math.inf, dtype=torch.float64)


def _offsets(numbers: Tensor, num: int) -> Tensor:
    """(num + 1,) int32: where each begins among them in order."""
    ends = torch.bincount(numbers, minlength=num).cumsum(0)
    return torch.cat([ends.new_zeros(1), ends]).to(torch.int32)


@functools.cache
def cuda_kernel() -> Any:
    """`graphgpo._cuda`, if this build has it."""
    try:
        from graphgpo import _cuda
    except ImportError:
        return None
    return _cuda
