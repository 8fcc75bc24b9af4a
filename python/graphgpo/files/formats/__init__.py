"""The formats that can be read: a file each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from ..paths import Source
from ..rows import Rollout
from . import atif, inspect, messages, rllm, steps, verifiers, verl
from .context import Context


@dataclass(frozen=True)
class Format:
    """How a format is read."""

    name: str
    read: Callable[[Source, Context], Iterator[Rollout | pa.Table]]
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Where the columns come from, in words; empty: the reader says."""


FORMATS = {
    entry.name: entry
    for entry in (
        Format("steps", steps.read),
        Format("messages", messages.read),
        Format("verl", verl.read, verl.MAPPING),
        Format("rllm", rllm.read, rllm.MAPPING),
        Format("verifiers", verifiers.read, verifiers.MAPPING),
        Format("inspect", inspect.read, inspect.MAPPING),
        Format("atif", atif.read, atif.MAPPING),
    )
}
"""By name."""

ALIASES = {"prime-rl": "verifiers", "harbor": "atif", "columns": "steps"}
"""Other names of formats."""

__all__ = ["ALIASES", "FORMATS", "Context", "Format"]
