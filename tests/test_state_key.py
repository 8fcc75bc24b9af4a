"""Stable keys: written down once, the same for ever."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphgpo
from graphgpo import _core
from graphgpo.demo import load_rollouts
from graphgpo.ingest import key_column

# A change of any of these is a change of what users have stored.
GOLDEN: list[tuple[Any, int]] = [
    ("hall", 5935732517674450595),
    ("", 1059339609118023845),
    ("Küche 🍵", -234827896747663137),
    ("\ud800", 7362829780821874390),
    (b"hall", -3693865769006230391),
    (0, 5440910477267501620),
    (-1, -9057772453343512810),
    (2**63, -780738770953672974),
    (-(2**63), -8526075600749620829),
    (1.0, -3213168407854101126),
    (True, 9220507320140229504),
    (["hall", 1], -1401837934571338597),
    ({"room": "hall", "items": ["mug"]}, 9114085405706867281),
    ((1, (2.5, None)), 1439625673255978683),
    (np.array([1, 2, 3]), -5439737078097594342),
    (np.zeros((2, 2), np.float32), -7623082728401142999),
    ("x" * 1000, 1132497559979351994),
]


@pytest.mark.parametrize(("state", "key"), GOLDEN, ids=lambda value: repr(value)[:30])
def test_golden_keys(state: Any, key: int) -> None:
    assert graphgpo.state_key(state) == key
    assert graphgpo.state_keys([state, state]).tolist() == [key, key]


@pytest.mark.parametrize("name", ["textworld", "sokoban", "minigrid"])
def test_real_states_have_keys_of_their_own(name: str) -> None:
    states = load_rollouts(name)["states"]
    assert len(set(graphgpo.state_keys(states))) == len(set(states))


def test_keys_are_int64() -> None:
    keys = graphgpo.state_keys(["hall", "kitchen"])
    assert keys.dtype == np.int64
    assert keys.shape == (2,)
    assert graphgpo.state_keys([]).shape == (0,)


def test_none_has_no_key() -> None:
    with pytest.raises(TypeError, match="state is None; expected a state"):
        graphgpo.state_key(None)
    with pytest.raises(ValueError, match=r"states\[1\] is null; expected a state"):
        graphgpo.state_keys(["hall", None])


def test_keys_as_states_merge_what_the_states_merge() -> None:
    rooms = ["hall", "kitchen", "hall", "bath"]
    columns: dict[str, Any] = {
        "group_ids": [0] * 4,
        "trajectory_ids": [0, 0, 1, 1],
        "success": [1, 1, 0, 0],
    }
    by_state = graphgpo.compute_advantages(rooms, **columns)
    by_key = graphgpo.compute_advantages(graphgpo.state_keys(rooms), **columns)
    np.testing.assert_array_equal(by_key.advantages, by_state.advantages)


def test_a_column_with_gaps_has_the_keys_of_its_values() -> None:
    column = key_column("next_states", ["hall", None, ("hall", None)], None)
    keys, is_null = _core.nullable_stable_keys(column=column)
    assert is_null.tolist() == [False, True, False]
    assert keys.tolist() == [
        graphgpo.state_key("hall"),
        0,
        graphgpo.state_key(("hall", None)),
    ]
