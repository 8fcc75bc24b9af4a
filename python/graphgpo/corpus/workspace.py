"""The folder beside an output in which it is made, and what is kept of it to go on later."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from graphgpo import __version__
from graphgpo.aside import is_there, naming, written_aside
from graphgpo.files.writer import WITH_METADATA, read_metadata

from .totals import Totals


class DifferentError(ValueError):
    """What is there was made of something else, or otherwise."""


class BusyError(RuntimeError):
    """Another process is at work on what is to be resumed."""


def fingerprint(files: list[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """What an output is made of: version, options, and name, size and time of every input."""
    seen = blake2b(digest_size=16)
    size = 0
    for name in files:
        if name != "-":
            found = Path(name).stat()
            size += found.st_size
            seen.update(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
    inputs = {"files": len(files), "bytes": size, "digest": seen.hexdigest()}
    return {"graphgpo": __version__, "options": dict(options), "inputs": inputs}


def found_fingerprint(out: Path) -> dict[str, Any] | None:
    """The fingerprint that an output was written with; None: it has none."""
    first = out
    if out.is_dir():
        parts = sorted(out.glob("part-*"))
        if not parts:
            return None
        first = parts[0]
    if first.suffix not in WITH_METADATA:
        return None
    metadata = read_metadata(first) or {}
    return {key: metadata.get(key) for key in ("graphgpo", "options", "inputs")}


class Workspace:
    """Spilled rows, partitions that are done, and their totals."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spill, self.parts, self.totals = (root / name for name in ("spill", "parts", "totals"))

    def part(self, number: int, suffix: str) -> Path:
        """The file of a partition."""
        return self.parts / f"part-{number:05d}{suffix}"

    def save_totals(self, number: int, totals: Totals) -> None:
        """Says that a partition is done."""
        with written_aside(self._totals_path(number)) as aside:
            aside.write_text(json.dumps(totals.to_plain()))

    def saved_totals(self, number: int) -> Totals | None:
        """Of a partition that is done; None: it is not."""
        path = self._totals_path(number)
        return Totals.from_plain(json.loads(path.read_text())) if path.exists() else None

    def _totals_path(self, number: int) -> Path:
        return self.totals / f"{number:05d}.json"


@contextmanager
def workspace(out: Path, made_of: Mapping[str, Any], *, resume: bool) -> Iterator[Workspace]:
    """A workspace beside `out`, gone afterwards; with `resume` what is done stays if it fails.

    Raises
    ------
    DifferentError
        If what was left there is of other inputs or options.
    BusyError
        With `resume`, if another process has this workspace.
    """
    name = f".{out.name}.parts" if resume else f".{out.name}.{os.getpid()}-{secrets.token_hex(4)}"
    space = Workspace(out.parent / name)
    with _locked(space.root, out) if resume else nullcontext():
        yield from _made(space, out, made_of, resume=resume)


def _made(
    space: Workspace, out: Path, made_of: Mapping[str, Any], *, resume: bool
) -> Iterator[Workspace]:
    manifest = space.root / "made_of.json"
    if manifest.exists():
        if json.loads(manifest.read_text()) != json.loads(json.dumps(made_of)):
            raise DifferentError(
                f"{space.root} holds parts of other inputs or options; remove it, or leave --resume"
            )
        shutil.rmtree(space.spill, ignore_errors=True)
    try:
        with naming(out):
            for folder in (space.spill, space.parts, space.totals):
                folder.mkdir(parents=True, exist_ok=True)
            with written_aside(manifest) as aside:
                aside.write_text(json.dumps(made_of))
            yield space
    except BaseException:
        shutil.rmtree(space.spill if resume else space.root, ignore_errors=True)
        raise
    shutil.rmtree(space.root, ignore_errors=True)


@contextmanager
def _locked(root: Path, out: Path) -> Iterator[None]:
    """The workspace for this process alone, until it ends, however it ends."""
    with naming(out):
        root.mkdir(parents=True, exist_ok=True)
        path = root / "lock"
        file = path.open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(path.stat(), os.fstat(file.fileno())):
                raise FileNotFoundError
        except (BlockingIOError, FileNotFoundError):  # at work, or just finished
            raise BusyError(
                f"another run is making {out}; wait for it, or give this one another OUT"
            ) from None
        yield


def put_folder(made: Path, out: Path, *, overwrite: bool = False) -> None:
    """A folder in the place of another or, unless `overwrite`, of none.

    Raises
    ------
    FileExistsError
        If something is there that is not to be replaced.
    """
    while True:
        old = out.with_name(f".{out.name}.old-{secrets.token_hex(4)}")
        if overwrite:
            with suppress(FileNotFoundError):
                out.rename(old)
        try:
            made.rename(out)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                with suppress(FileNotFoundError):
                    old.rename(out)
                raise
            if not overwrite:
                raise is_there(out) from None
        else:
            return
        finally:
            _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
