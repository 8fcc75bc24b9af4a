"""Parquet, Arrow, CSV and data frames as streams of Arrow record batches."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet as pq

from .errors import FileError
from .paths import TABLE_SUFFIXES, Source
from .rows import TARGET_ROWS

_ROWS_WEIGHED = 1024
_BYTES_OF_CODE = 8  # a row, at the most: of texts that all differ the dictionary costs more
_BROKEN = (pa.ArrowException, OSError, EOFError, zlib.error)
_NULLS = [""]  # unquoted; "null" and "nan" may be what a policy said


def is_table(source: Source) -> bool:
    """Whether a source is a table."""
    return source.table is not None or source.suffix in TABLE_SUFFIXES


def is_frame(value: Any) -> bool:
    """Whether a value is a data frame: a polars or pandas one, or an Arrow table."""
    return hasattr(value, "__arrow_c_stream__") or hasattr(value, "__dataframe__")


def frame_source(frame: Any) -> Source:
    """A data frame as a source."""
    table = arrow_table(frame)
    return Source("<DataFrame>", table=table.drop_columns(_index_columns(table)))


def arrow_table(frame: Any) -> pa.Table:
    """A data frame, or a mapping of columns, as an Arrow table."""
    if isinstance(frame, pa.Table):
        return frame
    # Polars has texts of a newer kind in its stream, which few functions of Arrow 17 know.
    table = frame.to_arrow() if hasattr(frame, "to_arrow") else pa.table(frame)
    if not isinstance(table, pa.Table):
        raise TypeError(f"a {type(frame).__name__} is one column; expected a data frame")
    return table


def _index_columns(table: pa.Table) -> list[str]:
    return [name for name in table.column_names if name.startswith("__index_level_")]


def schema(source: Source) -> pa.Schema:
    """The columns of a table.

    Raises
    ------
    FileError
        If the file is not what its suffix says, or two columns have one name.
    """
    try:
        found = _schema(source)
    except _BROKEN as error:
        raise _broken(source, error) from None
    twice = [name for name in found.names if len(found.get_all_field_indices(name)) > 1]
    if twice:
        raise FileError(f"two columns are called {twice[0]!r}; give one another name", source.name)
    return found


def _schema(source: Source) -> pa.Schema:
    if source.table is not None:
        return source.table.schema
    if source.suffix == ".parquet":
        return pq.read_schema(source.path)
    if source.suffix in (".csv", ".tsv"):
        return _csv(source).schema
    with _arrow(source) as reader:
        return reader.schema


def text_bytes(source: Source) -> int:
    """Bytes of memory that the rows of a file take, roughly and without reading them all.

    Texts of a Parquet file are stored once each, so its size says little: its rows are counted and
    the first ones weighed. A state of any other file comes twice, as the next one too.
    """
    if source.suffix != ".parquet" or source.path is None:
        is_packed = source.suffix == ".eval" or (source.path and source.path.suffix == ".gz")
        return source.num_bytes * (20 if is_packed else 2)
    try:
        with pq.ParquetFile(source.path) as file:
            first = next(file.iter_batches(batch_size=_ROWS_WEIGHED), None)
            if not first:
                return 0
            return int(first.nbytes / first.num_rows * file.metadata.num_rows)
    except _BROKEN as error:
        raise _broken(source, error) from None


def metadata_of(source: Source) -> pq.FileMetaData:
    """What a Parquet file says of itself.

    Raises
    ------
    FileError
        If it is none.
    """
    try:
        return pq.read_metadata(source.path)
    except _BROKEN as error:
        raise _broken(source, error) from None


def row_groups(metadata: pq.FileMetaData) -> list[int]:
    """Rows of each row group of a Parquet file."""
    return [metadata.row_group(place).num_rows for place in range(metadata.num_row_groups)]


def null_count(metadata: pq.FileMetaData, column: str) -> int | None:
    """Nulls in a column of a Parquet file, by its statistics; None: they do not say."""
    paths = [metadata.schema.column(place).path for place in range(metadata.num_columns)]
    if paths.count(column) != 1:
        return None
    place, count = paths.index(column), 0
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(place).statistics
        if statistics is None or not statistics.has_null_count:
            return None
        count += statistics.null_count
    return count


def batches(
    source: Source, columns: Sequence[str] | None = None, rows: int = TARGET_ROWS
) -> Iterator[tuple[int, pa.Table]]:
    """Tables of about `rows` rows and the named columns, each with the number of its first row.

    Columns that the file does not have are left out.

    Raises
    ------
    FileError
        If the file is not what its suffix says, or ends in the middle.
    """
    known = schema(source).names
    wanted = known if columns is None else [name for name in columns if name in known]
    try:
        if source.suffix == ".parquet":
            yield from _of_parquet(source, wanted, rows)
            return
        first = 0
        for table in _tables(source, wanted, rows):
            yield first, table
            first += table.num_rows
    except _BROKEN as error:
        raise _broken(source, error) from None


def _of_parquet(source: Source, columns: list[str], rows: int) -> Iterator[tuple[int, pa.Table]]:
    coded = [] if source.rows is None else _repeating(source, columns)
    with pq.ParquetFile(source.path, read_dictionary=coded) as file:
        wanted = range(file.metadata.num_rows) if source.rows is None else source.rows
        ends = np.cumsum(row_groups(file.metadata))
        first_group = int(np.searchsorted(ends, wanted.start, "right"))
        end_group = int(np.searchsorted(ends, wanted.stop, "left")) + 1
        groups = range(first_group, min(end_group, len(ends)))
        first = int(ends[first_group - 1]) if first_group else 0
        for batch in file.iter_batches(rows, list(groups), columns):
            start, stop = max(wanted.start - first, 0), min(wanted.stop - first, batch.num_rows)
            if start < stop:
                table = pa.Table.from_batches([batch.slice(start, stop - start)])
                yield first + start, table.select(columns)
            first += batch.num_rows
            if first >= wanted.stop:
                return


def _repeating(source: Source, columns: list[str]) -> list[str]:
    """Texts that are stored once each, for as few bytes a row as that takes."""
    metadata = metadata_of(source)
    found = []
    for place in range(metadata.num_columns if metadata.num_row_groups else 0):
        column, chunk = metadata.schema.column(place), metadata.row_group(0).column(place)
        is_text = column.path in columns and column.logical_type.type == "STRING"
        if is_text and chunk.total_uncompressed_size < _BYTES_OF_CODE * chunk.num_values:
            found.append(column.path)
    return found


def _tables(source: Source, columns: list[str], rows: int) -> Iterator[pa.Table]:
    if source.table is not None:
        for batch in source.table.select(columns).to_batches(max_chunksize=rows):
            yield pa.Table.from_batches([batch])
    elif source.suffix in (".csv", ".tsv"):
        for batch in _csv(source):
            yield pa.Table.from_batches([batch]).select(columns)
    else:
        with _arrow(source) as reader:
            for batch in _arrow_batches(reader):
                table = pa.Table.from_batches([batch]).select(columns)
                for start in range(0, table.num_rows, rows):
                    yield table.slice(start, rows)


def _arrow(source: Source) -> Any:
    """A reader of the file format, or of the stream format under the same suffix."""
    mapped = pa.memory_map(str(source.path))
    try:
        return pa.ipc.open_file(mapped)
    except pa.ArrowInvalid:
        mapped.seek(0)
        return pa.ipc.open_stream(mapped)


def _arrow_batches(reader: Any) -> Iterator[Any]:
    if hasattr(reader, "num_record_batches"):
        return (reader.get_batch(index) for index in range(reader.num_record_batches))
    return iter(reader)


def _csv(source: Source) -> Any:
    """A reader whose columns are all text: types guessed from the first block are wrong later."""
    path = source.path
    assert path is not None
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        header = stream.readline()
    if not header.strip():
        raise FileError("the file is empty, expected a line of column names", source.name)
    delimiter = "\t" if source.suffix == ".tsv" else ","
    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    names = pa.csv.read_csv(pa.BufferReader(header), parse_options=parse).column_names
    return pa.csv.open_csv(
        path,
        parse_options=parse,
        convert_options=pa.csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            null_values=_NULLS,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _broken(source: Source, error: Exception) -> FileError:
    if isinstance(error, OSError) and error.errno:
        return FileError(os.strerror(error.errno), source.name)
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else "it ends too early"
    return FileError(
        f"this is not a whole {source.suffix.removeprefix('.')} file: {first_line}", source.name
    )


def without_nulls(value: Any) -> Any:
    """`value` without null entries of its dicts: an Arrow struct has every key in every row."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
