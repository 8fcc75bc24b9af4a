"""Rollouts on disk: readers of seven formats and of any other by a mapping, and writers.

Needs the extra `graphgpo[files]` (pyarrow, msgspec).
"""

from __future__ import annotations

try:
    import msgspec as _msgspec  # noqa: F401
    import pyarrow as _pyarrow  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"graphgpo.files needs {error.name}: pip install 'graphgpo[files]'", name=error.name
    ) from error

from .errors import FileError
from .reader import RowReader, read_rows
from .report import Report
from .rows import ROW_SCHEMA, fill_next_states
from .writer import StepWriter, write_rows

__all__ = [
    "ROW_SCHEMA",
    "FileError",
    "Report",
    "RowReader",
    "StepWriter",
    "fill_next_states",
    "read_rows",
    "write_rows",
]
