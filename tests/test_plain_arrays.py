"""Arrays that the core takes as they are: read as by the rules for every container."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import graphgpo
from graphgpo import _core, ingest
from graphgpo.columns import COLUMNS
from graphgpo.ingest import _KINDS

ROWS = 60
OF_KIND = {"flag": np.bool_, "verdict": np.bool_, "real": np.float64}


def batch() -> dict[str, Any]:
    """A walk of six rollouts, every column an array as the core takes it."""
    rng = np.random.default_rng(5)
    trajectories = np.repeat(np.arange(6), 10)
    last = np.arange(ROWS) % 10 == 9
    states = rng.integers(0, 9, ROWS)
    return {
        "states": states,
        "next_states": np.where(last, 99, np.roll(states, -1)),
        "group_ids": trajectories // 3,
        "trajectory_ids": trajectories,
        "success": last & (trajectories % 2 == 0),
        "step_ids": np.arange(ROWS) % 10,
        "actions": rng.integers(0, 3, ROWS),
        "rewards": rng.normal(size=ROWS),
        "episode_returns": trajectories.astype(float),
        "edge_costs": rng.uniform(1, 2, ROWS),
        "action_valid": rng.random(ROWS) < 0.8,
        "mask": np.arange(ROWS) < 50,
        "peer_keys": trajectories % 2,
    }


def plain(**given: Any) -> dict[str, Any]:
    return _core.plain_arrays(given=given, kinds=_KINDS)


def by_every_rule(**given: Any) -> graphgpo.StepAdvantages:
    with patch.object(_core, "plain_arrays", return_value=dict.fromkeys(COLUMNS)):
        return graphgpo.compute_advantages(**given, num_threads=1)


def test_every_column_is_read_and_what_is_not_given_is_none() -> None:
    assert all(column is not None for column in plain(**batch()).values())
    assert plain() == dict.fromkeys(COLUMNS)
    assert [*plain()] == [*COLUMNS]


@pytest.mark.parametrize("left_out", [None, "next_states", "step_ids", "mask"])
def test_credit_is_as_by_the_rules_for_every_container(left_out: str | None) -> None:
    given: dict[str, Any] = {**batch(), **({} if left_out is None else {left_out: None})}
    result = graphgpo.compute_advantages(**given, num_threads=1)
    expected = by_every_rule(**given)
    np.testing.assert_array_equal(result.advantages, expected.advantages)
    np.testing.assert_array_equal(result.state_ids, expected.state_ids)
    assert result.metrics == expected.metrics


@pytest.mark.parametrize("name", COLUMNS)
def test_what_needs_a_rule_is_left_to_it(name: str) -> None:
    dtype = np.dtype(OF_KIND.get(COLUMNS[name].kind, np.int64))
    values = np.ones(ROWS, dtype)
    misaligned = np.frombuffer(b"\0" + bytes(8 * ROWS), dtype=dtype, offset=1)
    left = [
        values.tolist(),
        values.reshape(1, -1),
        np.ones(2 * ROWS, dtype)[::2],
        values.astype(np.float32),
        values.astype(object),
        np.ma.masked_array(values),
        np.array(1, dtype),
        *([] if dtype.itemsize == 1 else [values.astype(dtype.newbyteorder()), misaligned]),
    ]
    assert plain(**{name: values})[name] is not None
    for other in left:
        assert plain(**{name: other})[name] is None


def test_ids_and_mask_are_copies_since_they_are_read_twice() -> None:
    given = batch()
    read = plain(**given)
    assert not np.shares_memory(read["mask"], given["mask"])
    for name in ("step_ids", "rewards", "success", "action_valid"):
        assert np.shares_memory(read[name], given[name])
    before = graphgpo.Rollouts(**given, num_threads=1)
    expected = before.advantages().advantages.copy()
    for name in ("group_ids", "trajectory_ids", "mask"):
        given[name][:] = 0
    np.testing.assert_array_equal(before.advantages().advantages, expected)


def test_states_of_both_columns_meet_whichever_was_read_how() -> None:
    given = batch()
    mixed = {**given, "next_states": given["next_states"].tolist()}
    whole = graphgpo.compute_advantages(**given, num_threads=1)
    parts = graphgpo.compute_advantages(**mixed, num_threads=1)
    np.testing.assert_array_equal(whole.advantages, parts.advantages)
    numbers = ingest.read_columns({"states": given["states"]}, stable=False)["states"]
    texts = ingest.read_columns({"states": ["a"]}, stable=False)["states"]
    assert numbers.is_comparable_at_once(other=numbers)
    assert not numbers.is_comparable_at_once(other=texts)
    assert not texts.is_comparable_at_once(other=texts)
