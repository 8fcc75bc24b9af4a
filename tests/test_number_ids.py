"""Ids read from objects are numbers: equal where the ids are, whatever objects they lie in."""

from __future__ import annotations

import gc
import sys
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphgpo
from graphgpo import _core

Make = Callable[[int], Any]

KINDS: dict[str, Make] = {
    "int": lambda i: 10**6 + i,
    "big int": lambda i: 2**70 + i,
    "ASCII": lambda i: f"task {i}",
    "Latin-1": lambda i: f"tâche {i}",
    "wide": lambda i: f"任务 {i}",
    "bytes": lambda i: f"task {i}".encode(),
    "UUID": lambda i: uuid.UUID(int=i),
    "tuple": lambda i: ("task", i),
}


def batch(make: Make, order: Any) -> dict[str, Any]:
    """Every cell an object of its own; a walk of twelve rollouts in four groups."""
    rows = np.asarray(order)
    rollout = rows // 5
    return {
        "states": (rows * 7 % 5).tolist(),
        "group_ids": [make(int(r) // 3) for r in rollout],
        "trajectory_ids": [make(int(r)) for r in rollout],
        "success": (rollout % 2 == 0).tolist(),
        "step_ids": (rows % 5).tolist(),
    }


@pytest.mark.parametrize("order", ["in runs", "mixed"])
@pytest.mark.parametrize("kind", KINDS)
def test_credit_is_that_of_integer_arrays(kind: str, order: str) -> None:
    rows = np.arange(60)
    if order == "mixed":
        rows = np.random.default_rng(3).permutation(rows)
    given = batch(KINDS[kind], rows)
    numbers = batch(int, rows)
    for name in ("group_ids", "trajectory_ids"):
        numbers[name] = np.array(numbers[name])
    result = graphgpo.compute_advantages(**given)
    expected = graphgpo.compute_advantages(**numbers)
    np.testing.assert_array_equal(result.advantages, expected.advantages)
    np.testing.assert_array_equal(result.state_ids, expected.state_ids)
    assert result.metrics == expected.metrics


def test_ids_of_two_kinds_are_refused_by_the_first_row_that_differs() -> None:
    with pytest.raises(
        TypeError, match=r"^ids\[2\] is '0' \(str\) but ids\[1\] is 0 \(int\); expected"
    ):
        _core.number_ids(values=[None, 0, "0"], mask=None, name="ids")


def test_masked_ids_are_not_looked_at() -> None:
    mask = np.array([True, False, True])
    column = _core.number_ids(values=["a", object(), "a"], mask=mask, name="ids")
    assert column.is_numbered
    assert len(column) == 3


def test_no_object_is_held_once_its_id_is_read() -> None:
    ids = [f"task {i // 3}" for i in range(9)]  # three objects an id
    before = [sys.getrefcount(one) for one in ids]
    column = _core.number_ids(values=ids, mask=None, name="ids")
    assert [sys.getrefcount(one) for one in ids] == before
    del column
    gc.collect()
    assert [sys.getrefcount(one) for one in ids] == before
