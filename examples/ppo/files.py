"""Where games and runs are kept, and how a file is written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(file: Path, content: bytes) -> None:
    """Either the whole content stands there or nothing does, whenever the program is stopped."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=f"{file.name}.") as beside:
        (Path(beside) / file.name).write_bytes(content)
        (Path(beside) / file.name).replace(file)


def cache_folder() -> Path:
    """Where games are kept: $GRAPHGPO_EXAMPLES_CACHE, else the user's cache folder."""
    chosen = os.environ.get("GRAPHGPO_EXAMPLES_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "graphgpo-examples"
