"""A graph that remembers: which steps were ever taken in a task, from batch to batch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graphgpo import _core
from graphgpo.counts import at_least_one
from graphgpo.ingest import check_lengths, key_column, plain_column

if TYPE_CHECKING:
    from typing_extensions import Self

    from graphgpo.states.merging import Merging

EDGE_COLUMNS = ("task", "source", "target", "is_goal", "last_seen")
_MOST_BATCHES = 2**62  # what is counted from them stays an int64


class GraphMemory:
    """The edges ever seen of every task, GOAL included, by stable keys of states.

    Pass it with `task_ids` to `compute_advantages` or `Rollouts`. It enters two things: distances
    are those along remembered and present edges together; and GraphGPO's edge returns are compared
    with one more step of each state, along the best edge from there that is remembered. Credit goes
    to the batch's steps alone, and whether somebody won is asked of the batch. The same edges and
    credit come of any order of rows and any number of threads. Every step costs 1.

    Texts are not kept. Calls from several threads wait for each other; a signal's handler that asks
    a memory in the middle of whose call it runs gets a RuntimeError. A batch that is refused for a
    row, or that Ctrl-C stops, may have been remembered in part: its other edges were taken, too.

    Parameters
    ----------
    max_states_per_task
        Bound of each task, >= 1, kept after every batch. Beyond it edges that are on no shortest
        way to GOAL go first, the least recently seen of them first.
    max_age
        Edges that were not seen in so many batches before are forgotten; None: they are kept.
    path
        A Parquet file: read if it exists, and where `save()` writes. Needs pyarrow
        (`graphgpo[files]`).

    Raises
    ------
    TypeError, ValueError
        For a bound out of range, and for a file that is torn, of another version, or no memory.

    >>> memory = GraphMemory(max_states_per_task=1000)
    >>> memory
    GraphMemory(0 tasks, 0 states, 0 edges after 0 batches)
    """

    def __init__(
        self,
        *,
        max_states_per_task: int = 10_000,
        max_age: int | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        self.max_states_per_task = at_least_one("max_states_per_task", max_states_per_task)
        self.max_age = None if max_age is None else at_least_one("max_age", max_age)
        self.path = None if path is None else Path(path)
        self._core = self._new()
        if self.path is not None and self.path.exists():
            from graphgpo.memory_file import read_edges

            self._core.add(**checked_edges(read_edges(self.path), str(self.path)))

    @property
    def native(self) -> _core.GraphMemory:
        """What the core works on."""
        return self._core

    def _new(self) -> _core.GraphMemory:
        return _core.GraphMemory(max_states_per_task=self.max_states_per_task, max_age=self.max_age)

    @property
    def num_tasks(self) -> int:
        """Tasks of which something is remembered."""
        return self._core.sizes()[0]

    @property
    def num_states(self) -> int:
        """Their states."""
        return self._core.sizes()[1]

    @property
    def num_edges(self) -> int:
        """Their edges."""
        return self._core.sizes()[2]

    @property
    def num_batches(self) -> int:
        """How many batches were seen, which is what age is counted in."""
        return self._core.sizes()[3]

    def __repr__(self) -> str:
        tasks, states, edges, batches = self._core.sizes()
        return f"GraphMemory({tasks} tasks, {states} states, {edges} edges after {batches} batches)"

    def merge(self, other: GraphMemory) -> None:
        """Add what another one remembers, such as another rank's.

        An edge of both was last seen when the later one says so.
        """
        if not isinstance(other, GraphMemory):
            raise TypeError(f"other is a {type(other).__name__}; expected a GraphMemory")
        self._core.add(**other.native.edges())

    def forget(self, task: Any) -> bool:
        """Forget a task by its id; whether anything was remembered of it."""
        (key,) = task_keys([task], None).tolist()
        return self._core.forget(task=key)

    def state_dict(self) -> dict[str, Any]:
        """Everything as int64 and bool arrays, and the number of batches, for a checkpoint."""
        return self._core.edges()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember what `state_dict` gave, and nothing else. Arrays may be CPU tensors.

        Raises ValueError for what no memory can have given, and remembers what it did before.
        """
        new = self._new()
        new.add(**checked_edges(state, "the state"))
        self._core = new

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Write a Parquet file: the whole of it or, if the process dies, nothing."""
        from graphgpo.memory_file import write_edges

        chosen = self.path if path is None else Path(path)
        if chosen is None:
            raise ValueError("path is None; expected one here or where the memory was made")
        write_edges(chosen, self._core.edges())

    def __getstate__(self) -> dict[str, Any]:
        bounds = {"max_states_per_task": self.max_states_per_task, "max_age": self.max_age}
        return {**bounds, "path": self.path, "edges": self._core.edges()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.max_states_per_task, self.max_age = state["max_states_per_task"], state["max_age"]
        self.path = state["path"]
        self._core = self._new()
        self._core.add(**state["edges"])

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copy = type(self).__new__(type(self))
        copy.__setstate__(self.__getstate__())
        return copy


def checked_edges(state: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Edges and the number of batches as the core takes them; `ValueError` for what are none."""
    missing = [name for name in ("num_batches", *EDGE_COLUMNS) if name not in state]
    if missing:
        raise ValueError(f"{missing[0]} is not in {origin}; expected what state_dict() gave")
    num_batches = state["num_batches"]
    if not isinstance(num_batches, (int, np.integer)) or not 0 <= num_batches < _MOST_BATCHES:
        raise ValueError(
            f"num_batches of {origin} is {num_batches!r}; expected an int in [0, 2**62)"
        )
    found: dict[str, Any] = {name: np.asarray(state[name]) for name in EDGE_COLUMNS}
    size = len(found["task"]) if found["task"].ndim == 1 else -1
    for name, values in found.items():
        kind = np.dtype(np.bool_ if name == "is_goal" else np.int64)
        is_its_kind = values.dtype == kind or values.size == 0
        if values.shape != (size,) or not is_its_kind:
            raise ValueError(
                f"{name} of {origin} is {values.dtype} of shape {values.shape}; expected {kind}, "
                "one for every edge"
            )
        found[name] = np.ascontiguousarray(values, dtype=kind)
    seen = found["last_seen"]
    wrong = np.flatnonzero((seen < 0) | (seen > num_batches))
    if len(wrong) > 0:
        raise ValueError(
            f"last_seen[{wrong[0]}] of {origin} is {seen[wrong[0]]}; expected a batch in "
            f"[0, {num_batches}]"
        )
    return {**found, "num_batches": int(num_batches)}


def check_memory(
    memory: object, columns: Mapping[str, Any], task_ids: Any, merging: Merging
) -> None:
    """Refuse what a memory does not go with, states that are named within their batch among it."""
    if merging.similar is not None or merging.node_history > 1:
        raise ValueError(
            "similar and node_history name states within one batch, a memory in every one; leave "
            "them out, or the memory"
        )
    if not isinstance(memory, GraphMemory):
        raise TypeError(f"memory is a {type(memory).__name__}; expected a graphgpo.GraphMemory")
    if task_ids is None:
        raise ValueError(
            "task_ids is None; a memory needs them: an id per row that names its task in every "
            "batch, as group_ids made anew for each do not"
        )
    if columns.get("edge_costs") is not None:
        raise ValueError("edge_costs are given, but in a memory every step costs 1; leave one out")


def in_words_of(memory: GraphMemory, columns: Mapping[str, Any], task_ids: Any) -> dict[str, Any]:
    """A batch in a memory's words: keys of its tasks, states and next states.

    `columns` are those of the batch as they were read, with stable keys.
    """
    tasks = plain_column("task_ids", task_ids)
    check_lengths({"states": columns["states"], "task_ids": tasks})
    keys: dict[str, Any] = dict.fromkeys(("next_states", "next_is_unknown"))
    keys["states"], _ = _core.nullable_stable_keys(column=columns["states"])
    if columns["next_states"] is not None:
        keys["next_states"], keys["next_is_unknown"] = _core.nullable_stable_keys(
            column=columns["next_states"]
        )
    return {**keys, "memory": memory.native, "tasks": task_keys(tasks, columns["mask"])}


def keys_in_words_of(
    memory: GraphMemory, states: NDArray[np.int64], next_states: Any, tasks: NDArray[np.int64]
) -> dict[str, Any]:
    """The same of columns that are such keys already; some of `next_states` may be None."""
    keys: dict[str, Any] = dict.fromkeys(("next_states", "next_is_unknown"))
    if next_states is not None:
        unknown = np.array([key is None for key in next_states], dtype=np.bool_)
        known = [0 if key is None else key for key in next_states]
        keys["next_states"], keys["next_is_unknown"] = np.array(known, dtype=np.int64), unknown
    return {**keys, "states": states, "memory": memory.native, "tasks": tasks}


def task_keys(task_ids: Any, mask: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """A stable key for every task; of a masked row any."""
    column = key_column("task_ids", task_ids, mask, is_id=True)
    return _core.nullable_stable_keys(column=column)[0]
