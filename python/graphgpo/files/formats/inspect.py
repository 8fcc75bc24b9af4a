"""inspect: `.eval` logs, read by Inspect's own package."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from typing import Any

from ..errors import FileError, listed, quoted
from ..paths import Source
from ..rows import Rollout, group_key
from .chats import rollout_of, to_messages
from .context import CRASHED, UNSCORED, Context

MAPPING = {
    "group_id": "eval.task, id of the sample",
    "trajectory_id": "uuid of the sample",
    "step_id": "position among the policy's messages",
    "state": "messages since the policy's previous one",
    "next_state": "state of the following step; last: what was still said",
    "action": "the policy's message and its tool calls",
    "outcome": "the first score (C 1, P 0.5, I and N 0)",
}

_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_UNREAD = {"events", "store", "timelines", "output", "files"}


def read(source: Source, context: Context) -> Iterator[Rollout]:
    """Rollouts of one log, a sample in memory at a time.

    Raises
    ------
    FileError
        If Inspect is not installed, or cannot read the log.
    """
    log = _package(source.name)
    try:
        header = log.read_eval_log(str(source.path), header_only=True)
        context.saw_policy(header.eval.model)
        for row, sample in enumerate(_samples(log, header, str(source.path))):
            rollout = _rollout(sample, header.eval.task, source, row, context)
            if rollout is not None:
                yield rollout
    except FileError:
        raise
    except Exception as error:
        # Whatever zipfile, zstd, pydantic and fsspec raise on a broken log.
        raise FileError(f"Inspect cannot read this log: {error}", source.name) from error


def _samples(log: Any, header: Any, path: str) -> Iterator[Any]:
    if header.eval.dataset.sample_ids is not None:
        yield from log.read_eval_log_samples(
            path, all_samples_required=False, resolve_attachments=True, exclude_fields=_UNREAD
        )
    else:  # a log that something else has written: as a whole
        whole = log.read_eval_log(path, resolve_attachments=True, exclude_fields=_UNREAD)
        yield from whole.samples or ()


def _package(file: str) -> Any:
    try:
        return importlib.import_module("inspect_ai.log")
    except ImportError:
        raise FileError(
            "Inspect's logs are read by its own package: pip install inspect_ai", file
        ) from None


def _rollout(sample: Any, task: str, source: Source, row: int, context: Context) -> Rollout | None:
    file = source.name
    if sample.error is not None:
        context.leave_out(CRASHED)
        return None
    outcome = _outcome(sample.scores or {}, file, row, context)
    if outcome is None:
        context.leave_out(UNSCORED)
        return None
    messages = [message.model_dump(mode="json", exclude_none=True) for message in sample.messages]
    return rollout_of(
        to_messages(messages, "messages", file, row),
        outcome,
        group_id=group_key(task, sample.id, training_step=source.training_step),
        trajectory_id=sample.uuid or f"{file}:{sample.id}:{sample.epoch}",
        row=row,
        context=context,
    )


def _outcome(scores: dict[str, Any], file: str, row: int, context: Context) -> bool | float | None:
    """The first score, or the one asked for: `name`, or `name.key` of a score of several."""
    if not scores:
        return None
    name, _, key = (context.score or next(iter(scores))).partition(".")
    if name not in scores:
        raise FileError(f"no score {name!r}; there are {listed(scores)}", file, row)
    value = scores[name].value
    if isinstance(value, dict):
        if key not in value:
            keys = listed(f"{name}.{entry}" for entry in value)
            raise FileError(
                f"score {name!r} has several values; say which is the outcome (score=...): {keys}",
                file,
                row,
            )
        value = value[key]
    return _number(value, name, file, row)


def _number(value: Any, name: str, file: str, row: int) -> bool | float | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value in _LETTERS:
            return _LETTERS[value]
        words = {"yes": True, "true": True, "no": False, "false": False}
        if value.lower() in words:
            return words[value.lower()]
        try:
            value = float(value)
        except ValueError:
            value = [value]
    if isinstance(value, (int, float)):
        return None if math.isnan(value) else float(value)
    raise FileError(
        f"score {name!r} is {quoted(value)}, expected C, P, I, N, a number or a bool", file, row
    )
