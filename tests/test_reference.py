"""The fast path against the method in plain Python, and the reference against itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphgpo
from batches import Columns, options, rollouts, take, with_padding
from graphgpo import reference


def assert_agree(columns: Columns, chosen: dict[str, Any]) -> None:
    fast = graphgpo.compute_advantages(**columns, **chosen)
    plain = reference.compute_advantages(**columns, **chosen)
    for name in ("state_ids", "next_state_ids", "distances", "next_distances"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(plain, name), err_msg=name)
    np.testing.assert_allclose(fast.edge_returns, plain.edge_returns, rtol=1e-12)
    for name in ("advantages", "step_advantages", "episode_advantages"):
        values, expected = getattr(fast, name), getattr(plain, name)
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=2e-6, err_msg=name)
    assert list(fast.metrics) == list(plain.metrics)
    assert fast.metrics == pytest.approx(plain.metrics, rel=1e-5, abs=2e-6)


@settings(max_examples=4 * settings.default.max_examples)  # type: ignore[union-attr]
@given(data=st.data(), columns=rollouts(), chosen=options)
def test_fast_and_plain_agree_under_every_option(
    data: st.DataObject, columns: Columns, chosen: dict[str, Any]
) -> None:
    rows = len(columns["states"])
    padded, _ = with_padding(columns, data.draw(st.lists(st.integers(0, rows - 1), max_size=3)))
    order = data.draw(st.permutations(range(len(padded["states"]))))
    assert_agree(take(padded, order), chosen)


@given(columns=rollouts(), chosen=options)
def test_fast_and_plain_agree_without_step_ids(columns: Columns, chosen: dict[str, Any]) -> None:
    assert_agree({**columns, "step_ids": None}, chosen)


@given(columns=rollouts())
def test_grpo_needs_no_success_where_an_outcome_is_given(columns: Columns) -> None:
    columns = {**columns, "success": None}
    if columns["rewards"] is None and columns["episode_returns"] is None:
        with pytest.raises(ValueError, match="success is None"):
            graphgpo.compute_advantages(**columns, estimator="grpo")
        with pytest.raises(ValueError, match="success is None"):
            reference.compute_advantages(**columns, estimator="grpo")
    else:
        assert_agree(columns, {"estimator": "grpo"})


@pytest.mark.parametrize("empty", [[], np.zeros(0), np.zeros(0, "U3"), np.zeros((0, 4))])
def test_an_empty_batch_is_a_result_of_length_zero(empty: Any) -> None:
    columns = dict.fromkeys(("states", "next_states"), empty) | {
        name: np.zeros(0) for name in ("group_ids", "trajectory_ids", "success", "step_ids")
    }
    result = graphgpo.compute_advantages(**columns)
    assert len(result) == 0
    assert set(result.metrics.values()) == {0.0}
    assert len(reference.compute_advantages(**columns)) == 0


def test_a_batch_that_is_all_padding_is_legal() -> None:
    columns: Columns = {
        "states": [None, None],
        "group_ids": [None, None],
        "trajectory_ids": [None, None],
        "success": [None, None],
        "mask": [False, False],
    }
    assert_agree(columns, {})
    result = graphgpo.compute_advantages(**columns)
    assert result.metrics["graphgpo/masked_rows"] == 2
    assert np.isnan(result.distances).all()
