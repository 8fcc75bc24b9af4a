"""Recorders driven at random: what a loop writes down is what the estimator gets, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphgpo
from arguments import VALUES
from graphgpo.integrations._recording import StepRecorder, recorded_steps
from graphgpo.integrations._wiring import Advice

ADVICE = Advice(record_steps="Record.", set_success="", more_rollouts="", mark_invalid="")
FIELDS = ("state", "start", "stop", "action", "action_valid", "reward", "peer_key")


def refused(call: Callable[[], Any]) -> str | None:
    """What an input error says; None: there is none. Other exceptions pass."""
    try:
        call()
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def some_step(letter: str) -> dict[str, Any]:
    return {"state": letter, "start": 0, "stop": None, "action": "go", "reward": 0.5}


@given(name=st.sampled_from(FIELDS), make=st.sampled_from(VALUES))
def test_a_step_is_taken_whole_or_refused_by_the_name_of_its_field(
    name: str, make: Callable[[], Any]
) -> None:
    steps = StepRecorder()
    steps.add(**some_step("a"))
    before = steps.rollout_fields(success=True)["graphgpo"]
    refusal = refused(lambda: steps.add(**{**some_step("b"), name: make()}))
    if refusal is None:
        assert len(steps) == 2
    else:
        assert refusal.startswith(f"{name} is ")
        assert steps.rollout_fields(success=True)["graphgpo"] == before


@given(data=st.data())
def test_fields_filled_in_by_hand_are_read_or_refused(data: st.DataObject) -> None:
    steps = StepRecorder()
    for letter in "ab":
        steps.add(**some_step(letter))
    fields = dict(steps.rollout_fields(success=True)["graphgpo"])
    for name in data.draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=3)):
        value = data.draw(st.sampled_from(VALUES))()
        how = data.draw(st.sampled_from(["whole", "first", "gone"]))
        if how == "gone":
            fields.pop(name, None)
        elif how == "first" and isinstance(fields.get(name), list) and fields[name]:
            fields[name] = [value, *fields[name][1:]]
        else:
            fields[name] = value
    refusal = refused(lambda: recorded_steps({0: fields}, ADVICE))
    assert refusal is None or "row 0" in refusal


rollout = st.lists(
    st.tuples(
        st.sampled_from(["hall", "sink", "bath", ("room", 7)]),
        st.sampled_from(["go", "take"]),
        st.sampled_from([0.0, 1.0, -0.5]),
        st.sampled_from([True, False, None]),
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("estimator", ["graphgpo", "gigpo", "spread", "g2po"])
@given(rollouts=st.lists(rollout, min_size=1, max_size=5), data=st.data())
def test_credit_is_that_of_the_same_columns(
    estimator: str, rollouts: list[list[tuple[Any, ...]]], data: st.DataObject
) -> None:
    by_row: dict[int, Any] = {}
    columns: dict[str, Any] = {}
    for number, steps in enumerate(rollouts):
        success = data.draw(st.sampled_from([True, False, None]))
        final = data.draw(st.sampled_from(["bed", None]))
        recorder = StepRecorder()
        for place, (state, action, reward, is_valid) in enumerate(steps):
            recorder.add(state, start=place, action=action, reward=reward, action_valid=is_valid)
            is_last = place == len(steps) - 1
            row = {
                "states": state,
                "next_states": final if is_last else steps[place + 1][0],
                "trajectory_ids": number,
                "success": success,
                "actions": action,
                "rewards": reward,
                "action_valid": is_valid is not False,
            }
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
        if data.draw(st.booleans()):
            by_row[len(by_row)] = recorder.rollout_fields(success=success, final_state=final)
        else:
            of_steps = recorder.step_fields(success=success, final_state=final)
            by_row |= {len(by_row) + step: fields for step, fields in enumerate(of_steps)}
    read = recorded_steps({row: fields["graphgpo"] for row, fields in by_row.items()}, ADVICE)
    ids = [by_row[row]["graphgpo"]["trajectory_id"] for row in read.rows]
    expected = graphgpo.compute_advantages(**columns, group_ids=[0] * len(ids), estimator=estimator)
    result = graphgpo.compute_advantages(
        read.states,
        read.next_states,
        group_ids=[0] * len(ids),
        trajectory_ids=ids,
        step_ids=read.step_ids,
        success=read.success,
        actions=read.actions,
        rewards=read.rewards,
        action_valid=read.action_valid,
        estimator=estimator,
    )
    np.testing.assert_array_equal(result.advantages, expected.advantages)
    np.testing.assert_array_equal(result.distances, expected.distances)
