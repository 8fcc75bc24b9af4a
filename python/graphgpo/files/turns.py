"""Chats to steps: the one rule of who is the policy and what it saw.

assistant, ai, gpt and model are the policy; system and developer are dropped; all else is the
environment. A policy message is a step, adjacent ones together. Its state: the environment's texts
since the previous policy message. A policy message that is not its own (a demonstration, a
prefill) is no step but starts that stretch anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

POLICY = frozenset({"assistant", "ai", "gpt", "model"})
DROPPED = frozenset({"system", "developer"})
SHELL_TOOLS = frozenset(
    {
        "bash",
        "bash_command",
        "shell",
        "terminal",
        "execute_bash",
        "run_command",
        "run_shell_command",
    }
)
"""Tools whose answers are no states: folder and diff are not in them."""


class Message(msgspec.Struct):
    """One message of a chat, of whichever dialect; what it has besides is skipped unread."""

    role: str | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    content: Any = None
    value: Any = None
    text: Any = None
    tool_calls: Any = None
    loss: Any = None
    trainable: Any = None
    sampled: Any = None
    source: Any = None

    @property
    def speaker(self) -> str:
        """Who says it, in lower case."""
        return (self.role or self.from_ or "").lower()

    @property
    def said(self) -> str:
        """Its text."""
        for content in (self.content, self.value, self.text):
            if content is not None:
                return content_text(content)
        return ""

    @property
    def is_own(self) -> bool:
        """Whether the policy wrote it, as far as the message says."""
        # 0 is what Parquet and JSON writers make of a false flag; null says nothing.
        flags = (self.loss, self.trainable, self.sampled)
        return not any(flag is not None and flag == 0 for flag in flags) and self.source != "input"


class Turns(NamedTuple):
    """The steps of a chat."""

    states: list[str]
    actions: list[str]
    last_state: str | None
    """What the environment said after the last step."""

    uses_shell: bool


def turns(messages: Iterable[Message]) -> Turns:
    """The steps of a chat, by the rule above.

    >>> chat = [Message(role="user", content="A door."), Message(role="assistant", content="open")]
    >>> turns(chat)[:3]
    (['A door.'], ['open'], None)
    """
    states: list[str] = []
    actions: list[str] = []
    heard: list[str] = []
    policy_spoke_last = uses_shell = False
    for message in messages:
        speaker = message.speaker
        if speaker in DROPPED:
            continue
        if speaker not in POLICY:
            heard.append(message.said)
            policy_spoke_last = False
        elif not message.is_own:
            heard.clear()
            policy_spoke_last = False
        else:
            action, tools = action_text(message)
            uses_shell = uses_shell or not SHELL_TOOLS.isdisjoint(tools)
            if policy_spoke_last:
                actions[-1] = f"{actions[-1]}\n{action}"
            else:
                states.append("\n".join(heard))
                actions.append(action)
            heard.clear()
            policy_spoke_last = True
    last_state = "\n".join(heard) if states and heard else None
    return Turns(states, actions, last_state, uses_shell)


def action_text(message: Message) -> tuple[str, list[str]]:
    """A policy message: its text and a line `name(arguments)` per tool call; the tools' names."""
    calls = [*_parts_of(message.content, "tool_use"), *_as_list(message.tool_calls)]
    named = [_tool_call(call) for call in calls]
    lines = [f"{name}({arguments})" for name, arguments in named]
    said = message.said
    return "\n".join([said, *lines] if said else lines), [name for name, _ in named]


def content_text(content: Any) -> str:
    """The text of a message's content: a string, or the texts of its parts, one a line."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, list):
        texts = (_part_text(part) for part in content)
        return "\n".join(text for text in texts if text is not None)
    return compact_json(content)


def _part_text(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return None
    if isinstance(part.get("text"), str):
        return str(part["text"])
    if part.get("type") == "tool_result":
        return content_text(part.get("content"))
    return None  # images, audio, reasoning


def _parts_of(content: Any, kind: str) -> list[Any]:
    if not isinstance(content, list):
        return []
    return [part for part in content if isinstance(part, dict) and part.get("type") == kind]


def _as_list(tool_calls: Any) -> list[Any]:
    tool_calls = from_json_text(tool_calls)
    if tool_calls is None:
        return []
    return tool_calls if isinstance(tool_calls, list) else [tool_calls]


def _tool_call(call: Any) -> tuple[str, str]:
    """Name and arguments of a tool call, as OpenAI, Inspect, Harbor or Anthropic spell it."""
    call = from_json_text(call)
    if not isinstance(call, dict):
        return "", str(call)
    function = call.get("function")
    if isinstance(function, dict):
        call, function = function, None
    name = function or call.get("name") or call.get("function_name") or ""
    arguments = call.get("arguments")
    if arguments is None:
        arguments = call.get("input")
    arguments = from_json_text(arguments)
    if isinstance(arguments, str):  # not JSON: as the model wrote it
        return str(name), arguments
    return str(name), "" if arguments is None else compact_json(arguments)


def from_json_text(value: Any) -> Any:
    """The value of a JSON text; anything else, and any other text, as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def compact_json(value: Any) -> str:
    """JSON without spaces, keys in their order, characters as they are."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
