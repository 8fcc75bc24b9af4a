"""What `graphgpo.compute_advantages` is timed against. Each takes its columns and returns the same
eight arrays, in the default options; ids are dense over the batch but numbered in another order.

- `vectorised`: the best vectorised Python we know of, on its best day: interns group by group;
- `vectorised_batch`: what one would write first: a table for the batch, polars' `over`, Dijkstra;
- `numba`: loops that numba compiles, a pass per group; states that are no integers it numbers as
  `vectorised` does (bench/compiled.py);
- `plain`: dicts, lists and a deque, a step at a time;
- `recipe`: as `plain`, but finds rows as the official recipe does: by looking through all of them.

To make the best day better, all of them assume what the benchmarks' batches happen to hold and
graphgpo does not: ids 0, 1, ... in order of rows, rollouts in order and success on every row.
Nothing is checked, and there are no metrics.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import chain, count, pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ids: TypeAlias = NDArray[np.int64]
Answer: TypeAlias = dict[str, NDArray[Any]]
Interned: TypeAlias = tuple[Ids, Ids, int]  # sources, targets, number of states
Intern: TypeAlias = Callable[[Any, Any, Ids], Interned]
Measure: TypeAlias = Callable[[Ids, Ids, int, Ids], NDArray[np.float64]]

FIELDS = (
    "advantages",
    "step_advantages",
    "episode_advantages",
    "scores",
    "distances",
    "next_distances",
    "state_ids",
    "next_state_ids",
)
OMEGA = 0.1
SUCCESS_REWARD = 10.0
EPSILON = 1e-6


# --- the best vectorised Python -----------------------------------------------------------------


def vectorised(
    states: Any,
    next_states: Any,
    *,
    group_ids: Ids,
    trajectory_ids: Ids,
    success: NDArray[np.bool_],
    intern: Intern = lambda *columns: intern_by_group(*columns),
    measure: Measure = lambda *edges: distances_by_tree(*edges),
) -> Answer:
    is_last = np.empty(len(group_ids), np.bool_)
    is_last[-1] = True
    np.not_equal(trajectory_ids[1:], trajectory_ids[:-1], out=is_last[:-1])
    last = np.flatnonzero(is_last)
    wins = last[success[last]]

    sources, targets, num_states = intern(states, next_states, group_ids)
    num_groups = int(group_ids[-1]) + 1
    if next_states is None:
        targets = np.empty_like(sources)
        targets[:-1] = sources[1:]
        targets[last] = np.arange(num_states, num_states + len(last))  # leaves
        num_states += len(last)
    goal_of_group = np.full(num_groups, -1)
    groups_with_goal = np.unique(group_ids[wins])
    goals = np.arange(num_states, num_states + len(groups_with_goal))
    goal_of_group[groups_with_goal] = goals
    targets[wins] = goal_of_group[group_ids[wins]]
    num_states += len(goals)

    distance = measure(sources, targets, num_states, goals)
    distances, next_distances = distance[sources], distance[targets]
    reachable = np.isfinite(distances)
    farthest = np.zeros(num_groups)
    np.maximum.at(farthest, group_ids[reachable], distances[reachable])
    unreachable = farthest[group_ids] + 1
    np.copyto(distances, unreachable, where=~reachable)
    np.copyto(next_distances, unreachable, where=np.isinf(next_distances))

    # A state's best exponent is its distance where it reaches the goal, and all are equal where it
    # does not: with unit costs the relative scale needs no minimum per state.
    powers = np.float64(OMEGA) ** np.arange(int(unreachable.max()) + 2)
    hops = next_distances.astype(np.int64) + 1
    scaled: NDArray[np.float64] = powers[np.maximum(hops - distances.astype(np.int64), 0)]
    step_advantages = _standardise(scaled, sources, num_states)

    won = success[last].astype(np.float64)
    standing = _standardise(won, group_ids[last], num_groups)
    episode_advantages = standing[trajectory_ids]
    return {
        "advantages": (step_advantages + episode_advantages).astype(np.float32),
        "step_advantages": step_advantages.astype(np.float32),
        "episode_advantages": episode_advantages.astype(np.float32),
        "scores": SUCCESS_REWARD * powers[hops],
        "distances": distances,
        "next_distances": next_distances,
        "state_ids": sources,
        "next_state_ids": targets,
    }


def vectorised_batch(states: Any, next_states: Any, **columns: Any) -> Answer:
    """The same with the usual parts: tables for the whole batch, and SciPy's Dijkstra."""
    ways: dict[str, Any] = {"intern": intern_by_batch, "measure": distances_by_dijkstra}
    return vectorised(states, next_states, **columns, **ways)


def by_numba(states: Any, next_states: Any, *, group_ids: Ids, **columns: Any) -> Answer:
    """One compiled pass per group. Compiled when it is first called: measure that apart."""
    import compiled

    if isinstance(states, np.ndarray) and states.ndim == 1 and states.dtype.kind in "iu":
        return compiled.answer(states, next_states, group_ids=group_ids, **columns)
    sources, targets, _ = intern_by_group(states, next_states, group_ids)
    known = None if next_states is None else targets
    return compiled.answer(sources, known, group_ids=group_ids, is_numbered=True, **columns)


def seconds_to_compile() -> float:
    """Of numba's loops, once per process."""
    import compiled

    return compiled.seconds_to_compile()


def is_installed(name: str) -> bool:
    """Whether what an opponent needs is: numba is no dependency of the tests."""
    return name != "numba" or find_spec("numba") is not None


def _standardise(values: NDArray[np.float64], sets: Ids, num_sets: int) -> NDArray[np.float64]:
    sizes = np.maximum(np.bincount(sets, minlength=num_sets), 1)
    mean = np.bincount(sets, values, num_sets) / sizes
    deviations = values - mean[sets]
    variance = np.bincount(sets, deviations * deviations, num_sets) / np.maximum(sizes - 1, 1)
    standing: NDArray[np.float64] = deviations / (np.sqrt(variance) + EPSILON)[sets]
    return standing


# --- (group, state) to ids ----------------------------------------------------------------------
# Group by group every table fits a cache, which beats any way of doing the batch at once.


def intern_by_group(states: Any, next_states: Any, group_ids: Ids) -> Interned:
    """The fastest way for this kind of column."""
    if isinstance(states, np.ndarray) and states.ndim == 1:
        if states.dtype.kind not in "iu":
            return objects_by_group(_as_list(states), _as_list(next_states), group_ids)
        if len(states) < 100_000:  # one table fits the cache too, and is one call
            return intern_by_batch(states, next_states, group_ids)
        return integers_by_group(states, next_states, group_ids)
    # A list goes into Arrow faster than into dicts only where one group is huge, and not reliably.
    by_kind = objects_by_group if isinstance(states, list) else arrow_by_group
    return by_kind(states, next_states, group_ids)


def objects_by_group(states: Any, next_states: Any, group_ids: Ids) -> Interned:
    """A dict per group, all of whose work is done in C: `__missing__` hands out the next number."""
    number: Iterator[int] = count()
    sources: list[int] = []
    targets: list[int] = []
    for rows in _groups(group_ids):
        ids: defaultdict[Any, int] = defaultdict(number.__next__)
        sources.extend(map(ids.__getitem__, states[rows]))
        if next_states is not None:
            targets.extend(map(ids.__getitem__, next_states[rows]))
    return np.array(sources), np.array(targets, np.int64), next(number)


def arrow_by_group(states: Any, next_states: Any, group_ids: Ids) -> Interned:
    """Arrow's dictionary encoding of every group."""
    columns = [_as_arrow(column) for column in (states, next_states) if column is not None]
    ids = np.empty((len(columns), len(group_ids)), np.int64)
    first_id = 0
    for rows in _groups(group_ids):
        encoded = _chunked([column[rows] for column in columns]).dictionary_encode()
        codes = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
        ids[:, rows] = codes.reshape(len(columns), -1)
        ids[:, rows] += first_id
        first_id += len(encoded.chunk(0).dictionary)
    return ids[0], ids[-1], first_id


def integers_by_group(states: Ids, next_states: Ids | None, group_ids: Ids) -> Interned:
    """Pandas' hash table for every group."""
    import pandas as pd

    columns = [states] if next_states is None else [states, next_states]
    ids = np.empty((len(columns), len(group_ids)), np.int64)
    first_id = 0
    for rows in _groups(group_ids):
        codes, distinct = pd.factorize(np.concatenate([column[rows] for column in columns]))
        ids[:, rows] = codes.reshape(len(columns), -1)
        ids[:, rows] += first_id
        first_id += len(distinct)
    return ids[0], ids[-1], first_id


def _groups(group_ids: Ids) -> Iterator[slice]:
    bounds = [0, *(np.flatnonzero(np.diff(group_ids)) + 1).tolist(), len(group_ids)]
    return map(slice, bounds[:-1], bounds[1:])


def intern_by_batch(states: Any, next_states: Any, group_ids: Ids) -> Interned:
    """One table for the batch: of states, then of pairs of integers; polars takes both at once."""
    import pandas as pd

    if isinstance(states, np.ndarray) and states.ndim == 1 and states.dtype.kind in "iu":
        both = states if next_states is None else np.concatenate([states, next_states])
        codes = pd.factorize(both)[0]
    elif hasattr(states, "type") or hasattr(states, "to_arrow"):  # pyarrow, polars
        return pairs_by_polars(states, next_states, group_ids)
    else:
        ids: defaultdict[Any, int] = defaultdict(count().__next__)
        columns = [_as_list(column) for column in (states, next_states) if column is not None]
        codes = np.fromiter(map(ids.__getitem__, chain(*columns)), np.int64)
    repeats = len(codes) // len(group_ids)
    pairs, distinct = pd.factorize(np.tile(group_ids * (codes.max() + 1), repeats) + codes)
    return pairs[: len(group_ids)], pairs[-len(group_ids) :], len(distinct)


def pairs_by_polars(states: Any, next_states: Any, group_ids: Ids) -> Interned:
    """Every row gets the number of the first row with its (group, state); these are made dense."""
    import polars as pl

    columns = [pl.Series(_plain_text(c)) for c in (states, next_states) if c is not None]
    frame = pl.DataFrame({"group": np.tile(group_ids, len(columns)), "state": pl.concat(columns)})
    rows = frame.with_row_index("row")
    first = rows.select(pl.col("row").first().over("group", "state")).to_series().to_numpy()
    is_first = first == np.arange(len(first))
    ids = (np.cumsum(is_first) - 1)[first]
    return ids[: len(group_ids)], ids[-len(group_ids) :], int(np.count_nonzero(is_first))


def _as_list(column: Any) -> Any:
    """A list of objects that can be hashed."""
    if isinstance(column, np.ndarray):
        if column.ndim > 1:  # a row's bytes
            flat = np.ascontiguousarray(column).reshape(len(column), -1)
            column = flat.view(np.dtype((np.void, flat.shape[1] * flat.itemsize)))[:, 0]
        return column.tolist()
    for method in ("to_pylist", "to_list"):  # pyarrow, polars
        if hasattr(column, method):
            return getattr(column, method)()
    return column


def _as_arrow(column: Any) -> Any:
    """An Arrow column of texts, or of a row's bytes."""
    import pyarrow as pa

    if isinstance(column, np.ndarray):
        rows = np.ascontiguousarray(column)
        row_type = pa.binary(rows[0].nbytes)
        return pa.Array.from_buffers(row_type, len(rows), [None, pa.py_buffer(rows)])
    if hasattr(column, "to_arrow"):  # polars
        return column.to_arrow()
    return _plain_text(column)


def _plain_text(column: Any) -> Any:
    """Arrow texts of a type that polars takes and Arrow encodes."""
    import pyarrow as pa

    if hasattr(column, "type") and column.type not in (pa.string(), pa.large_string()):
        return column.cast(pa.string())
    return column


def _chunked(columns: list[Any]) -> Any:
    import pyarrow as pa

    chunks = [getattr(column, "chunks", [column]) for column in columns]
    return pa.chunked_array([chunk for each in chunks for chunk in each])


# --- distances ----------------------------------------------------------------------------------


def distances_by_tree(
    sources: Ids, targets: Ids, num_states: int, goals: Ids
) -> NDArray[np.float64]:
    """SciPy's breadth-first tree from a root that all goals hang on, then level by level.

    In breadth-first order a level is a run, and so are the children of a run.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order

    distance = np.full(num_states, np.inf)
    root = num_states
    parents = np.concatenate([targets, np.full(len(goals), root)])
    children = np.concatenate([sources, goals])
    weights = np.ones(len(parents))
    edges = csr_array((weights, (parents, children)), (root + 1, root + 1))
    order, parent = breadth_first_order(edges, root)
    place = np.empty(root + 1, np.int64)
    place[order] = np.arange(len(order))
    place_of_parent = place[parent[order[1:]]]  # never decreases
    start, stop, level = 0, 1, 0
    while stop < len(order):
        start, stop = stop, 1 + int(np.searchsorted(place_of_parent, stop))
        distance[order[start:stop]] = level
        level += 1
    return distance


def distances_by_dijkstra(
    sources: Ids, targets: Ids, num_states: int, goals: Ids
) -> NDArray[np.float64]:
    """SciPy's Dijkstra from all goals, every edge of cost 1."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    if len(goals) == 0:
        return np.full(num_states, np.inf)
    edges = csr_array((np.ones(len(sources)), (targets, sources)), (num_states, num_states))
    found: NDArray[np.float64] = dijkstra(edges, indices=goals, min_only=True, unweighted=True)
    return found


# --- plain Python -------------------------------------------------------------------------------

RowsOf: TypeAlias = Callable[[Ids], dict[int, list[int]]]


def plain(
    states: Any,
    next_states: Any,
    *,
    group_ids: Ids,
    trajectory_ids: Ids,
    success: NDArray[np.bool_],
) -> Answer:
    return _step_by_step(states, next_states, group_ids, trajectory_ids, success, _rows_by_dict)


def recipe(
    states: Any,
    next_states: Any,
    *,
    group_ids: Ids,
    trajectory_ids: Ids,
    success: NDArray[np.bool_],
) -> Answer:
    return _step_by_step(states, next_states, group_ids, trajectory_ids, success, _rows_by_search)


def _rows_by_dict(ids: Ids) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = defaultdict(list)
    for row, name in enumerate(ids.tolist()):
        rows[name].append(row)
    return rows


def _rows_by_search(ids: Ids) -> dict[int, list[int]]:
    """The recipe's `np.where` per row, on object arrays as its trainer has them."""
    names = ids.astype(object)
    return {name: np.where(names == name)[0].tolist() for name in names}


def _step_by_step(
    states: Any,
    next_states: Any,
    group_ids: Ids,
    trajectory_ids: Ids,
    success: NDArray[np.bool_],
    rows_of: RowsOf,
) -> Answer:
    states = _as_list(states)
    next_states = None if next_states is None else _as_list(next_states)
    succeeded = success.tolist()
    num_rows = len(states)
    following: list[int | None] = [None] * num_rows
    rows_of_trajectory = rows_of(trajectory_ids)
    for rows in rows_of_trajectory.values():
        for row, follower in pairwise(rows):
            following[row] = follower

    sources, targets = [0] * num_rows, [0] * num_rows
    distances, next_distances, scores = [0.0] * num_rows, [0.0] * num_rows, [0.0] * num_rows
    step_advantages, episode_advantages = [0.0] * num_rows, [0.0] * num_rows
    number = count()
    for rows in rows_of(group_ids).values():
        ids: dict[Any, int] = {}
        goal: int | None = None
        for row in rows:
            sources[row] = _id(ids, states[row], number)
            next_row = following[row]
            if next_row is None and succeeded[row]:
                goal = next(number) if goal is None else goal
                targets[row] = goal
            elif next_states is not None:
                targets[row] = _id(ids, next_states[row], number)
            elif next_row is not None:
                targets[row] = _id(ids, states[next_row], number)
            else:
                targets[row] = next(number)

        incoming: dict[int, list[int]] = defaultdict(list)
        peers: dict[int, list[int]] = defaultdict(list)
        for row in rows:
            incoming[targets[row]].append(sources[row])
            peers[sources[row]].append(row)
        distance = {} if goal is None else {goal: 0}
        queue = deque(distance)
        while queue:
            state = queue.popleft()
            for source in incoming[state]:
                if source not in distance:
                    distance[source] = distance[state] + 1
                    queue.append(source)
        unreachable = max(distance.values(), default=0) + 1
        for row in rows:
            distances[row] = distance.get(sources[row], unreachable)
            next_distances[row] = distance.get(targets[row], unreachable)
            scores[row] = SUCCESS_REWARD * OMEGA ** (next_distances[row] + 1)
        for same in peers.values():
            nearest = min(next_distances[row] for row in same)
            scaled = [OMEGA ** (next_distances[row] - nearest) for row in same]
            for row, standing in zip(same, _compare(scaled), strict=True):
                step_advantages[row] = standing

        trajectories = list(dict.fromkeys(trajectory_ids[rows].tolist()))
        won = [float(succeeded[rows_of_trajectory[name][-1]]) for name in trajectories]
        for name, standing in zip(trajectories, _compare(won), strict=True):
            for row in rows_of_trajectory[name]:
                episode_advantages[row] = standing

    step, episode = np.array(step_advantages), np.array(episode_advantages)
    return {
        "advantages": (step + episode).astype(np.float32),
        "step_advantages": step.astype(np.float32),
        "episode_advantages": episode.astype(np.float32),
        "scores": np.array(scores),
        "distances": np.array(distances, np.float64),
        "next_distances": np.array(next_distances, np.float64),
        "state_ids": np.array(sources),
        "next_state_ids": np.array(targets),
    }


def _id(ids: dict[Any, int], state: Any, number: Iterator[int]) -> int:
    if state not in ids:
        ids[state] = next(number)
    return ids[state]


def _compare(values: list[float]) -> list[float]:
    if min(values) == max(values):
        return [0.0] * len(values)
    mean = sum(values) / len(values)
    std = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    return [(value - mean) / (std + EPSILON) for value in values]


OPPONENTS: dict[str, Callable[..., Answer]] = {
    "vectorised": vectorised,
    "vectorised_batch": vectorised_batch,
    "numba": by_numba,
    "plain": plain,
    "recipe": recipe,
}


def differences(answer: Any, ours: Any) -> list[str]:
    """Fields in which an answer is not ours; ids may be numbered in another order."""
    if not isinstance(answer, dict):  # ours too
        answer = {name: getattr(answer, name) for name in FIELDS}
    fields = [
        name
        for name in FIELDS[:-2]
        if not np.allclose(answer[name], getattr(ours, name), rtol=1e-5, atol=1e-5)
    ]
    theirs = np.concatenate([answer["state_ids"], answer["next_state_ids"]])
    expected = np.concatenate([ours.state_ids, ours.next_state_ids])
    if not (_is_function(expected, theirs) and _is_function(theirs, expected)):
        fields.append("state_ids")
    return fields


def _is_function(names: Ids, values: Ids) -> bool:
    """Whether rows with one name have one value."""
    value_of = np.zeros(names.max() + 1, np.int64)
    value_of[names] = values
    return np.array_equal(value_of[names], values)
