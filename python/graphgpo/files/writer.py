"""Writers: rows to Parquet, Arrow, CSV or JSON Lines, whole or not at all."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet as pq
import pyarrow.types as pt

from graphgpo.aside import is_there, written_aside

from .errors import listed
from .rows import ROW_SCHEMA
from .tables import arrow_table, is_frame

_METADATA_KEY = b"graphgpo"


def write_rows(
    rows: Any,
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> int:
    """Write rows to a file, by its suffix: .parquet, .arrow, .csv or .jsonl.

    Parameters
    ----------
    rows : Arrow table, iterable of Arrow tables, or data frame
        Rows as `read_rows` yields them, with any further columns, such as credits. Tables of an
        iterable are written one by one, and have the same columns.
    path : path
        Where to. It is there whole or not at all.
    metadata : mapping, optional
        Kept in the file as JSON, under the key `graphgpo` of its schema. Parquet and Arrow only.
    overwrite : bool
        Whether `path` may be there already.

    Returns
    -------
    int
        How many rows were written.

    Raises
    ------
    FileExistsError
        If `path` is there and `overwrite` is false.
    ValueError
        If the suffix is none of these, or has no room for metadata.

    Examples
    --------
    >>> import tempfile
    >>> rows = pa.table({"group_id": ["a"], "credit": [0.5]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     count = write_rows(rows, f"{folder}/credits.parquet", metadata={"version": "0.1.0"})
    ...     kept = read_metadata(f"{folder}/credits.parquet")
    >>> count, kept
    (1, {'version': '0.1.0'})
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS:
        raise ValueError(f"path ends in {suffix!r}, expected one of {listed(_WRITERS)}")
    if metadata is not None and suffix not in WITH_METADATA:
        raise ValueError(f"{suffix} files have no room for metadata; write .parquet or .arrow")
    if Path(path).exists() and not overwrite:
        raise is_there(path)
    tables = iter(_tables(rows))
    first = next(tables, ROW_SCHEMA.empty_table())
    schema = _portable(first.schema)
    if metadata is not None:
        packed = json.dumps(metadata, sort_keys=True, default=str).encode()
        schema = schema.with_metadata({**(schema.metadata or {}), _METADATA_KEY: packed})
    count = 0
    with (
        written_aside(path, overwrite=overwrite) as aside,
        _WRITERS[suffix](aside, schema) as write,
    ):
        for table in itertools.chain([first], tables):
            write(table.cast(schema))
            count += table.num_rows
    return count


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The metadata that `write_rows` kept in a Parquet or Arrow file; None: it has none."""
    if Path(path).suffix == ".arrow":
        with pa.ipc.open_file(os.fspath(path)) as reader:
            schema = reader.schema
    else:
        schema = pq.read_schema(path)
    packed = (schema.metadata or {}).get(_METADATA_KEY)
    return None if packed is None else dict(json.loads(packed))


class StepWriter:
    """Records a training run: a Parquet file of rows per training step.

    Every file is there whole or not at all, so a run that dies leaves the steps before. A step
    written again, as after a resume, replaces the old file.

    Parameters
    ----------
    folder : path
        Where the files go: `step_000003.parquet`. Made with the first.
    metadata : mapping, optional
        Kept in every file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = StepWriter(folder)
    ...     writer.write(3, {"group_id": ["a"], "trajectory_id": ["0"], "step_id": [0],
    ...                      "state": ["hall"], "success": [True]}).name
    'step_000003.parquet'
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, metadata: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = Path(folder)
        self._metadata = dict(metadata or {})

    def write(self, training_step: int, rows: Any) -> Path:
        """Write the rows of one training step; returns the file.

        `rows`: a table or frame, or a mapping of columns, with at least group_id, trajectory_id,
        state and success; further columns are kept. The training step is a column of its own, so
        that groups of different steps stay apart.

        Raises
        ------
        ValueError
            If one of these columns is missing.
        """
        table = arrow_table(rows)
        missing = [name for name in _REQUIRED if name not in table.column_names]
        if missing:
            raise ValueError(f"rows have no {listed(missing)}")
        steps = pa.array([training_step] * table.num_rows, pa.int64())
        if "training_step" in table.column_names:
            table = table.drop_columns("training_step")
        path = self.folder / f"step_{training_step:06d}.parquet"
        write_rows(
            table.append_column("training_step", steps),
            path,
            metadata={**self._metadata, "training_step": training_step},
            overwrite=True,
        )
        return path


_REQUIRED = ("group_id", "trajectory_id", "state", "success")


def _portable(schema: pa.Schema) -> pa.Schema:
    """Views of text as the text that every reader of files knows."""
    plain = {"string_view": pa.string(), "binary_view": pa.binary()}
    fields = [field.with_type(plain.get(str(field.type), field.type)) for field in schema]
    return pa.schema(fields, schema.metadata)


def _tables(rows: Any) -> Iterable[pa.Table]:
    return [arrow_table(rows)] if is_frame(rows) else rows


@contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[Any]:
    # A dictionary of numbers that all differ is made in vain: half of the time, and of the size.
    of_kind = {name: [f.name for f in schema if is_kind(f.type)] for name, is_kind in _KINDS}
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=of_kind["text"],
        column_encoding=dict.fromkeys(of_kind["integer"], "DELTA_BINARY_PACKED") or None,
    ) as writer:
        yield writer.write_table


@contextmanager
def _arrow(path: Path, schema: pa.Schema) -> Iterator[Any]:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        yield writer.write_table


@contextmanager
def _csv(path: Path, schema: pa.Schema) -> Iterator[Any]:
    with pa.csv.CSVWriter(path, schema) as writer:

        def write(table: pa.Table) -> None:
            for batch in table.to_batches():
                if batch.num_rows:  # Arrow 17 repeats the header after an empty one
                    writer.write_batch(batch)

        yield write


@contextmanager
def _jsonl(path: Path, schema: pa.Schema) -> Iterator[Any]:
    encoder = msgspec.json.Encoder()
    with path.open("wb") as file:

        def write(table: pa.Table) -> None:
            for batch in table.to_batches(max_chunksize=4096):
                file.writelines(encoder.encode(row) + b"\n" for row in batch.to_pylist())

        yield write


WITH_METADATA = (".parquet", ".arrow")
_WRITERS = {".parquet": _parquet, ".arrow": _arrow, ".csv": _csv, ".jsonl": _jsonl}
SUFFIXES = tuple(_WRITERS)
_KINDS = (
    ("text", lambda kind: pt.is_string(kind) or pt.is_large_string(kind)),
    ("integer", lambda kind: kind in (pa.int32(), pa.int64())),
)
