"""Chats as formats hold them, to rollouts."""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import FileError, quoted
from ..jsonl import NOT_JSON, wrong_type
from ..rows import Rollout
from ..tables import without_nulls
from ..turns import Message, turns
from .context import EMPTY, UNSCORED, Context

_decode = msgspec.json.Decoder(list[Message]).decode


def to_messages(value: Any, name: str, file: str, row: int | None) -> list[Message] | None:
    """The messages of a chat: a list, the JSON text of one, or JSON not yet looked at.

    None for null. A dict per message, with what its column has for absent keys dropped.

    Raises
    ------
    FileError
        If it is something else.
    """
    try:
        if isinstance(value, msgspec.Raw):
            data = bytes(value)
            if data[:1] == b'"':
                value = msgspec.json.decode(data)
            elif data == b"null":
                return None
            else:
                return _decode(data)
        if isinstance(value, str):
            return _decode(value.encode())
        if value is None:
            return None
        return msgspec.convert(without_nulls(list(value)), list[Message])
    except msgspec.ValidationError as error:
        raise FileError(f"{name}: {wrong_type(error)}", file, row) from None
    except (TypeError, *NOT_JSON):
        raise FileError(
            f"{name} is {quoted(value)}, expected a list of messages", file, row
        ) from None


def rollout_of(
    messages: list[Message] | None,
    outcome: bool | float | None,
    *,
    group_id: str,
    trajectory_id: str,
    row: int,
    context: Context,
) -> Rollout | None:
    """The rollout of a chat; None, and counted, where there is no step or no outcome."""
    steps = turns(messages or ())
    if not steps.states:
        context.leave_out(EMPTY)
        return None
    if outcome is None:
        context.leave_out(UNSCORED)
        return None
    if steps.uses_shell:
        context.saw_shell()
    return Rollout(
        group_id=group_id,
        trajectory_id=trajectory_id,
        states=steps.states,
        last_state=steps.last_state,
        actions=steps.actions,
        outcome=outcome,
        source_row=row,
    )
