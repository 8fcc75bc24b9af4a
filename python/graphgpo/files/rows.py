"""The rows every reader yields, one per step, and how rollouts become tables of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from graphgpo.keys import state_keys

ROW_SCHEMA = pa.schema(
    [
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("trajectory_id", pa.string(), nullable=False),
        pa.field("step_id", pa.int64(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("next_state", pa.string()),  # null: unknown
        pa.field("action", pa.string()),
        pa.field("success", pa.bool_(), nullable=False),
        pa.field("outcome", pa.float64(), nullable=False),
        pa.field("reward", pa.float64()),
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("source_row", pa.int64(), nullable=False),
    ]
)
"""Columns of the tables that `read_rows` yields."""

CODED = pa.dictionary(pa.int32(), pa.string())
"""How states of a part of a Parquet file come where that has each text once."""

TARGET_ROWS = 16_384
"""Rows of a table, about. More gain little, and states of agents can be long."""

TARGET_CHARACTERS = 64 * 2**20
"""Characters of states in a table that is made of rollouts, about."""


@dataclass(slots=True)
class Rollout:
    """One rollout as a reader of a format hands it over, before its outcome is judged."""

    group_id: str
    trajectory_id: str
    states: Sequence[str]
    last_state: str | None
    """What the environment showed after the last step; None: unknown."""

    actions: Sequence[str | None]
    outcome: bool | float
    source_row: int | Sequence[int]
    """The record it came from; one number per step where each had a record of its own."""

    rewards: Sequence[float | None] | None = None
    step_ids: Sequence[int] | None = None


class RowTables:
    """Collects rollouts into tables of `ROW_SCHEMA`."""

    def __init__(self, source_file: str) -> None:
        self._source_file = source_file
        self._columns: dict[str, list[Any]] = {}
        self._num_characters = 0
        self._clear()

    def _clear(self) -> None:
        self._columns = {name: [] for name in ROW_SCHEMA.names}
        self._num_characters = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to take the table."""
        num_rows = len(self._columns["state"])
        return num_rows >= TARGET_ROWS or self._num_characters >= TARGET_CHARACTERS

    def add(self, rollout: Rollout, success: bool) -> None:
        """Append the steps of a rollout."""
        columns, count = self._columns, len(rollout.states)
        self._num_characters += sum(map(len, rollout.states))
        source = rollout.source_row
        columns["group_id"] += [rollout.group_id] * count
        columns["trajectory_id"] += [rollout.trajectory_id] * count
        columns["step_id"] += rollout.step_ids or range(count)
        columns["state"] += rollout.states
        columns["next_state"] += [*rollout.states[1:], rollout.last_state]
        columns["action"] += rollout.actions
        columns["success"] += [success] * count
        columns["outcome"] += [float(rollout.outcome)] * count
        columns["reward"] += rollout.rewards or [None] * count
        columns["source_file"] += [self._source_file] * count
        columns["source_row"] += [source] * count if isinstance(source, int) else source

    def take(self) -> pa.Table:
        """The table of all rows added since the last call."""
        table = pa.table(self._columns, schema=ROW_SCHEMA)
        self._clear()
        return table


def run_starts(values: NDArray[Any]) -> NDArray[np.int64]:
    """Where runs of equal values begin.

    >>> run_starts(np.array([7, 7, 3])).tolist()
    [0, 2]
    """
    if len(values) == 0:
        return np.empty(0, np.int64)
    return np.flatnonzero(np.append(True, values[1:] != values[:-1]))


def has_repeats(keys: NDArray[np.int64]) -> bool:
    """Whether a key is there twice. Sorting them is quicker than to hash them.

    >>> has_repeats(np.array([3, 1, 3]))
    True
    """
    ordered = np.sort(keys)
    return bool((ordered[1:] == ordered[:-1]).any())


def keys_of_runs(column: Any) -> NDArray[np.int64]:
    """`graphgpo.state_keys` of an Arrow column of texts, quick where equal ones come in runs."""
    if len(column) == 0:
        return np.empty(0, np.int64)
    runs = pc.run_end_encode(pa.chunked_array(column).combine_chunks())
    return np.repeat(state_keys(runs.values), np.diff(runs.run_ends, prepend=0))


def group_key(*parts: object, training_step: object = None) -> str:
    """One id of several parts, injective: two groups never share it, nor two training steps.

    >>> group_key("water_fern", training_step=3)
    'step=3|water_fern'
    >>> group_key("a|b", "c") == group_key("a", "b|c")
    False
    """
    texts = [str(part).replace("%", "%25").replace("|", "%7C") for part in parts]
    if training_step is not None:
        texts.insert(0, f"step={training_step}")
    elif texts[0].startswith("step="):  # a name that looks like one
        texts[0] = texts[0].replace("=", "%3D", 1)
    return "|".join(texts)


def fill_next_states(table: pa.Table) -> pa.Table:
    """`table` with every null next state inside a rollout replaced by the following step's state.

    The last step of a rollout stays as it is. Rows with the same group, trajectory and step id are
    copies of one step. Rows keep their order.
    """
    if table.num_rows == 0:
        return table
    keys = [_codes(table[name]) for name in ("trajectory_id", "group_id")]
    steps = table["step_id"].to_numpy()
    order = np.lexsort((steps, *keys))
    is_same_rollout = np.ones(len(order) - 1, np.bool_)
    for key in keys:
        is_same_rollout &= key[order][1:] == key[order][:-1]
    is_copy = is_same_rollout & (steps[order][1:] == steps[order][:-1])
    firsts = np.flatnonzero(np.append(True, ~is_copy))  # of the copies of each step
    step_of = np.cumsum(np.append(True, ~is_copy)) - 1
    next_step = np.append(order[firsts[1:]], -1)
    next_step[:-1][~is_same_rollout[firsts[1:] - 1]] = -1
    following = np.empty(len(order), np.int64)
    following[order] = next_step[step_of]
    shifted = table["state"].take(pa.array(following, mask=following < 0))
    filled = pc.coalesce(table["next_state"], shifted)
    return table.set_column(
        table.schema.get_field_index("next_state"), table.schema.field("next_state"), filled
    )


def completed(table: pa.Table, columns: Collection[str]) -> pa.Table:
    """`table`, of whole rollouts, with what only these show: `Report.of_whole_rollouts`.

    next_state is filled in, success and outcome are made one of a rollout.
    """
    if "next_state" in columns:
        table = fill_next_states(table)
    return one_outcome(table) if "success" in columns else table


def one_outcome(table: pa.Table) -> pa.Table:
    """`table` with rollouts solved on all their rows that are so on some, by their best outcome."""
    if table.num_rows == 0:
        return table
    success = table["success"].to_numpy()
    solved = best_of_rollouts(table, success) > 0
    is_split = best_of_rollouts(table, solved & ~success) > 0
    best = best_of_rollouts(table, table["outcome"].to_numpy())
    columns = {
        "success": pa.array(solved),
        "outcome": pa.array(np.where(is_split, best, table["outcome"].to_numpy())),
    }
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), values)
    return table


def best_of_rollouts(table: pa.Table, values: NDArray[Any]) -> NDArray[np.float64]:
    """The largest value of each row's rollout; NaN: none of its values is known."""
    groups, trajectories = (_codes(table[name]) for name in ("group_id", "trajectory_id"))
    order = np.lexsort((trajectories, groups))
    starts = run_starts(groups[order] * (trajectories.max() + 1) + trajectories[order])
    largest = np.fmax.reduceat(values.astype(np.float64)[order], starts)
    best = np.empty(len(order))
    best[order] = np.repeat(largest, np.diff(starts, append=len(order)))
    return best


def _codes(column: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)


def concatenated(tables: Iterable[pa.Table]) -> pa.Table:
    """All rows of `tables`; an empty table of the schema where there is none."""
    return pa.concat_tables([ROW_SCHEMA.empty_table(), *tables])


def decoded(table: pa.Table) -> pa.Table:
    """`table` with texts in place of dictionaries and codes."""
    for place, field in enumerate(table.schema):
        if field.type == CODED:
            texts = table[place].cast(pa.string())
            table = table.set_column(place, field.with_type(pa.string()), texts)
    return table


def in_slices(table: pa.Table, rows: int = TARGET_ROWS) -> Iterator[pa.Table]:
    """`table` in tables of at most `rows` rows."""
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)
