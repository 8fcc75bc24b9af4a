"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to that takes the place of `path` once all is well.

    A crash leaves `path` as it was, and at most a hidden file beside it, which no reader takes.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield aside
        with aside.open("rb") as written:
            os.fsync(written.fileno())  # the name must not get there before the bytes
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
