"""Every metric of outcomes by hand, on batches where only it moves."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from batches import Columns, Only, rollouts, take
from conftest import Compute
from graphgpo import compute_advantages as fast
from graphgpo import reference
from graphgpo.blocks import Given, Outcome, Raw, Task, Term

# Four groups: all win, two of three win, none wins, nobody judged one of two.
WON: dict[str, list[Any]] = {
    "solved": [True, True],
    "mixed": [True, False, True],
    "lost": [False],
    "cut": [None, False],
}


def batch(**more: Any) -> Columns:
    """A rollout is two steps, a to b and on."""
    columns: Columns = {name: [] for name in ("states", "next_states", "group_ids", "success")}
    columns["trajectory_ids"] = []
    for group, verdicts in WON.items():
        for trajectory, verdict in enumerate(verdicts):
            columns["states"] += ["a", "b"]
            columns["next_states"] += ["b", "c"]
            columns["group_ids"] += [group] * 2
            columns["trajectory_ids"] += [trajectory] * 2
            columns["success"] += [verdict] * 2
    return {**columns, **more}


def measured(compute: Compute, columns: Columns, **options: Any) -> dict[str, float]:
    metrics = compute(**columns, **options).metrics
    return {name.removeprefix("graphgpo/"): value for name, value in metrics.items()}


def test_outcomes_by_hand(compute: Compute) -> None:
    found = measured(compute, batch())
    expected = {
        "num_groups": 4,
        "num_trajectories": 8,
        "num_steps": 16,
        "success_rate": 4 / 7,  # of those with a verdict
        "groups_solved": 1,
        "groups_mixed": 1,
        "groups_without_success": 2,
        "equal_outcome_groups": 1,  # a lone known outcome is equal to nobody
        "mean_return": 4 / 7,
        "group_size_min": 1,
        "group_size_mean": 2,
        "group_size_max": 3,
        "distinct_starts": 1,
        "ends_at_a_start": 0,
        "masked_inside": 0,
        "rollouts_without_verdict": 1,
    }
    assert {name: found[name] for name in expected} == expected


def test_advantages_are_measured_as_they_are_handed_out(compute: Compute) -> None:
    # Of nearly 10**8, float32 keeps multiples of 8: the mean is that of what a trainer sees.
    outcomes = [1e8, 3.0, 7.0]
    result = compute(
        ["a", "a", "a"],
        ["b", "c", "d"],
        group_ids=[0] * 3,
        trajectory_ids=[0, 1, 2],
        success=[True, False, False],
        episode_returns=outcomes,
        estimator="dr_grpo",
    )
    seen = result.advantages.astype(np.float64)
    exact = np.array(outcomes) - np.mean(outcomes)
    assert (seen != exact).any()
    for name in ("mean", "std", "min", "max"):
        measure = result.metrics[f"graphgpo/adv_{name}"]
        assert measure == pytest.approx(getattr(np, name)(seen), rel=1e-14, abs=1e-8), name


def test_an_empty_batch_measures_zero(compute: Compute) -> None:
    found = measured(compute, {name: [] for name in batch()})
    assert set(found.values()) == {0.0}


def test_fast_and_plain_have_the_same_names_in_the_same_order() -> None:
    assert [*fast(**batch()).metrics] == [*reference.compute_advantages(**batch()).metrics]


def test_every_metric_is_a_flat_float(compute: Compute) -> None:
    metrics = compute(**batch()).metrics
    assert all(name.startswith("graphgpo/") for name in metrics)
    assert all(type(value) is float and math.isfinite(value) for value in metrics.values())


def test_a_group_of_one_that_won_is_solved(compute: Compute) -> None:
    found = measured(compute, take(batch(), [0, 1]))
    assert (found["groups_solved"], found["groups_mixed"]) == (1, 0)
    assert found["equal_outcome_groups"] == 0


def test_a_win_beside_a_rollout_without_verdict_is_mixed(compute: Compute) -> None:
    columns = take(batch(), [0, 1, 2, 3])
    columns["success"] = [True, True, None, None]
    found = measured(compute, columns)
    assert (found["groups_solved"], found["groups_mixed"], found["success_rate"]) == (0, 1, 1)


def test_without_a_success_column_everybody_failed(compute: Compute) -> None:
    returns = [3.0, 3.0, 3.0, 3.0, *[1.0, 1.0, 2.0, 2.0, 1.0, 1.0], *[5.0] * 6]
    columns = batch(success=None, episode_returns=returns)
    found = measured(compute, columns, estimator="grpo")
    assert (found["success_rate"], found["rollouts_without_verdict"]) == (0, 0)
    assert (found["groups_without_success"], found["groups_solved"], found["groups_mixed"]) == (
        4,
        0,
        0,
    )
    assert found["mean_return"] == (3 + 3 + 1 + 2 + 1 + 5 + 5 + 5) / 8
    assert found["equal_outcome_groups"] == 2


def test_the_mean_return_is_of_known_outcomes(compute: Compute) -> None:
    rewards = [0.5, 0.25] * 8
    assert measured(compute, batch(rewards=rewards))["mean_return"] == 0.75
    returns: list[Any] = [2.0] * 12 + [None] * 2 + [9.0] * 2
    found = measured(compute, batch(rewards=rewards, episode_returns=returns))
    assert found["mean_return"] == pytest.approx((6 * 2 + 9) / 7)
    assert found["equal_outcome_groups"] == 2


def test_starts_are_counted_by_state_and_averaged_over_groups(compute: Compute) -> None:
    columns = batch()
    columns["states"] = [*columns["states"]]
    columns["states"][2] = "elsewhere"
    assert measured(compute, columns)["distinct_starts"] == (2 + 1 + 1 + 1) / 4
    shifted = {**columns, "states": [f"s{row}" for row in range(16)]}
    assert measured(compute, shifted)["distinct_starts"] == 2


def test_failures_that_end_where_rollouts_start_are_counted(compute: Compute) -> None:
    # An environment that resets itself shows the next episode's first state after a failure.
    columns = batch()
    columns["next_states"] = ["b", "a"] * 8
    found = measured(compute, columns)
    assert found["ends_at_a_start"] == 3  # wins end at GOAL, and one has no verdict
    assert measured(compute, {**columns, "next_states": None})["ends_at_a_start"] == 0
    elsewhere = [*columns["next_states"]]
    elsewhere[7] = None  # the failure of the mixed group, of which nothing is known
    assert measured(compute, {**columns, "next_states": elsewhere})["ends_at_a_start"] == 2


INSIDE: Columns = {
    "states": ["a", "?", "?", "b", "a", "c"],
    "group_ids": [0] * 6,
    "trajectory_ids": [0, 0, 0, 0, 1, 1],
    "success": [True] * 4 + [False] * 2,
    "mask": [True, False, False, True, True, True],
}


def test_masked_rows_between_steps_are_counted(compute: Compute) -> None:
    assert measured(compute, INSIDE)["masked_inside"] == 2
    assert measured(compute, {**INSIDE, "step_ids": [0, 8, 9, 1, 0, 1]})["masked_inside"] == 0
    known = {**INSIDE, "next_states": ["b", None, None, "won", "c", "d"]}
    assert measured(compute, known)["masked_inside"] == 0


def test_masked_rows_at_the_end_and_between_rollouts_are_padding(compute: Compute) -> None:
    padding = {**INSIDE, "mask": [True, True, True, False, True, False]}
    assert measured(compute, padding)["masked_inside"] == 0
    assert measured(compute, {**INSIDE, "mask": [False] * 6})["masked_inside"] == 0


def test_rows_of_others_between_steps_are_no_padding(compute: Compute) -> None:
    columns = {**INSIDE, "trajectory_ids": [0, 1, 1, 0, 2, 2]}
    columns["mask"] = [True, True, False, True, True, True]
    columns["success"] = [True, False, None, True, False, False]
    assert measured(compute, columns)["masked_inside"] == 0


@pytest.mark.parametrize(
    ("credit", "is_inert"), [(0.0, 1), (1e-7, 1), (-1e-6, 1), (2e-6, 0), (-2e-6, 0)]
)
def test_credit_within_rounding_is_none(compute: Compute, credit: float, is_inert: int) -> None:
    scores = [0.0] * 15 + [credit]
    alone = Only(term=Term(Given(scores), normaliser=Raw()))
    found = measured(compute, batch(), estimator=alone)
    assert found["inert"] == is_inert
    assert found["zero_advantage_share"] == (1 if credit == 0 else 15 / 16)


def test_whether_a_batch_is_inert_is_asked_of_what_the_estimator_gives(compute: Compute) -> None:
    # Steps that lead to the same, and outcomes that differ.
    columns = {**batch(), "next_states": ["b", "c"] * 8, "states": [f"s{row}" for row in range(16)]}
    found = measured(compute, columns, estimator="graphgpo")
    assert (found["inert"], found["zero_advantage_share"]) == (1, 1)
    assert found["adv_max"] > 0
    found = measured(compute, columns, estimator="grpo")
    assert found["inert"] == 0
    assert found["zero_advantage_share"] == (4 + 2 + 4) / 16
    raw = measured(compute, batch(), estimator=Only(term=Term(Outcome(), Task(), Raw())))
    assert raw["zero_advantage_share"] == 8 / 16


@given(columns=rollouts())
def test_counts_add_up(compute: Compute, columns: Columns) -> None:
    found = measured(compute, columns)
    judged = found["num_trajectories"] - found["rollouts_without_verdict"]
    assert (
        found["groups_solved"] + found["groups_mixed"] + found["groups_without_success"]
        == (found["num_groups"])
    )
    assert 0 <= found["success_rate"] <= 1
    assert found["success_rate"] * judged == pytest.approx(round(found["success_rate"] * judged))
    sizes = np.array([found[f"group_size_{which}"] for which in ("min", "mean", "max")])
    assert (np.diff(sizes) >= 0).all()
    assert sizes[1] * found["num_groups"] == pytest.approx(found["num_trajectories"])
    assert 1 <= found["distinct_starts"] <= found["group_size_max"]
    assert found["ends_at_a_start"] <= judged


def test_every_metric_has_its_line_on_the_page() -> None:
    page = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"
    told = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| [^|]+ \|$", page.read_text("utf-8"), re.M)
    assert len(told) == len(set(told))
    assert set(told) == {name.removeprefix("graphgpo/") for name in fast(**batch()).metrics}
