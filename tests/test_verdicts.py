"""Rollouts without a verdict: their steps are true edges, their outcome is nobody's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, given

from batches import Columns, Shape, rollouts, take
from conftest import Compute
from examples_of import an_estimator
from graphgpo import Rollouts, Terminal, estimators

# The first wins over the kitchen; the second was cut off on the way there; the third strays.
CUT: Columns = {
    "states": ["hall", "kitchen", "hall", "hall"],
    "next_states": ["kitchen", "sink", "kitchen", "bedroom"],
    "group_ids": [0, 0, 0, 0],
    "trajectory_ids": [0, 0, 1, 2],
    "success": [True, True, None, False],
}
CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "object array": lambda values: np.array(values, object),
    "Arrow": pa.array,
    "Arrow chunks": lambda values: pa.chunked_array([pa.array(values[:2]), pa.array(values[2:])]),
    "pandas": pd.Series,
    "pandas boolean": lambda values: pd.Series(values, dtype="boolean"),
    "pandas Arrow": lambda values: pd.Series(values, dtype=pd.ArrowDtype(pa.bool_())),
    "polars": pl.Series,
    "Arrow integers": lambda values: pa.array([None if v is None else int(v) for v in values]),
}


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS.keys())
def test_null_means_no_verdict_in_every_container(make: Any) -> None:
    expected = Rollouts(**CUT).advantages()
    result = Rollouts(**{**CUT, "success": make(CUT["success"])}).advantages()
    np.testing.assert_array_equal(result.advantages, expected.advantages)
    assert result.metrics == expected.metrics
    assert result.metrics["graphgpo/rollouts_without_verdict"] == 1


def test_a_rollout_without_a_verdict_has_step_credit_and_no_episode_advantage(
    compute: Compute,
) -> None:
    result = compute(**CUT)
    assert result.step_advantages[2] == result.step_advantages[0] > 0
    np.testing.assert_allclose(result.episode_advantages, [2**-0.5, 2**-0.5, 0, -(2**-0.5)], 1e-5)
    assert result.num_peers.tolist() == [3, 1, 3, 3]
    grpo = compute(**CUT, estimator="grpo")
    np.testing.assert_array_equal(grpo.scores, [1, 1, math.nan, 0])
    assert grpo.num_peers.tolist() == [2, 2, 2, 2]
    assert grpo.advantages[2] == 0


def test_its_edges_are_true_edges() -> None:
    # Nobody else says that the bedroom leads to the hall.
    columns: Columns = {
        "states": ["hall", "bedroom", "bedroom"],
        "next_states": ["kitchen", "hall", "garden"],
        "group_ids": [0] * 3,
        "trajectory_ids": [0, 1, 2],
        "success": [True, None, False],
    }
    result = Rollouts(**columns).advantages()
    assert result.distances.tolist() == [1, 2, 2]
    assert result.step_advantages[1] > 0 > result.step_advantages[2]


def test_its_end_is_a_leaf_where_the_next_state_is_not_known() -> None:
    columns = {**CUT, "next_states": None}
    graph = Rollouts(**columns).graph()
    assert graph.node_states.count(Terminal.LEAF) == 2
    assert graph.node_states.count(Terminal.GOAL) == 1


@given(columns=rollouts(Shape(has_verdicts=True)))
def test_success_and_failure_of_others_are_judged_as_if_it_were_not_there(
    compute: Compute, columns: Columns
) -> None:
    # A second copy of every rollout, cut off: the episode advantages of the judged stay.
    rows = len(columns["states"])
    cut = take(columns, range(rows))
    cut["trajectory_ids"] = [f"{t} cut off" for t in columns["trajectory_ids"]]
    cut["success"] = [None] * rows
    if columns["episode_returns"] is not None:
        cut["episode_returns"] = [None] * rows
    both = {
        name: None
        if columns[name] is None
        else [*map(str, columns[name]), *cut[name]]
        if name == "trajectory_ids"
        else [*columns[name], *cut[name]]
        for name in columns
    }
    for name in ("grpo", "dr_grpo", "rloo"):
        judged = compute(**columns, estimator=name)
        result = compute(**both, estimator=name)
        np.testing.assert_array_equal(
            result.episode_advantages[:rows], judged.episode_advantages, err_msg=name
        )
        assert not result.episode_advantages[rows:].any()
        assert np.isnan(result.scores[rows:]).all()
        rate, expected = (r.metrics["graphgpo/success_rate"] for r in (result, judged))
        assert rate == expected
        for metric in ("mean_return", "equal_outcome_groups"):
            assert result.metrics[f"graphgpo/{metric}"] == judged.metrics[f"graphgpo/{metric}"]


@pytest.mark.parametrize("name", estimators.names())
def test_every_estimator_gives_finite_credit_and_no_episode_advantage_to_it(
    compute: Compute, name: str
) -> None:
    columns = {**CUT, "actions": list("abab"), "peer_keys": [0] * 4}
    result = compute(**columns, estimator=an_estimator(name))
    assert np.isfinite(result.advantages).all()
    assert result.metrics["graphgpo/rollouts_without_verdict"] == 1
    if not any(type(term.score).__name__ == "NewStates" for term in an_estimator(name).terms()):
        assert result.episode_advantages[2] == 0


@pytest.mark.parametrize("name", estimators.names())
def test_a_batch_without_any_verdict_teaches_nothing_of_outcomes(
    compute: Compute, name: str
) -> None:
    columns: Columns = {**CUT, "success": [None] * 4, "actions": list("abab")}
    result = compute(**{**columns, "peer_keys": [0] * 4}, estimator=an_estimator(name))
    assert np.isfinite(result.advantages).all()
    found = {k.removeprefix("graphgpo/"): v for k, v in result.metrics.items()}
    assert (found["rollouts_without_verdict"], found["num_trajectories"]) == (3, 3)
    assert found["success_rate"] == found["mean_return"] == found["groups_solved"] == 0
    assert found["groups_without_success"] == found["num_groups"] == 1
    if all(type(term.score).__name__ == "Outcome" for term in an_estimator(name).terms()):
        assert not result.advantages.any()


@pytest.mark.parametrize("unknown", [None, math.nan])
def test_its_episode_return_may_be_unknown_and_is_not_looked_at(
    compute: Compute, unknown: Any
) -> None:
    expected = compute(**CUT, episode_returns=[3.0, 3.0, unknown, 1.0])
    result = compute(**CUT, episode_returns=[3.0, 3.0, 100.0, 1.0])
    np.testing.assert_array_equal(result.advantages, expected.advantages)
    assert result.metrics["graphgpo/mean_return"] == expected.metrics["graphgpo/mean_return"] == 2
    arrow = pa.array([3.0, 3.0, None if unknown is None else unknown, 1.0])
    result = Rollouts(**CUT, episode_returns=arrow).advantages()
    np.testing.assert_array_equal(result.episode_advantages, expected.episode_advantages)


def test_a_rollout_with_a_verdict_has_a_known_return(compute: Compute) -> None:
    with pytest.raises(ValueError, match=r"episode_returns\[3\] is (null or NaN|nan)"):
        compute(**CUT, episode_returns=[3.0, 3.0, None, math.nan])
    with pytest.raises(ValueError, match=r"episode_returns\[1\]"):
        Rollouts(**{**CUT, "success": None}, episode_returns=[3.0, None, 3.0, 3.0]).advantages(
            "grpo"
        )


@given(columns=rollouts(Shape(has_verdicts=True)))
def test_a_verdict_is_of_a_whole_rollout(compute: Compute, columns: Columns) -> None:
    counts: dict[tuple[Any, Any], list[int]] = {}
    for row, key in enumerate(zip(columns["group_ids"], columns["trajectory_ids"], strict=True)):
        counts.setdefault(key, []).append(row)
    longer = [rows for rows in counts.values() if len(rows) > 1]
    assume(longer)
    for row in (longer[0][0], longer[0][-1]):
        success = [*columns["success"]]
        success[row] = None
        message = r"success\[\d+\] is .* of its trajectory .* expected .* on every row of a rollout"
        with pytest.raises(ValueError, match=message):
            compute(**{**columns, "success": success})


def test_a_masked_rows_verdict_is_nobodys(compute: Compute) -> None:
    columns = {**CUT, "mask": [True, True, True, False]}
    columns["success"] = [True, True, False, None]
    assert compute(**columns).metrics["graphgpo/rollouts_without_verdict"] == 0


def test_copies_of_a_step_without_a_verdict_agree(compute: Compute) -> None:
    columns = {**CUT, "step_ids": [0, 1, 0, 0]}
    copied = take(columns, [0, 1, 2, 3, 2])
    expected = compute(**columns)
    result = compute(**copied)
    np.testing.assert_array_equal(result.advantages[:4], expected.advantages)
    assert result.advantages[4] == expected.advantages[2]
    copied["success"][4] = False
    with pytest.raises(ValueError, match=r"success\[4\]"):
        compute(**copied)


@pytest.mark.parametrize("wrong", ["yes", 2, [True]])
def test_other_values_are_no_verdict(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        Rollouts(**{**CUT, "success": [True, True, wrong, False]})
    expected = "expected a bool, exactly 0 or 1, or None for no verdict"
    assert str(caught.value) == f"success[2] is {wrong!r} ({type(wrong).__name__}); {expected}"
