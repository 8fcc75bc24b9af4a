"""Text to standard output, whatever that is connected to."""

from __future__ import annotations

import os
import sys
from typing import TextIO


class OutputClosedError(Exception):
    """Nothing can be written there."""


def write(text: str) -> None:
    """Write to standard output; a reader that has seen enough is no error.

    Raises `OutputClosedError`, where there is no standard output or it takes nothing.
    """
    stream = output()
    encoding = stream.encoding or "utf-8"
    try:
        # States may hold characters that the page's own symbols do not.
        stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        _forget(stream)
    except OSError as error:
        _forget(stream)
        raise OutputClosedError(f"cannot write to standard output: {error.strerror}") from None


def output() -> TextIO:
    """Standard output, if there is one: `>&-` closes it."""
    if sys.stdout is None:
        raise OutputClosedError("standard output is closed; expected somewhere to write to")
    return sys.stdout


def _forget(stream: TextIO) -> None:
    """Python flushes once more on exit: let that go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
