"""messages: a chat per record, and the habits of those who publish them.

A preset says which keys are group, rollout and outcome; it is found by the keys of a record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from .. import tables
from ..errors import FileError, listed
from ..jsonl import NOT_JSON, records, records_of_document
from ..paths import DOCUMENT_SUFFIXES, Source
from ..rows import Rollout, group_key
from ..turns import Message, compact_json
from ..values import as_id, as_outcome
from .chats import rollout_of, to_messages
from .context import CRASHED, EMPTY, Context

CHATS = ("messages", "conversations", "trajectory")
"""Keys that hold a chat, the first that does."""

_NOT_REWARDS = frozenset({"step", "prompt", "completion", "advantage"})


@dataclass(frozen=True)
class Preset:
    """Where a writer keeps what a rollout needs."""

    title: str
    keys: frozenset[str]
    """Keys that a record of it has."""

    group: str
    """One key of the record, or several, comma-separated."""

    trajectory: tuple[str, ...] = ()
    """The first of these keys that is there; else the number of the record."""

    outcome: tuple[str, ...] = ("reward",)
    by_file: bool = False
    """Whether group ids start anew in every file."""

    by_shell: bool = False

    def mapping(self) -> dict[str, str]:
        """Where the columns come from, in words."""
        return {
            "group_id": f"file, {self.group}" if self.by_file else self.group,
            "trajectory_id": listed([*self.trajectory, "number of the record"]),
            "step_id": "position among the policy's messages",
            "state": "messages since the policy's previous one",
            "next_state": "state of the following step; last: what was still said",
            "action": "the policy's message and its tool calls",
            "outcome": " or ".join(self.outcome),
        }


PRESETS = {
    preset.title: preset
    for preset in (
        Preset(
            "AgentGym",
            frozenset({"conversations", "item_id"}),
            "item_id",
            (),
            ("success", "reward"),
        ),
        Preset(
            "ART",
            frozenset({"group_index", "messages", "reward"}),
            "group_index",
            ("trajectory_index",),
            by_file=True,
        ),
        Preset("TRL", frozenset({"step", "prompt", "completion"}), "step,prompt"),
        Preset(
            "SWE",
            frozenset({"instance_id"}),
            "instance_id",
            ("trajectory_id", "traj_id"),
            ("resolved", "target"),
            by_shell=True,
        ),
        Preset(
            "verifiers < 0.4",
            frozenset({"example_id", "prompt", "completion"}),
            "task,example_id",
        ),
        Preset(
            "plain",
            frozenset({"group_id"}),
            "group_id",
            ("trajectory_id",),
            ("success", "outcome", "reward"),
        ),
    )
}
"""By title, the first that fits."""

SCALARS = (
    *("group_id", "item_id", "instance_id", "example_id", "task", "group_index"),
    *("trajectory_id", "traj_id", "trajectory_index", "step", "training_step"),
    *("success", "outcome", "reward", "resolved", "target", "error"),
)
"""Keys that are read besides the chat."""

_NUMBERS = ("halffloat", "float", "double", "int64", "bool")
_RAW_CHATS = [
    (name, msgspec.Raw, msgspec.field(default_factory=msgspec.Raw))
    for name in (*CHATS, "prompt", "completion")
]
Record = msgspec.defstruct("Record", [*((name, Any, None) for name in SCALARS), *_RAW_CHATS])
"""A line of which chats are not looked at yet, and token ids never."""


def preset_of(record: Mapping[str, Any]) -> str | None:
    """The title of the preset that a record's keys fit; None: it holds no chat, or no ids."""
    may_come = any(name in record and record[name] is None for name in CHATS)
    if chat_key(record) is None and not may_come:
        return None
    return next((title for title, p in PRESETS.items() if p.keys <= record.keys()), None)


def chat_key(record: Mapping[str, Any]) -> str | None:
    """Which of a record's keys holds its chat; "prompt" for a prompt and its completion."""
    for name in CHATS:
        if _is_chat(record.get(name)):
            return name
    return "prompt" if {"prompt", "completion"} <= record.keys() else None


def _is_chat(value: Any) -> bool:
    if isinstance(value, str) and value[:1] == "[":
        try:
            value = msgspec.json.decode(value)
        except NOT_JSON:
            return False
    if value == []:
        return True
    if not isinstance(value, list) or not isinstance(value[0], dict):
        return False
    keys = value[0].keys()
    return ("role" in keys and not keys.isdisjoint(("content", "text", "tool_calls"))) or (
        {"from", "value"} <= keys
    )


def read(source: Source, context: Context) -> Iterator[Rollout]:
    """Rollouts of one file, a record in memory at a time.

    Raises
    ------
    FileError
        If a record has no group or no chat, or it is not clear which of several rewards counts.
    """
    preset = PRESETS[context.preset]
    context.report.mapping = context.report.mapping or preset.mapping()
    rewards = _reward_columns(source, context) if preset.title == "TRL" else preset.outcome
    if preset.by_shell:
        context.saw_shell()
    for row, record in _records(source, context, rewards):
        rollout = _rollout(record, row, preset, rewards, source, context)
        if rollout is not None:
            yield rollout


def _rollout(
    record: Mapping[str, Any],
    row: int,
    preset: Preset,
    rewards: tuple[str, ...],
    source: Source,
    context: Context,
) -> Rollout | None:
    if record.get("error"):
        context.leave_out(CRASHED)
        return None
    messages = _messages(record, preset, source.name, row)
    if messages is None:
        context.leave_out("failed (null messages)" if preset.title == "ART" else EMPTY)
        return None
    names = (context.score,) if context.score else rewards
    given = next((name for name in names if record.get(name) is not None), names[0])
    return rollout_of(
        messages,
        as_outcome(record.get(given), given, source.name, row),
        group_id=_group(record, preset, source, row),
        trajectory_id=_trajectory(record, preset, source, row),
        row=row,
        context=context,
    )


def _group(record: Mapping[str, Any], preset: Preset, source: Source, row: int) -> str:
    if preset.title == "TRL":
        # Prompts are long; a digest is an id as good.
        text = _id_text(record.get("prompt"))
        digest = blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
        return group_key(digest, training_step=record.get("step"))
    *outer, key = preset.group.split(",")
    parts = [part for name in outer if isinstance(part := record.get(name), str)]
    step = record.get("training_step")
    return group_key(
        *([source.name] if preset.by_file else []),
        *parts,
        as_id(record.get(key), key, source.name, row),
        training_step=source.training_step if step is None else step,
    )


def _id_text(prompt: Any) -> str:
    if isinstance(prompt, msgspec.Raw):
        prompt = msgspec.json.decode(prompt)
    return prompt if isinstance(prompt, str) else compact_json(tables.without_nulls(prompt))


def _trajectory(record: Mapping[str, Any], preset: Preset, source: Source, row: int) -> str:
    for name in preset.trajectory:
        if record.get(name) is not None:
            return as_id(record[name], name, source.name, row)
    return f"{source.name}:{row}"


def _messages(
    record: Mapping[str, Any], preset: Preset, file: str, row: int
) -> list[Message] | None:
    for name in () if "completion" in preset.keys else CHATS:
        if not _is_absent(record.get(name)):
            return to_messages(record[name], name, file, row)
    if _is_absent(record.get("prompt")) and _is_absent(record.get("completion")):
        return None
    prompt = _side(record.get("prompt"), "user", "prompt", file, row)
    for message in prompt:
        message.sampled = False  # demonstrations: the completion is what the policy wrote
    return prompt + _side(record.get("completion"), "assistant", "completion", file, row)


def _side(value: Any, role: str, name: str, file: str, row: int) -> list[Message]:
    """A prompt or completion: a chat, or the text of one message."""
    if isinstance(value, msgspec.Raw) and bytes(value)[:1] == b'"':
        value = msgspec.json.decode(value)
    if isinstance(value, str) and not _is_chat(value):
        return [Message(role=role, content=value)]
    return to_messages(value, name, file, row) or []


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, msgspec.Raw) and bytes(value) in (b"", b"null"))


def _records(
    source: Source, context: Context, rewards: tuple[str, ...]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if tables.is_table(source):
        names = [*SCALARS, *CHATS, "prompt", "completion", *rewards]
        names += [context.score] if context.score else []
        for first, batch in tables.batches(source, list(dict.fromkeys(names)), rows=256):
            yield from enumerate(batch.to_pylist(), first)
    elif source.suffix in DOCUMENT_SUFFIXES:
        yield from enumerate(records_of_document(source))
    elif context.score and context.score not in SCALARS:
        yield from records(source, dict[str, Any], context.report)
    else:
        for row, record in records(source, Record, context.report):
            yield row, {name: getattr(record, name) for name in Record.__struct_fields__}


def _reward_columns(source: Source, context: Context) -> tuple[str, ...]:
    """The reward column of a completions file: one a reward function, by its name."""
    if context.score:
        return (context.score,)
    if tables.is_table(source):
        kinds = {field.name: str(field.type) for field in tables.schema(source)}
        found = [
            name for name, kind in kinds.items() if name not in _NOT_REWARDS and kind in _NUMBERS
        ]
    else:
        found = ["reward"]
    if len(found) != 1:
        raise FileError(
            f"there are {len(found)} reward columns ({listed(found)}); say which is the outcome "
            "(score=...)"
            if found
            else "there is no reward column",
            source.name,
        )
    return tuple(found)
