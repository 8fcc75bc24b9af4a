"""What is known of a Parquet corpus before its rows are read, such as where groups begin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt
from numpy.typing import NDArray

from graphgpo.keys import state_keys

from . import tables
from .batch import OPTIONAL
from .errors import naming
from .formats.columns import converted, raw_columns, stored_columns
from .formats.steps import plan_of
from .mapping import Path, Place, Plan
from .paths import Source
from .rows import has_repeats, run_starts

_ROWS_OF_IDS = 1 << 18
_MOST_READ_AGAIN = 4.0
"""Times that all rows may be decoded in vain: what spilling them costs, about."""


@dataclass(frozen=True)
class Ahead:
    """Of a corpus whose groups each lie in one place. Rows are counted across its files."""

    group_starts: NDArray[np.int64]
    row_group_starts: NDArray[np.int64]
    file_ends: NDArray[np.int64]
    incomplete: frozenset[str]
    """As `graphgpo.files.batch.incomplete`, of all rows."""

    lacks_next_states: bool
    """As `Report.lacks_next_states`."""

    @property
    def num_rows(self) -> int:
        """Of all files."""
        return int(self.file_ends[-1])

    def ends(self, count: int) -> list[int] | None:
        """Where about `count` pieces of whole groups and about as many rows end.

        A piece begins with a row group where one is near, as to begin within one takes to decode
        what is before. None: too much would be decoded again and again.
        """
        wanted = np.arange(1, count) * self.num_rows // count
        bounds = np.append(self.row_group_starts, self.num_rows)
        after = np.searchsorted(bounds, wanted)
        nearest = np.where(
            bounds[after] - wanted < wanted - bounds[after - 1], bounds[after], bounds[after - 1]
        )
        is_near = 2 * count * np.abs(nearest - wanted) <= self.num_rows
        groups = np.append(self.group_starts, self.num_rows)
        ends = groups[np.searchsorted(groups, np.where(is_near, nearest, wanted))]
        ends = np.unique(np.append(ends[ends > 0], self.num_rows))
        decoded_again = ends - bounds[np.searchsorted(bounds, ends, "right") - 1]
        return None if decoded_again.sum() > _MOST_READ_AGAIN * self.num_rows else ends.tolist()

    def within(self, start: int, end: int) -> Iterator[tuple[int, range]]:
        """Numbers of the files that rows lie in, and the rows of each."""
        first, last = np.searchsorted(self.file_ends, [start, end - 1], "right").tolist()
        for file in range(first, last + 1):
            file_start = int(self.file_ends[file - 1]) if file else 0
            file_end = min(end, int(self.file_ends[file]))
            if file_end > file_start:
                yield file, range(max(start - file_start, 0), file_end - file_start)


def look_ahead(sources: Sequence[Source], plan: Plan | None) -> Ahead | None:
    """What can be known of files of steps; `plan`: the mapping of all, None: each has its own.

    None: not all are Parquet files of flat rows with an outcome each, or a group turns up again
    after another one.

    Raises
    ------
    FileError
        If a file is broken, a column missing, or a group's id null.
    """
    keys, starts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    row_groups: list[int] = []
    ends = [0]
    incomplete: set[str] = set()
    lacks_next_states = False
    for source in sources:
        if source.suffix != ".parquet":
            return None
        with naming(source.name):
            own = plan or plan_of(source)
            metadata = tables.metadata_of(source)
            sizes = tables.row_groups(metadata)
            if metadata.num_rows:
                file = _File(source, own, metadata, metadata.schema.to_arrow_schema())
                if own.depth or own.has_messages or not file.has_outcomes():
                    return None
                found, first_rows = file.groups()
                if has_repeats(found):
                    return None  # before the other files are looked at
                keys.append(found)
                starts.append(first_rows + ends[-1])
                incomplete |= {name for name in OPTIONAL if file.has_nulls(name)}
                lacks_next_states |= file.lacks_next_states()
        row_groups += sizes
        ends.append(ends[-1] + metadata.num_rows)
    every = np.concatenate(keys)
    begins = run_starts(every)  # a group may go on in the next file
    if has_repeats(every[begins]):
        return None
    return Ahead(
        np.concatenate(starts)[begins],
        np.cumsum([0, *row_groups])[:-1],
        np.array(ends[1:]),
        frozenset(incomplete),
        lacks_next_states,
    )


@dataclass(frozen=True)
class _File:
    """A Parquet file with rows."""

    source: Source
    plan: Plan
    metadata: pq.FileMetaData
    schema: pa.Schema

    def groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The key of every run of rows of one group, and where it starts."""
        keys, starts = [], []
        wanted = ("group_id", "training_step")
        is_by_place = any(isinstance(self.plan.origins.get(name), Place) for name in wanted)
        for first, batch in stored_columns(self.source, self.plan, wanted, _ROWS_OF_IDS):
            begins = np.arange(batch.num_rows) if is_by_place else _changes(batch)
            firsts = batch.take(pa.array(begins))
            raw = converted(firsts, self.source, self.plan, wanted, first)
            keys.append(state_keys(raw["group_id"]))
            starts.append(begins + first)
        every, first_rows = np.concatenate(keys), np.concatenate(starts)
        begins = run_starts(every)
        return every[begins], first_rows[begins]

    def has_outcomes(self) -> bool:
        """Whether every row surely has one, which is not so where it is text or of other rows."""
        if "success" in self.plan.origins:
            stored = self._stored("success")
            if stored is None or not (_has_own_nulls(stored.type) or pt.is_floating(stored.type)):
                return False
        return not all(self.has_nulls(name) for name in ("success", "outcome"))

    def has_nulls(self, column: str) -> bool:
        """Whether a value is missing: by statistics, where what is stored says it all."""
        if column not in self.plan.origins:
            return True
        stored = self._stored(column)
        is_action = column == "action"
        if stored and (_has_own_nulls(stored.type) or (is_action and pt.is_string(stored.type))):
            count = tables.null_count(self.metadata, stored.name)
            if count is not None:
                return count > 0
        columns = raw_columns(self.source, self.plan, (column,))
        return any(raw[column].null_count for _, _, raw in columns)

    def lacks_next_states(self) -> bool:
        """As the reader of the file takes it: by the first table."""
        if "next_state" not in self.plan.origins:
            return True
        _, num_rows, raw = next(raw_columns(self.source, self.plan, ("next_state",)))
        return bool(raw["next_state"].null_count == num_rows)

    def _stored(self, column: str) -> pa.Field | None:
        """The column of the file that it is; None: it is none."""
        origin = self.plan.origins[column]
        if isinstance(origin, Path) and origin.text in self.schema.names:
            return self.schema.field(origin.text)
        return None


def _has_own_nulls(kind: pa.DataType) -> bool:
    """Whether nothing becomes null that is not, such as NaN or an empty text."""
    return bool(pt.is_boolean(kind) or pt.is_integer(kind))


def _changes(batch: pa.Table) -> NDArray[np.int64]:
    """Rows that differ from the one before; all, where a value is null or not quickly compared."""
    is_change = np.zeros(batch.num_rows, np.bool_)
    is_change[0] = True
    for column in batch.columns:
        if column.null_count or not (pt.is_integer(column.type) or pt.is_string(column.type)):
            return np.arange(batch.num_rows)
        is_change[1:] |= pc.not_equal(column[1:], column[:-1]).to_numpy()
    return np.flatnonzero(is_change)
