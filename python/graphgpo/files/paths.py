"""Files, folders, globs and stdin, as the sources of a reading."""

from __future__ import annotations

import glob
import gzip
import os
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import unquote

from .errors import FileError, listed

TABLE_SUFFIXES = (".parquet", ".arrow", ".feather", ".ipc", ".csv", ".tsv")
LINE_SUFFIXES = (".jsonl", ".ndjson")
DOCUMENT_SUFFIXES = (".json",)
OTHER_SUFFIXES = (".eval", ".pt", ".pth", ".pkl", ".pickle", ".traj")
SUFFIXES = (*TABLE_SUFFIXES, *LINE_SUFFIXES, *DOCUMENT_SUFFIXES, *OTHER_SUFFIXES)

_BUFFER_BYTES = 2**20  # lines with token ids are longer than Python's 8 KiB
_HIVE = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_STEP = re.compile(r"(?:^|.*_)(?:global_)?step[_=-](\d+)(?:_epoch_\d+)?$")


@dataclass
class Source:
    """One file, stdin, or a table in memory.

    A source that came from a folder or a glob may turn out to be none of the readers' business.
    """

    name: str
    """As the user gave it; what `source_file` and error messages say."""

    path: Path | None = None
    table: Any = None
    is_named: bool = True
    """Whether the user named this very file."""

    rows: range | None = None
    """The rows of a Parquet file that are read; None: all."""

    _head: list[bytes] = field(default_factory=list, repr=False)
    _stream: IO[bytes] | None = field(default=None, repr=False)

    @property
    def suffix(self) -> str:
        """`.jsonl`, `.parquet`, ...; without `.gz`."""
        if self.path is None:
            return ".jsonl" if self.table is None else ""
        return Path(self.path.name.removesuffix(".gz")).suffix.lower()

    @property
    def stem(self) -> str:
        """The name of the file without folders and suffixes."""
        return Path(self.path.name.removesuffix(".gz")).stem if self.path else ""

    @cached_property
    def hive(self) -> dict[str, str | None]:
        """Keys and values of the `key=value` folders it lies in, percent-decoded."""
        found: dict[str, str | None] = {}
        for folder in Path(self.name).parts[:-1]:
            if match := _HIVE.fullmatch(folder):
                value = unquote(match[2])
                found[unquote(match[1])] = None if value == _HIVE_NULL else value
        return found

    @cached_property
    def training_step(self) -> int | None:
        """The number of the nearest folder called `step_3`, `global_step_3` or `step=3`."""
        folders = reversed(self.path.absolute().parts[:-1]) if self.path else ()
        matches = (_STEP.match(folder) for folder in folders)
        return next((int(match[1]) for match in matches if match), None)

    def open(self) -> IO[bytes]:
        """The bytes of the file, unpacked."""
        if self.path is None:
            return sys.stdin.buffer
        # The caller closes it, or exhausts it.
        if self.path.suffix == ".gz":
            return gzip.open(self.path, "rb")  # type: ignore[return-value]
        return self.path.open("rb", buffering=_BUFFER_BYTES)

    @contextmanager
    def unpacking(self, *, may_be_torn: bool = False) -> Iterator[None]:
        """What gzip says of broken files, in our words; `may_be_torn`: EOFError stays."""
        try:
            yield
        except EOFError:
            if may_be_torn:
                raise
            raise FileError("the compressed file is torn", self.name) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise FileError(f"this is not a whole gzip file: {error}", self.name) from None

    @property
    def num_bytes(self) -> int:
        """How large the file is; 0 for what is no file."""
        return self.path.stat().st_size if self.path else 0

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Every line that is not blank, with its number from 0."""
        if self.path is None:
            yield from self._lines_of_stdin()
            return
        with self.unpacking(may_be_torn=True), self.open() as stream:
            for number, line in enumerate(stream):
                if not line.isspace():
                    yield number, line

    def first_line(self) -> bytes:
        """The first line that is not blank; stdin keeps it for `lines`."""
        if self.path is not None:
            with self.unpacking():
                return next((line for _, line in self.lines()), b"")
        stream = self._stdin()
        while not self._head or self._head[-1].isspace():
            line = stream.readline()
            if not line:
                break
            self._head.append(line)
        return self._head[-1] if self._head else b""

    def _stdin(self) -> IO[bytes]:
        self._stream = self._stream or sys.stdin.buffer
        return self._stream

    def _lines_of_stdin(self) -> Iterator[tuple[int, bytes]]:
        self.first_line()  # which stays for whoever reads from the start again
        number = -1
        for part in (self._head, self._stdin()):
            for line in part:
                number += 1
                if not line.isspace():
                    yield number, line


def sources(paths: Any) -> list[Source]:
    """Every source that `paths` names, each file once, folders in natural order.

    `paths`: a path, a glob, `-` for stdin, or a sequence of them.

    Raises
    ------
    FileError
        If a path does not exist, or a folder or glob has no file that could hold rollouts.
    """
    expected = "expected a path, a glob, '-', several of them, or a data frame"
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    if not isinstance(paths, Iterable) or isinstance(paths, (bytes, Mapping)):
        raise TypeError(f"paths is a {type(paths).__name__}; {expected}")
    given = list(paths)
    for path in given:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"paths hold a {type(path).__name__}; {expected}")
    if not given:
        raise FileError("no paths given; expected files, folders, globs or '-'")
    found: dict[str, Source] = {}
    for path in given:
        for source in _expanded(os.fspath(path)):
            found.setdefault(os.path.realpath(source.name) if source.path else "-", source)
    return list(found.values())


def _expanded(name: str) -> Iterator[Source]:
    if not name:
        raise FileError("a path is empty; expected files, folders, globs or '-'")
    if name == "-":
        yield Source("-")
        return
    path = Path(name)
    if path.is_dir():
        yield from _folder(name)
    elif path.exists():
        yield Source(name, path)
    elif glob.has_magic(name):
        matches = sorted(glob.glob(name, recursive=True), key=natural)  # noqa: PTH207
        if not matches:
            raise FileError("no file matches this pattern", name)
        for match in matches:
            if Path(match).is_dir():
                yield from _folder(match)
            elif _could_hold_rollouts(match):
                yield Source(match, Path(match), is_named=False)
    else:
        raise FileError("no such file or folder", name)


def _folder(name: str) -> Iterator[Source]:
    files = [
        os.path.join(folder, file)  # noqa: PTH118  # the name as it was given, not normalised
        for folder, _, files in os.walk(name, onerror=_refuse, followlinks=True)
        for file in files
        if _could_hold_rollouts(file) and not _is_hidden(os.path.relpath(folder, name))
    ]
    if not files:
        raise FileError(f"no file here ends in one of {listed(SUFFIXES, 20)}", name)
    for file in sorted(files, key=natural):
        yield Source(file, Path(file), is_named=False)


def _refuse(error: OSError) -> NoReturn:
    raise error  # or what lies there would be missing, and nobody would know


def _could_hold_rollouts(name: str) -> bool:
    base = Path(name).name
    return base[0] not in "._" and base.removesuffix(".gz").lower().endswith(SUFFIXES)


def _is_hidden(folder: str) -> bool:
    return any(part.startswith((".", "_")) for part in Path(folder).parts)


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts `2.jsonl` before `10.jsonl`."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
