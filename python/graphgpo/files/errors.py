"""What is wrong with a file, as one sentence that names the file and the row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa


class FileError(ValueError):
    """A file that cannot be read as rollouts.

    Attributes
    ----------
    message : str
        What is wrong and what to do, without the place.
    file : str
        The file as it was given; empty where no single file is at fault.
    row : int or None
        The offending record of that file, from 0.
    """

    def __init__(self, message: str, file: str = "", row: int | None = None) -> None:
        super().__init__(message, file, row)
        self.message = message
        self.file = file
        self.row = row

    def __str__(self) -> str:
        if not self.file:
            return self.message
        if self.row is None:
            return f"{self.file}: {self.message}"
        return f"{self.file}, {place(self.file, self.row)}: {self.message}"


@contextmanager
def naming(file: str) -> Iterator[None]:
    """What Arrow and Python say of a file's values, with the file: the last resort of readers.

    Raises
    ------
    FileError
        In place of what is no `FileError` and no fault of the caller.
    """
    try:
        yield
    except (pa.ArrowException, ArithmeticError, LookupError, RecursionError, UnicodeError) as error:
        words = str(error).strip() or type(error).__name__
        raise FileError(f"it cannot be read: {words.splitlines()[0]}", file) from error


def place(file: str, row: int) -> str:
    """A record of a file in words: lines of a text count from 1, as editors show them."""
    is_text = file == "-" or ".json" in file or ".ndjson" in file
    return f"line {row + 1}" if is_text else f"row {row}"


def quoted(value: object, limit: int = 60) -> str:
    """`value` for an error message: its repr, shortened."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def listed(names: object, limit: int = 12) -> str:
    """Names for an error message, comma-separated, the first `limit` of them."""
    texts = [str(name) for name in names]  # type: ignore[attr-defined]
    shown = ", ".join(texts[:limit])
    return shown if len(texts) <= limit else f"{shown} and {len(texts) - limit} more"
