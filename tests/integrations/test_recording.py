"""What a rollout loop fills in by hand is taken as the columns of a batch take it, or refused."""

from __future__ import annotations

import math
import uuid
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from graphgpo.integrations._recording import (
    RecordedSteps,
    StepRecorder,
    num_tokens_without_step,
    on_tokens,
    recorded_steps,
)
from graphgpo.integrations._wiring import Advice

ADVICE = Advice(record_steps="Record.", set_success="", more_rollouts="", mark_invalid="")


class Environment:
    """What a rollout loop forgets to call."""

    def won(self) -> bool:
        return True


def recorded(letters: str = "ab", /, **fields: Any) -> dict[str, Any]:
    """The fields of a rollout with a step in each state, some of them filled in anew."""
    steps = StepRecorder()
    for place, state in enumerate(letters):
        steps.add(state, start=place, stop=place + 1)
    found: dict[str, Any] = steps.rollout_fields(success=True)["graphgpo"]
    return {**found, **fields}


def columns(*rows: Any) -> RecordedSteps:
    return recorded_steps(dict(enumerate(rows)), ADVICE)


# --- success --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (True, True),
        (np.False_, False),
        (1, True),
        (0.0, False),
        (np.float32(1), True),
        (None, None),
    ],
)
def test_success_is_a_bool_or_exactly_0_or_1_or_no_verdict(given: Any, taken: Any) -> None:
    fields = StepRecorder().rollout_fields(success=given)["graphgpo"]
    assert fields["success"] is taken
    assert columns(recorded(success=given)).success.tolist() == [taken, taken]


def test_no_verdict_is_passed_on() -> None:
    steps = columns(recorded(success=None), recorded("c"))
    assert steps.success.tolist() == [None, None, True]
    assert columns(recorded("c")).success.dtype == bool


def test_a_step_of_a_rollout_without_a_verdict_says_so_too() -> None:
    steps = StepRecorder()
    steps.add("hall")
    assert steps.step_fields(success=None)[0]["graphgpo"]["success"] is None


VERDICT = "expected a bool, 0 or 1, or None (no verdict: cut off, or the environment died)"


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (-1.0, ValueError, f"success is -1.0 (float); {VERDICT}"),
        (math.nan, ValueError, f"success is nan (float); {VERDICT}"),
        (2, ValueError, f"success is 2 (int); {VERDICT}"),
        (Fraction(1, 2), ValueError, f"success is Fraction(1, 2) (Fraction); {VERDICT}"),
        ("False", TypeError, f"success is 'False' (str); {VERDICT}"),
        ([True], TypeError, f"success is [True] (list); {VERDICT}"),
        (
            torch.tensor(1.0),
            TypeError,
            f"success is tensor(1.) (Tensor); {VERDICT}; did you mean its .item()?",
        ),
    ],
)
def test_success_by_truth_is_refused(given: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        StepRecorder().rollout_fields(success=given)
    assert str(caught.value) == text
    with pytest.raises(error) as caught:
        columns(recorded(), recorded(success=given))
    assert str(caught.value) == text.replace("success is", "success recorded in row 1 is")


def test_a_method_nobody_called_is_no_win() -> None:
    environment = Environment()
    with pytest.raises(TypeError) as caught:
        StepRecorder().rollout_fields(success=environment.won)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"success is {environment.won!r} (method); {VERDICT}; did you mean environment.won()?"
    )


# --- rewards --------------------------------------------------------------------------------------


def test_a_reward_goes_with_its_step() -> None:
    steps = StepRecorder()
    steps.add("hall", reward=0.5)
    steps.add("kitchen", reward=np.float32(2))  # type: ignore[arg-type]
    assert steps.rollout_fields(success=True)["graphgpo"]["rewards"] == [0.5, 2.0]
    assert [f["graphgpo"]["rewards"] for f in steps.step_fields(success=True)] == [[0.5], [2.0]]
    rewards = columns(steps.rollout_fields(success=True)["graphgpo"]).rewards
    assert rewards is not None
    assert rewards.tolist() == [0.5, 2.0]


def test_without_a_reward_there_is_no_column() -> None:
    assert columns(recorded()).rewards is None
    by_hand = recorded()
    del by_hand["rewards"]
    assert columns(by_hand).rewards is None


def test_a_reward_on_some_steps_alone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^step 1 recorded in row 1 has no reward but other") as e:
        columns(recorded("a", rewards=[1.0]), recorded("ab", rewards=[1.0, None]))
    assert str(e.value).endswith(
        "expected one on every step (0 where the environment gives none), or on none"
    )


# --- every other field ----------------------------------------------------------------------------


FLAG = "expected a bool, 0 or 1, or None (not known)"
NUMBER = "expected a finite number, or None on every step of the batch"
SHOWN = "expected what the environment shows"


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"state": None}, ValueError, f"state is None (NoneType); {SHOWN}"),
        ({"state": len}, TypeError, f"state is {len!r} (builtin_function_or_method); {SHOWN}"),
        ({"action_valid": "yes"}, TypeError, f"action_valid is 'yes' (str); {FLAG}"),
        ({"action_valid": -1}, ValueError, f"action_valid is -1 (int); {FLAG}"),
        ({"reward": math.nan}, ValueError, f"reward is nan (float); {NUMBER}"),
        ({"reward": math.inf}, ValueError, f"reward is inf (float); {NUMBER}"),
        ({"reward": "1"}, TypeError, f"reward is '1' (str); {NUMBER}"),
        ({"start": -1}, ValueError, "start is -1 (int); expected an int >= 0"),
        ({"start": 1.0}, TypeError, "start is 1.0 (float); expected an int >= 0"),
        ({"start": True}, TypeError, "start is True (bool); expected an int >= 0"),
        ({"start": 4, "stop": 3}, ValueError, "stop is 3 (int); expected an int >= 4"),
        (
            {"start": 2**63},
            ValueError,
            f"start is {2**63} (int); expected an int >= 0 and below 2**63",
        ),
    ],
)
def test_a_step_that_cannot_be_is_refused_where_it_is_added(
    fields: dict[str, Any], error: type[Exception], text: str
) -> None:
    steps = StepRecorder()
    with pytest.raises(error) as caught:
        steps.add(**{"state": "hall", **fields})
    assert str(caught.value).startswith(text)
    assert len(steps) == 0


def test_a_final_state_may_be_unknown_but_not_uncalled() -> None:
    assert StepRecorder().rollout_fields(success=False)["graphgpo"]["next_states"] == []
    with pytest.raises(TypeError, match=r"did you mean environment\.won\(\)\?$"):
        StepRecorder().rollout_fields(success=False, final_state=Environment().won)


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        (
            {"action_valid": None},
            TypeError,
            "action_valid recorded in row 0 is None (NoneType); expected a list, one value per",
        ),
        ({"states": "ab"}, TypeError, "states recorded in row 0 is 'ab' (str); expected a list"),
        ({"step_ids": [0, "1"]}, TypeError, "step_ids[1] recorded in row 0 is '1' (str); "),
        ({"starts": [0, -2]}, ValueError, "starts[1] recorded in row 0 is -2 (int); "),
        ({"stops": [1, 2.5]}, TypeError, "stops[1] recorded in row 0 is 2.5 (float); "),
        (
            {"stops": [1, 0]},
            ValueError,
            "stops[1] recorded in row 0 is 0 and starts[1] is 1; expected start <= stop",
        ),
        ({"action_valid": [None, 0.5]}, ValueError, "action_valid[1] recorded in row 0 is 0.5 "),
        ({"rewards": [0, math.nan]}, ValueError, "rewards[1] recorded in row 0 is nan (float); "),
        ({"next_states": ["b", len]}, TypeError, "next_states[1] recorded in row 0 is <built-in"),
        ({"states": ["a", None]}, ValueError, "step 1 recorded in row 0 has None for a state; "),
        (
            {"trajectory_id": None},
            TypeError,
            "trajectory_id recorded in row 0 is None (NoneType); ",
        ),
        ({"trajectory_id": 1.0}, TypeError, "trajectory_id recorded in row 0 is 1.0 (float); "),
        ({"trajectory_id": True}, TypeError, "trajectory_id recorded in row 0 is True (bool); "),
    ],
)
def test_fields_filled_in_by_hand_are_read_alike(
    fields: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        columns(recorded(**fields))
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("name", [7, "r7", b"r7", uuid.UUID(int=7), ("task", 7), np.int64(7)])
def test_an_id_is_what_ids_are_made_of(name: Any) -> None:
    steps = StepRecorder()
    steps.trajectory_id = name
    assert steps.rollout_fields(success=True)["graphgpo"]["trajectory_id"] == name


def test_an_id_that_is_none_is_refused() -> None:
    steps = StepRecorder()
    steps.trajectory_id = None  # type: ignore[assignment]
    with pytest.raises(TypeError) as caught:
        steps.rollout_fields(success=True)
    assert str(caught.value) == (
        "trajectory_id is None (NoneType); expected an int, str, bytes, UUID or a tuple of these"
    )


# --- on the tokens --------------------------------------------------------------------------------


def test_tokens_get_the_value_of_their_step_under_the_mask() -> None:
    steps = columns(recorded("ab"), recorded("c"))
    mask = torch.tensor([[1, 0, 1], [1, 1, 0]])
    assert on_tokens([1.0, 2.0, 3.0], steps, mask).tolist() == [[1, 0, 0], [3, 0, 0]]
    assert num_tokens_without_step(steps, mask) == 2


def test_labels_are_no_mask() -> None:
    with pytest.raises(ValueError, match=r"^response_mask\[0, 1\] is -100"):
        on_tokens([1.0], columns(recorded("a")), torch.tensor([[1, -100]]))


def test_a_recorder_takes_the_noise_out_of_states() -> None:
    steps = StepRecorder(normalise={"ignore": [r"step \d+"]})
    steps.add("10:03:17 step 3: hall")
    steps.add(("10:03:19", 4))  # no text
    fields = steps.rollout_fields(success=True, final_state="10:03:20 sink")["graphgpo"]
    assert fields["states"] == ["<time> <ignored>: hall", ("10:03:19", 4)]
    assert fields["next_states"] == [("10:03:19", 4), "<time> sink"]
    with pytest.raises(TypeError, match="normalise is a str; expected"):
        StepRecorder(normalise="clock")
