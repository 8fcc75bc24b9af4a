"""List the estimators with their equations and sources, or the options of one.

Marks say how an estimator was checked. C: against outputs of its authors' code. P: equations read
in the paper, no public code. R: from second-hand text, our reading. None: graphgpo's own.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import shutil
import textwrap
from collections.abc import Iterator

from graphgpo.cli._output import write
from graphgpo.estimators import Estimator, load, names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which one."""
    parser.add_argument(
        "name", nargs="?", choices=names(), metavar="NAME", help="show the options of this one"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the list, or one estimator."""
    width = max(40, shutil.get_terminal_size().columns)
    shown = names() if arguments.name is None else (arguments.name,)
    lines: list[str] = []
    for name in shown:
        lines += _described(load(name), width, in_full=arguments.name is not None)
    write("\n".join(lines) + "\n")
    return 0


def _described(cls: type[Estimator], width: int, *, in_full: bool) -> Iterator[str]:
    yield f"{cls.name:24} {cls.mark:1}  {cls.source}".rstrip()
    paragraphs = (inspect.getdoc(cls) or "").split("\n\n")
    for paragraph in paragraphs if in_full else paragraphs[:1]:
        yield from _wrapped(paragraph, width)
    if in_full:
        yield ""
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            yield _signature(field)
            yield from _wrapped(field.metadata.get("meaning", ""), width)


def _signature(field: dataclasses.Field[object]) -> str:
    is_required = field.default is dataclasses.MISSING
    allowed = field.metadata.get("allowed")
    default = "required" if is_required else f"default {field.default!r}"
    return f"  {field.name}  ({default}{f'; {allowed.words}' if allowed else ''})"


def _wrapped(text: str, width: int) -> list[str]:
    indent = " " * 4
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)
