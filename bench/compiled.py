"""GraphGPO's default options in loops that numba compiles, a group at a time: the best opponent we
know of on integer keys. As opponents.py says of all of them: nothing is checked, no metrics, ids 0,
1, ... in order of rows, rollouts in order, success on every row, unit costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

OMEGA = 0.1
SUCCESS_REWARD = 10.0
EPSILON = 1e-6
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    jitted: Any = numba.njit(nogil=True)(function)
    result: Function = jitted
    return result


@compiled
def find_node(key: Any, shift: Any, mask: Any, slots: Any, known: Any, num_known: Any) -> Any:
    """The node of a key, or where none has it, `num_known`, which is then its."""
    at = np.int64((np.uint64(key) * MULTIPLIER) >> shift)
    while slots[at] >= 0:
        if known[slots[at]] == key:
            return slots[at]
        at = (at + 1) & mask
    slots[at] = num_known
    known[num_known] = key
    return num_known


@compiled
def number_nodes(
    states: Any,
    next_states: Any,
    is_next_known: Any,
    begin: Any,
    end: Any,
    slots: Any,
    known: Any,
    sources: Any,
    targets: Any,
) -> Any:
    bits = 4
    while 1 << bits < 4 * (end - begin):
        bits += 1
    shift, mask = np.uint64(64 - bits), (1 << bits) - 1
    slots[: 1 << bits] = -1
    num = 0
    for row in range(begin, end):
        node = find_node(states[row], shift, mask, slots, known, num)
        num += node == num
        sources[row] = node
    if not is_next_known:
        return num
    for row in range(begin, end):
        if row + 1 < end and next_states[row] == states[row + 1]:
            targets[row] = sources[row + 1]
        else:
            node = find_node(next_states[row], shift, mask, slots, known, num)
            num += node == num
            targets[row] = node
    return num


@compiled
def link_nodes(
    begin: Any,
    end: Any,
    num: Any,
    trajectory_ids: Any,
    success: Any,
    sources: Any,
    targets: Any,
    is_next_known: Any,
) -> Any:
    """Targets of one column, and the goal in place of the last target of a success."""
    goal = -1
    for row in range(begin, end):
        is_last = row + 1 == end or trajectory_ids[row + 1] != trajectory_ids[row]
        if is_last and success[row]:
            if goal < 0:
                goal = num
                num += 1
            targets[row] = goal
        elif not is_next_known:
            if is_last:
                targets[row] = num
                num += 1
            else:
                targets[row] = sources[row + 1]
    return num, goal


@compiled
def measure(
    begin: Any,
    end: Any,
    num: Any,
    goal: Any,
    sources: Any,
    targets: Any,
    offsets: Any,
    items: Any,
    queue: Any,
    distance: Any,
) -> Any:
    """Steps from every node to the goal; the farthest and one more where there is no way."""
    distance[:num] = -1
    farthest = 0
    if goal >= 0:
        offsets[: num + 2] = 0
        for row in range(begin, end):
            offsets[targets[row] + 2] += 1
        for node in range(2, num + 2):
            offsets[node] += offsets[node - 1]
        for row in range(begin, end):
            items[offsets[targets[row] + 1]] = sources[row]
            offsets[targets[row] + 1] += 1
        distance[goal] = 0
        queue[0] = goal
        head, tail = 0, 1
        while head < tail:
            node = queue[head]
            head += 1
            for i in range(offsets[node], offsets[node + 1]):
                source = items[i]
                if distance[source] < 0:
                    distance[source] = distance[node] + 1
                    queue[tail] = source
                    tail += 1
        farthest = distance[queue[tail - 1]]
    for node in range(num):
        if distance[node] < 0:
            distance[node] = farthest + 1
    return farthest + 1


@compiled
def compare_trajectories(begin: Any, end: Any, trajectory_ids: Any, success: Any) -> Any:
    """Mean of the outcomes of a group's rollouts, and what their deviations are divided by."""
    count, won = 0, 0
    for row in range(begin, end):
        if row + 1 == end or trajectory_ids[row + 1] != trajectory_ids[row]:
            count += 1
            won += success[row]
    mean = won / count
    squares = won * (1 - mean) ** 2 + (count - won) * mean**2
    return mean, np.sqrt(squares / max(count - 1, 1)) + EPSILON


@compiled
def credit(
    states: Any,
    next_states: Any,
    trajectory_ids: Any,
    success: Any,
    bounds: Any,
    nodes: Any,
    is_numbered: Any,
    is_next_known: Any,
    powers: Any,
    sources: Any,
    targets: Any,
    scores: Any,
    distances: Any,
    next_distances: Any,
    joint: Any,
    of_step: Any,
    of_episode: Any,
) -> Any:
    most = 0
    for group in range(len(bounds) - 1):
        most = max(most, bounds[group + 1] - bounds[group])
    size = 16
    while size < 4 * most:
        size *= 2
    slots = np.empty(size, np.int32)
    known = np.empty(3 * most + 2, np.int64)
    offsets = np.empty(3 * most + 4, np.int32)
    items = np.empty(most, np.int32)
    queue = np.empty(3 * most + 2, np.int32)
    distance = np.empty(3 * most + 2, np.int32)
    count = np.empty(3 * most + 2, np.int32)
    mean = np.empty(3 * most + 2)
    spread = np.empty(3 * most + 2)
    first = 0
    for group in range(len(bounds) - 1):
        begin, end = bounds[group], bounds[group + 1]
        if is_numbered:
            num = nodes[group + 1] - nodes[group]
        else:
            num = number_nodes(
                states, next_states, is_next_known, begin, end, slots, known, sources, targets
            )
        num, goal = link_nodes(
            begin, end, num, trajectory_ids, success, sources, targets, is_next_known
        )
        measure(begin, end, num, goal, sources, targets, offsets, items, queue, distance)

        count[:num] = 0
        mean[:num] = 0
        spread[:num] = 0
        for row in range(begin, end):
            source, after = sources[row], distance[targets[row]]
            # Powers of the best of its peers: its own distance where it reaches the goal.
            scaled = powers[max(after + 1 - distance[source], 0)]
            scores[row] = scaled
            count[source] += 1
            mean[source] += scaled
        for node in range(num):
            mean[node] /= max(count[node], 1)
        for row in range(begin, end):
            deviation = scores[row] - mean[sources[row]]
            spread[sources[row]] += deviation * deviation
        for node in range(num):
            spread[node] = np.sqrt(spread[node] / max(count[node] - 1, 1)) + EPSILON

        outcome_mean, outcome_spread = compare_trajectories(begin, end, trajectory_ids, success)
        for row in range(begin, end):
            source, target = sources[row], targets[row]
            step = (scores[row] - mean[source]) / spread[source]
            episode = (success[row] - outcome_mean) / outcome_spread
            joint[row] = step + episode
            of_step[row] = step
            of_episode[row] = episode
            distances[row] = distance[source]
            next_distances[row] = distance[target]
            scores[row] = SUCCESS_REWARD * powers[distance[target] + 1]
            sources[row] = source + first
            targets[row] = target + first
        first += num


def _pointer_to(typing_context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


pointer_to: Any = intrinsic(_pointer_to)
carray: Any = vars(numba)["carray"]  # which its stubs do not export


@compiled
def read_memory(addresses: Any, sizes: Any) -> Any:
    """A number to which every word of every piece of memory contributes."""
    total = np.uint64(0)
    for i in range(len(addresses)):
        words = carray(pointer_to(addresses[i]), (sizes[i] >> 3,), np.uint64)
        for word in words:
            total ^= word
    return total


def answer(
    states: NDArray[np.int64],
    next_states: NDArray[np.int64] | None,
    *,
    group_ids: NDArray[np.int64],
    trajectory_ids: NDArray[np.int64],
    success: NDArray[np.bool_],
    is_numbered: bool = False,
) -> dict[str, NDArray[Any]]:
    """`is_numbered`: states are numbers, group after group, over the batch: nothing is hashed."""
    num_rows = len(states)
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(group_ids)) + 1, [num_rows]])
    nodes = np.zeros(len(bounds), np.int64)
    sources, targets = np.empty(num_rows, np.int64), np.empty(num_rows, np.int64)
    if is_numbered:
        last = np.maximum.reduceat(states, bounds[:-1])
        if next_states is not None:
            last = np.maximum(last, np.maximum.reduceat(next_states, bounds[:-1]))
        nodes[1:] = last + 1
        first = nodes[group_ids]
        sources = states - first
        targets = targets if next_states is None else next_states - first
    reals = np.empty((3, num_rows))
    singles = np.empty((3, num_rows), np.float32)
    longest = int(np.diff(bounds).max())
    credit(
        states, states if next_states is None else next_states, trajectory_ids, success, bounds,
        nodes, is_numbered, next_states is not None, powers_up_to(longest),
        sources, targets, *reals, *singles,
    )  # fmt: skip
    return {
        "advantages": singles[0],
        "step_advantages": singles[1],
        "episode_advantages": singles[2],
        "scores": reals[0],
        "distances": reals[1],
        "next_distances": reals[2],
        "state_ids": sources,
        "next_state_ids": targets,
    }


@cache
def powers_up_to(longest: int) -> NDArray[np.float64]:
    powers: NDArray[np.float64] = np.float64(OMEGA) ** np.arange(longest + 4)
    return powers


@cache
def seconds_to_compile() -> float:
    """Of the first call in this process, which does nothing else worth mentioning."""
    keys = np.arange(2)
    start = time.perf_counter()
    answer(keys, keys + 1, group_ids=keys * 0, trajectory_ids=keys * 0, success=keys > 1)
    return time.perf_counter() - start
