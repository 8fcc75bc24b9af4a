"""The turn rule: who is the policy, what it saw, what it did."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphgpo.files.turns import Message, Turns, turns


def told(*messages: dict[str, Any]) -> Turns:
    return turns(msgspec.convert(list(messages), list[Message]))


def env(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


def policy(text: str | None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def test_a_policy_message_is_a_step_from_what_was_said_before_it() -> None:
    steps = told(env("hall"), policy("walk"), env("door"), policy("open"), env("garden"))
    assert steps.states == ["hall", "door"]
    assert steps.actions == ["walk", "open"]
    assert steps.last_state == "garden"


def test_silence_after_the_last_step_is_an_unknown_next_state() -> None:
    assert told(env("hall"), policy("walk")).last_state is None


def test_a_chat_without_policy_has_no_step_and_no_last_state() -> None:
    assert told(env("hall")) == Turns([], [], None, False)


@pytest.mark.parametrize("role", ["assistant", "ai", "gpt", "model", "Assistant"])
def test_the_policy_goes_by_four_names(role: str) -> None:
    assert told(env("hall"), {"role": role, "content": "walk"}).actions == ["walk"]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_system_prompts_are_dropped_wherever_they_stand(role: str) -> None:
    dropped = {"role": role, "content": "rules"}
    steps = told(dropped, env("hall"), dropped, policy("walk"), dropped, policy("on"))
    assert (steps.states, steps.actions) == (["hall"], ["walk\non"])


@pytest.mark.parametrize("role", ["user", "human", "tool", "function", "ipython", "environment"])
def test_everyone_else_is_the_environment(role: str) -> None:
    assert told({"role": role, "content": "hall"}, policy("walk")).states == ["hall"]


def test_several_texts_of_the_environment_are_lines_of_one_state() -> None:
    assert told(env("hall"), env("door"), policy("walk")).states == ["hall\ndoor"]


def test_adjacent_policy_messages_are_one_step() -> None:
    steps = told(env("hall"), policy("think"), policy("walk"), env("door"))
    assert steps == Turns(["hall"], ["think\nwalk"], "door", False)


@pytest.mark.parametrize(
    "flag",
    [{"loss": False}, {"trainable": False}, {"sampled": False}, {"source": "input"}, {"loss": 0}],
)
def test_what_the_policy_did_not_write_starts_the_stretch_anew(flag: dict[str, Any]) -> None:
    steps = told(env("example"), policy("like so", **flag), env("hall"), policy("walk"))
    assert (steps.states, steps.actions) == (["hall"], ["walk"])


@pytest.mark.parametrize(
    "flag", [{"loss": None}, {"loss": True}, {"trainable": 1}, {"source": "generate"}]
)
def test_other_flags_say_nothing_against_it(flag: dict[str, Any]) -> None:
    assert told(env("hall"), policy("walk", **flag)).actions == ["walk"]


def test_a_message_of_another_between_two_of_its_own_keeps_them_apart() -> None:
    steps = told(env("hall"), policy("a"), policy("b", sampled=False), policy("c"))
    assert (steps.states, steps.actions) == (["hall", ""], ["a", "c"])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "b"}], "b"),
        (["a", "b"], "a\nb"),
        ([{"type": "tool_result", "content": [{"type": "text", "text": "a"}]}], "a"),
        ({"b": 1, "a": "é"}, '{"b":1,"a":"é"}'),
    ],
)
def test_content_parts_are_their_texts(content: Any, text: str) -> None:
    assert told({"role": "user", "content": content}, policy("walk")).states == [text]


@pytest.mark.parametrize(
    "call",
    [
        {
            "id": "1",
            "type": "function",
            "function": {"name": "go", "arguments": '{"to": "é", "n": 1}'},
        },
        {"name": "go", "arguments": '{"to": "é", "n": 1}'},
        {"function": "go", "arguments": {"to": "é", "n": 1}},
        {"function_name": "go", "arguments": {"to": "é", "n": 1}},
        {"type": "tool_use", "name": "go", "input": {"to": "é", "n": 1}},
        '{"name": "go", "arguments": {"to": "é", "n": 1}}',
    ],
)
def test_a_tool_call_is_a_line_of_the_action(call: Any) -> None:
    assert told(env("hall"), policy("So:", tool_calls=[call])).actions == [
        'So:\ngo({"to":"é","n":1})'
    ]


def test_a_tool_call_may_be_all_there_is_and_its_arguments_no_json() -> None:
    call = {"function": {"name": "go", "arguments": "to the {door"}}
    assert told(env("hall"), policy(None, tool_calls=[call])).actions == ["go(to the {door)"]


def test_tool_calls_may_be_json_text_and_anthropics_lie_in_the_content() -> None:
    assert told(
        env("h"), policy("a", tool_calls='[{"name": "go", "arguments": "{}"}]')
    ).actions == ["a\ngo({})"]
    parts = [{"type": "text", "text": "a"}, {"type": "tool_use", "name": "go", "input": {}}]
    assert told(env("h"), {"role": "assistant", "content": parts}).actions == ["a\ngo({})"]


def test_a_shell_is_noticed() -> None:
    assert told(env("$"), policy("ls", tool_calls=[{"name": "bash", "arguments": "{}"}])).uses_shell


speakers = st.sampled_from(["user", "tool", "assistant", "system"])


@given(st.lists(st.tuples(speakers, st.text(max_size=3))))
def test_a_step_per_stretch_of_the_policy_and_no_text_lost(chat: list[tuple[str, str]]) -> None:
    steps = told(*({"role": role, "content": text} for role, text in chat))
    spoken = [role == "assistant" for role, _ in chat if role != "system"]
    starts = [now and not before for before, now in zip([False, *spoken], spoken, strict=False)]
    assert len(steps.states) == len(steps.actions) == sum(starts)
    heard = [text for role, text in chat if role in ("user", "tool")]
    kept = [*steps.states, *([] if steps.last_state is None else [steps.last_state])]
    if steps.states:
        # A stretch without environment at the very start is an empty state, not a text.
        kept = kept if spoken and not spoken[0] else kept[1:]
        assert "\n".join(kept) == "\n".join(heard)
