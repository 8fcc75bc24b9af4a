"""A memory as one Parquet file: edges by key, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

from graphgpo.memory import EDGE_COLUMNS

VERSION = 1
_KEY = b"graphgpo.memory"
_BATCHES = b"graphgpo.memory.num_batches"


def write_edges(path: Path, edges: dict[str, Any]) -> None:
    """Beside its place and moved there, so that no half of it is ever met."""
    pyarrow, parquet = _pyarrow()
    metadata = {_KEY: str(VERSION).encode(), _BATCHES: str(edges["num_batches"]).encode()}
    table = pyarrow.table({name: edges[name] for name in EDGE_COLUMNS})
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as beside:
        new = Path(beside) / path.name
        with new.open("wb") as stream:
            parquet.write_table(
                table.replace_schema_metadata(metadata), stream, write_page_checksum=True
            )
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(path)


def read_edges(path: Path) -> dict[str, Any]:
    """What `write_edges` wrote, as it stands there; `ValueError` for another kind of file."""
    pyarrow, parquet = _pyarrow()
    try:
        table = parquet.read_table(path, page_checksum_verification=True)
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            f"{path} is no whole Parquet file ({str(error).splitlines()[0]}); restore it from a "
            "checkpoint, or delete it to begin anew"
        ) from error
    metadata = table.schema.metadata or {}
    if _KEY not in metadata:
        raise ValueError(f"{path} is a Parquet file but no memory; expected what save() wrote")
    if metadata[_KEY] != str(VERSION).encode():
        version = metadata[_KEY].decode(errors="replace")
        raise ValueError(
            f"{path} is of version {version}; expected {VERSION}, which this graphgpo writes"
        )
    found: dict[str, Any] = {
        name: table[name].to_numpy() for name in EDGE_COLUMNS if table.column_names.count(name) == 1
    }
    num_batches: Any = metadata.get(_BATCHES, b"").decode(errors="replace")
    with contextlib.suppress(ValueError):
        num_batches = int(num_batches)
    return {**found, "num_batches": num_batches}


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("a memory's file needs pyarrow: pip install 'graphgpo[files]'") from error
    return pyarrow, pyarrow.parquet
