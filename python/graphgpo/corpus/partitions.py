"""Rows into partitions by a stable hash of their group, and back into the order they came in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from graphgpo.files.rows import ROW_SCHEMA, keys_of_runs

MOST_PARTITIONS = 4096
"""Each takes a file a worker writes; numbers are kept in 16 bits."""

_FLUSH_BYTES = 64 * 2**20
_COMPRESSION = "lz4"
_SPILLED = ROW_SCHEMA.set(
    ROW_SCHEMA.get_field_index("source_file"),
    pa.field("source_file", pa.dictionary(pa.int32(), pa.string()), nullable=False),
)
"""Of a table's one file the name is kept once: it would be a third of the rows."""


def partition_numbers(group_ids: Any, count: int) -> NDArray[np.uint16]:
    """The partition of each row: the same for all rows of a group, in every process.

    >>> partition_numbers(pa.chunked_array([["a", "b", "a"]]), 7).tolist()
    [2, 4, 2]
    """
    keys = keys_of_runs(group_ids).astype(np.uint64)
    return (keys % np.uint64(count)).astype(np.uint16)


class Spill:
    """One reading's rows, a file per partition, and the partition of each row in order.

    Holds about 64 MiB. `wanted`: the partitions that are written; of the others rows are only
    counted. `in_order`: columns that are also written in the order they come in, so that they need
    not be put back into it.
    """

    def __init__(
        self,
        folder: Path,
        part: int,
        count: int,
        wanted: frozenset[int],
        in_order: Sequence[str] = (),
    ) -> None:
        self._folder, self._part, self._count, self._wanted = folder, part, count, wanted
        schema = pa.schema([_SPILLED.field(name) for name in in_order])
        self._in_order = schema.names
        self._ordered = _writer(ordered_path(folder, part), schema) if in_order else None
        self._tables: list[pa.Table] = []
        self._numbers: list[NDArray[np.uint16]] = []
        self._num_bytes = 0
        self._writers: dict[int, Any] = {}
        self._route = route_path(folder, part).open("wb")

    def add(self, table: pa.Table) -> None:
        """Append rows of `ROW_SCHEMA`, of one file."""
        numbers = partition_numbers(table["group_id"], self._count)
        self._tables.append(_spilled(table))
        self._numbers.append(numbers)
        self._num_bytes += table.nbytes
        self._route.write(numbers.tobytes())
        if self._num_bytes >= _FLUSH_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is held."""
        self._flush()
        for writer in self._writers.values():
            writer.close()
        if self._ordered is not None:
            self._ordered.close()
        self._route.close()

    def _flush(self) -> None:
        if not self._tables:
            return
        numbers = np.concatenate(self._numbers)
        rows = pa.concat_tables(self._tables).combine_chunks()
        if self._ordered is not None:
            self._ordered.write_table(rows.select(self._in_order))
        if not self._wanted:
            self._tables, self._numbers, self._num_bytes = [], [], 0
            return
        # One sort and one copy of the rows, then slices.
        rows = rows.take(pa.array(np.argsort(numbers, kind="stable")))
        counts = np.bincount(numbers, minlength=self._count)
        starts = np.cumsum(counts) - counts
        for number in np.flatnonzero(counts).tolist():
            if number in self._wanted:
                part = rows.slice(int(starts[number]), int(counts[number]))
                self._writer(number).write_table(part)
        self._tables, self._numbers, self._num_bytes = [], [], 0

    def _writer(self, number: int) -> Any:
        if number not in self._writers:
            path = spill_path(self._folder, self._part, number)
            self._writers[number] = _writer(path, _SPILLED)
        return self._writers[number]


def _spilled(table: pa.Table) -> pa.Table:
    """The rows of one file as `_SPILLED`."""
    codes = pa.array(np.zeros(table.num_rows, np.int32))
    names = pa.DictionaryArray.from_arrays(codes, table["source_file"][:1].combine_chunks())
    place = _SPILLED.get_field_index("source_file")
    return table.set_column(place, _SPILLED.field(place), names)


def _writer(path: Path, schema: pa.Schema) -> Any:
    options = pa.ipc.IpcWriteOptions(compression=_COMPRESSION)
    return pa.ipc.new_stream(str(path), schema, options=options)


def spill_path(folder: Path, part: int, number: int) -> Path:
    """Rows of one partition that one reading found."""
    return folder / f"{part:05d}-{number:05d}.arrow"


def ordered_path(folder: Path, part: int) -> Path:
    """Columns of all rows that one reading found, in order."""
    return folder / f"{part:05d}.ordered.arrow"


def route_path(folder: Path, part: int) -> Path:
    """The partition of every row that one reading found."""
    return folder / f"{part:05d}.route"


def read_partition(folder: Path, num_parts: int, number: int) -> pa.Table:
    """All rows of a partition, in the order of the input."""
    paths = (spill_path(folder, part, number) for part in range(num_parts))
    tables = [_read_stream(path) for path in paths if path.exists()]
    return pa.concat_tables([_SPILLED.empty_table(), *tables]).cast(ROW_SCHEMA)


def _read_stream(path: Path) -> pa.Table:
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_stream(file).read_all()


def in_input_order(
    folder: Path, num_parts: int, partitions: Sequence[pa.Table | None], schema: pa.Schema
) -> Iterator[pa.Table]:
    """Rows of `schema` in the order of the input, in tables of about 64 MiB.

    `partitions`: columns that were made of each partition's rows, in that order, best
    memory-mapped; None: it has no rows. All other columns are those that were written in order.
    """
    made = [table for table in partitions if table is not None]
    names = [name for name in schema.names if made and name in made[0].column_names]
    taken = np.zeros(len(partitions), np.int64)
    for part in range(num_parts):
        with (
            route_path(folder, part).open("rb") as route,
            pa.OSFile(str(ordered_path(folder, part))) as file,
        ):
            for batch in pa.ipc.open_stream(file):
                table = pa.Table.from_batches([batch])
                numbers = np.frombuffer(route.read(2 * table.num_rows), np.uint16)
                columns = _put_back(numbers, partitions, taken, names) if names else {}
                every = [columns.get(name) or table[name] for name in schema.names]
                yield pa.table(every, schema.names).cast(schema)


def _put_back(
    numbers: NDArray[np.uint16],
    partitions: Sequence[pa.Table | None],
    taken: NDArray[np.int64],
    names: Sequence[str],
) -> dict[str, Any]:
    """Columns of rows that lie in the partitions of these `numbers`; `taken` is kept between."""
    counts = np.bincount(numbers, minlength=len(partitions))
    blocks = []
    for number in np.flatnonzero(counts).tolist():
        rows = partitions[number]
        assert rows is not None
        blocks.append(rows.select(names).slice(int(taken[number]), int(counts[number])))
    taken += counts
    places = np.empty(len(numbers), np.int64)
    places[np.argsort(numbers, kind="stable")] = np.arange(len(numbers))
    found = pa.concat_tables(blocks).combine_chunks().take(pa.array(places))
    return {name: found[name] for name in names}
