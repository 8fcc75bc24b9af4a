"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[Path]:
    """A path to write to that takes the place of `path` once all is well.

    A crash leaves `path` as it was, and at most a hidden file beside it, which no reader takes.

    Raises
    ------
    FileExistsError
        If `path` is there in the end, though not `overwrite`.
    OSError
        That names `path`, whatever of it or beside it could not be written.
    """
    target = Path(path)
    aside = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    with naming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield aside
            with aside.open("rb") as written:
                os.fsync(written.fileno())  # the name must not get there before the bytes
            if not overwrite:
                _link(aside, target)
            else:
                aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)


def is_there(path: str | os.PathLike[str]) -> FileExistsError:
    """The error for what must not be replaced."""
    return FileExistsError(f"{os.fspath(path)} is there already; overwrite=True replaces it")


def _link(aside: Path, target: Path) -> None:
    """`aside` as `target`, unless another process has put something there meanwhile."""
    try:
        os.link(aside, target)  # which replaces nothing, as a rename would
    except FileExistsError:
        raise is_there(target) from None
    except OSError:  # not every file system has links
        if target.exists():
            raise is_there(target) from None
        aside.replace(target)


@contextmanager
def naming(target: Path) -> Iterator[None]:
    """Errors of hidden files beside `target`, or of files without a name, name `target`."""
    try:
        yield
    except OSError as error:
        hidden = str(target.with_name(f".{target.name}."))
        is_ours = error.filename is None or str(error.filename).startswith(hidden)
        if not is_ours or error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(target)) from error
