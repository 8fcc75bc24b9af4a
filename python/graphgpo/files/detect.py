"""Which format a file is of: by its suffix, its name, and the keys of its first record."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from . import tables
from .errors import FileError, listed, naming
from .formats import ALIASES, FORMATS, messages, refused
from .formats.atif import TRAJECTORY
from .jsonl import NOT_JSON, document, records
from .paths import DOCUMENT_SUFFIXES, Source
from .report import Report

_EPISODES = re.compile(r"_step_\d+_epoch_\d+$")
_TRAJECTORIES = re.compile(r"(.+\.)?trajectory(\.[\w-]+)*\.json")
_ROWS_LOOKED_AT = 256


@dataclass(frozen=True, slots=True)
class Detected:
    """The format of a source, or why there is none."""

    format: str = ""
    preset: str = ""
    why_not: str = ""
    """Empty where there is one."""

    is_read_beside: bool = False
    """Whether it belongs to rollouts, and is read, or summed up, with another file."""

    @property
    def title(self) -> str:
        """The format, with its preset in brackets."""
        return f"{self.format} ({self.preset})" if self.preset else self.format


def format_name(name: str) -> str:
    """A format's name as the user wrote it.

    Raises
    ------
    ValueError
        If there is none of it, or it is one that cannot be read.
    """
    known = name.lower().replace("_", "-")
    known = ALIASES.get(known, known)
    if known in FORMATS:
        return known
    reason = {**refused.REASONS, "verl-agent": refused.REASONS["verl without ids"]}.get(known)
    if reason:
        raise ValueError(f"format={name!r} cannot be read: {reason}")
    near = difflib.get_close_matches(known, FORMATS, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"format is {name!r}, expected one of {listed(FORMATS)}{hint}")


def detect(source: Source) -> Detected:
    """The format of one source.

    Raises
    ------
    FileError
        If the file is broken.
    """
    with naming(source.name):
        return _detected(source)


def _detected(source: Source) -> Detected:
    suffix = source.suffix
    if suffix in refused.SUFFIXES:
        return Detected(why_not=refused.REASONS[refused.SUFFIXES[suffix]])
    if suffix == ".eval":
        return Detected("inspect")
    if tables.is_table(source):
        names = tables.schema(source).names
        if _has_steps({*names, *source.hive}):
            return Detected("steps")
        return _of_record(_first_of_table(source, names), source)
    if suffix in DOCUMENT_SUFFIXES:
        return _of_document(source)
    if not source.first_line():
        return Detected(why_not="the file is empty")
    return _of_record(_first_of_lines(source), source)


def one_format(
    found: Sequence[tuple[Source, Detected]], report: Report
) -> tuple[list[Source], Detected]:
    """The sources that are rollouts, and their one format.

    Files that only a folder or a glob named, and that are of no format, are left alone, as long
    as others are of one.

    Raises
    ------
    FileError
        If a named file is of no format, none is, or they are of several.
    """
    taken = [(source, detected) for source, detected in found if not detected.why_not]
    others = [(source, detected) for source, detected in found if detected.why_not]
    # What is refused for a reason of its own says more than what is merely unknown.
    others.sort(key=lambda one: one[1].why_not not in refused.REASONS.values())
    for source, detected in others:
        if source.is_named or not taken:
            raise FileError(detected.why_not, source.name)
    strangers = [source.name for source, detected in others if not detected.is_read_beside]
    if strangers:
        report.warn(
            f"{len(strangers)} files were left alone, as they hold no rollouts: "
            f"{listed(strangers, 3)}"
        )
    by_title: dict[str, Source] = {}
    for source, detected in taken:
        by_title.setdefault(detected.title, source)
    if len(by_title) > 1:
        examples = "; ".join(f"{source.name} is {title}" for title, source in by_title.items())
        raise FileError(f"the files are of different formats: {examples}; read one format a call")
    return [source for source, _ in taken], taken[0][1]


def _has_steps(names: set[str]) -> bool:
    return not names.isdisjoint(("state", "states")) and not names.isdisjoint(
        ("group_id", "group_ids")
    )


def _first_of_table(source: Source, names: list[str]) -> dict[str, Any]:
    """The first record with a chat, where one of the first has one; else the first."""
    _, batch = next(tables.batches(source, names, _ROWS_LOOKED_AT), (0, None))
    if batch is None:
        return dict.fromkeys(names)
    rows = batch.slice(0, _ROWS_LOOKED_AT).to_pylist()
    with_chat = (row for row in rows if messages.chat_key(row))
    return next(with_chat, next(iter(rows), dict.fromkeys(names)))


def _first_of_lines(source: Source) -> dict[str, Any]:
    line = source.first_line()
    try:
        record = msgspec.json.decode(line)
    except (*NOT_JSON, RecursionError):
        # What Python's json writes besides, or torn, or broken: the reader knows, of a file.
        record = {}
        if source.path is not None:
            record = next((r for _, r in records(source, dict[str, Any], Report())), {})
    if not isinstance(record, dict):
        raise FileError(f"expected an object, got {type(record).__name__}", source.name, 0)
    return record


def _of_document(source: Source) -> Detected:
    """A JSON file: a record of its own by its name, or a list of records."""
    assert source.path is not None
    name = source.path.name
    if name.startswith("episode_") and _EPISODES.search(source.path.parent.name):
        return Detected("rllm")  # unopened: there may be a million of them
    if name == "batch_summary.json" and not source.is_named:
        return Detected(why_not="this sums up the episodes beside it", is_read_beside=True)
    if name == "result.json" and not source.is_named:
        # A job has one of its own, which is no trial's.
        is_trial = (source.path.parent / TRAJECTORY).exists()
        if not is_trial and not {"task_name", "trial_name"} <= _keys(source):
            return Detected(why_not="this result.json is not of a trial", is_read_beside=True)
        return Detected("atif")
    if _TRAJECTORIES.fullmatch(name) and not source.is_named:
        return Detected(
            why_not="a trajectory is read beside its trial's result.json", is_read_beside=True
        )
    content = document(source, Any)
    record = content[0] if isinstance(content, list) and content else content
    if not isinstance(record, dict):
        return Detected(why_not="this JSON file holds neither a record nor a list of records")
    keys = record.keys()
    if {"task_name", "trial_name"} <= keys:
        return Detected("atif")
    if {"episode_id", "trajectories"} <= keys:
        return Detected("rllm")
    if "schema_version" in keys and "steps" in keys:
        return Detected(
            why_not="a trajectory without its outcome; give the trial's folder, which has "
            "result.json beside agent/trajectory.json"
        )
    if {"eval", "status", "version"} <= keys:
        return Detected("inspect")
    return _of_record(record, source)


def _keys(source: Source) -> set[str]:
    content = document(source, Any)
    return set(content) if isinstance(content, dict) else set()


def _of_record(record: Mapping[str, Any], source: Source) -> Detected:
    keys = set(record)
    refusal = refused.by_keys(keys)
    if refusal:
        return Detected(why_not=refused.REASONS[refusal])
    if {"uid", "input", "output", "score"} <= keys:
        return Detected("verl")
    if "traces" in keys or {"nodes", "rewards"} <= keys:
        return Detected("verifiers")
    if _has_steps({*keys, *source.hive}):
        return Detected("steps")
    preset = messages.preset_of(record)
    if preset:
        return Detected("messages", preset)
    return Detected(why_not=_unknown(record, keys))


def _unknown(record: Mapping[str, Any], keys: set[str]) -> str:
    chat = messages.chat_key(record)
    if chat:
        return (
            f"there is a chat in {chat!r}, but not which task it is of; name the columns: "
            f"messages={chat}[] group_ids=... success=..., of {listed(sorted(keys))}"
        )
    near = difflib.get_close_matches("state", sorted(keys), 1, 0.5)
    hint = f" (state may be {near[0]!r})" if near else ""
    return (
        f"this is of no format that can be read; it has {listed(sorted(keys), 20) or 'no keys'}"
        f"{hint}. Name the columns: states=... group_ids=... trajectory_ids=... success=..."
    )
