"""Start here: three rollouts of one task, small enough to check every number by hand.

hall -> kitchen -> kitchen, mug -> GOAL                               t1
hall -> bedroom -> hall -> kitchen -> fridge open                     t2 gives up
hall -> kitchen -> fridge open -> kitchen -> kitchen, mug -> GOAL     t3
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from conftest import Compute
from graphgpo.estimators.graphgpo import GraphGPO

#    source           target         d  d'  R       A_S     A_E
TABLE: list[tuple[str, str, int, int, float, float, float]] = [
    ("hall", "kitchen", 3, 2, 1 / 8, +0.500, +0.577),
    ("kitchen", "kitchen, mug", 2, 1, 1 / 4, +0.866, +0.577),
    ("kitchen, mug", "sink", 1, 0, 1 / 2, 0, +0.577),
    ("hall", "bedroom", 3, 4, 1 / 32, -1.500, -1.155),
    ("bedroom", "hall", 4, 3, 1 / 16, 0, -1.155),
    ("hall", "kitchen", 3, 2, 1 / 8, +0.500, -1.155),  # a good step inside a failure
    ("kitchen", "fridge open", 2, 3, 1 / 16, -0.866, -1.155),
    ("hall", "kitchen", 3, 2, 1 / 8, +0.500, +0.577),
    ("kitchen", "fridge open", 2, 3, 1 / 16, -0.866, +0.577),  # a detour inside a success
    ("fridge open", "kitchen", 3, 2, 1 / 8, 0, +0.577),
    ("kitchen", "kitchen, mug", 2, 1, 1 / 4, +0.866, +0.577),
    ("kitchen, mug", "sink", 1, 0, 1 / 2, 0, +0.577),
]
SOURCES, TARGETS, DISTANCES, NEXT_DISTANCES, RETURNS, STEP, EPISODE = (
    list(column) for column in zip(*TABLE, strict=True)
)
COLUMNS: dict[str, Any] = {
    "states": SOURCES,
    "next_states": TARGETS,
    "group_ids": ["put the mug in the sink"] * 12,
    "trajectory_ids": ["t1"] * 3 + ["t2"] * 4 + ["t3"] * 5,
    "success": [True] * 3 + [False] * 4 + [True] * 5,
}
ROLLOUTS = {**COLUMNS, "omega": 0.5, "success_reward": 1.0}


def test_the_table(compute: Compute) -> None:
    result = compute(**ROLLOUTS)
    assert result.distances.tolist() == DISTANCES
    assert result.next_distances.tolist() == NEXT_DISTANCES
    assert result.scores.tolist() == RETURNS
    np.testing.assert_allclose(result.step_advantages, STEP, atol=5e-4)
    np.testing.assert_allclose(result.episode_advantages, EPISODE, atol=5e-4)
    np.testing.assert_allclose(result.advantages, np.add(STEP, EPISODE), atol=1e-3)
    assert result.num_peers.tolist() == [4, 4, 2, 4, 1, 4, 4, 4, 4, 1, 4, 2]


def test_nodes_are_numbered_by_first_appearance(compute: Compute) -> None:
    # hall, kitchen, "kitchen, mug", GOAL, bedroom, fridge open
    result = compute(**ROLLOUTS)
    assert result.state_ids.tolist() == [0, 1, 2, 0, 4, 0, 1, 0, 1, 5, 1, 2]
    assert result.next_state_ids.tolist() == [1, 2, 3, 4, 0, 1, 5, 1, 5, 1, 2, 3]


def test_derived_next_states_differ_at_the_end_of_the_failure_only(compute: Compute) -> None:
    # t2 ends in a leaf of its own, which reaches nothing: one further than the furthest, 4 + 1.
    result = compute(**{**ROLLOUTS, "next_states": None})
    assert result.next_distances.tolist() == [*NEXT_DISTANCES[:6], 5, *NEXT_DISTANCES[7:]]
    assert result.distances.tolist() == DISTANCES


def test_the_metrics(compute: Compute) -> None:
    metrics = compute(**ROLLOUTS).metrics
    assert {name.removeprefix("graphgpo/"): value for name, value in metrics.items()} == {
        "num_groups": 1,
        "num_trajectories": 3,
        "num_steps": 12,
        "num_states": 6,
        "num_edges": 7,
        "groups_without_success": 0,
        "merge_ratio": pytest.approx(7 / 12),
        "singleton_share": pytest.approx(2 / 12),  # bedroom, fridge open
        "reachable_share": 1,
        "zero_advantage_share": pytest.approx(4 / 12),
        "max_distance": 4,
        "mean_distance": pytest.approx(29 / 12),
        "adv_mean": pytest.approx(0, abs=1e-6),
        "adv_std": pytest.approx(math.sqrt(np.mean(np.square(np.add(STEP, EPISODE)))), abs=1e-3),
        "adv_min": pytest.approx(-2.655, abs=1e-3),
        "adv_max": pytest.approx(+1.443, abs=1e-3),
        "progress_in_failed": 2 / 4,  # back from the bedroom, and on to the kitchen
        "no_progress_in_succeeded": 1 / 8,  # to the fridge
        "masked_rows": 0,
        "duplicate_rows": 0,
        "broken_links": 0,
        "inert": 0,
        "success_rate": 2 / 3,
        "groups_solved": 0,
        "groups_mixed": 1,
        "equal_outcome_groups": 0,
        "mean_return": 2 / 3,
        "group_size_min": 3,
        "group_size_mean": 3,
        "group_size_max": 3,
        "distinct_starts": 1,
        "ends_at_a_start": 0,
        "masked_inside": 0,
        "rollouts_without_verdict": 0,
        "revisited_positions": 1,  # hall, kitchen and mug, of those seen twice
        "lone_state_share": 2 / 5,  # bedroom, fridge open
        "ambiguous_actions": 0,  # no actions given
        "merge_conflicts": 0,
        "similar_merged": 0,
        "similar_largest": 0,
    }


def test_grpo_gives_every_step_of_a_rollout_the_same(compute: Compute) -> None:
    result = compute(**COLUMNS, estimator="grpo")
    np.testing.assert_allclose(result.advantages, EPISODE, atol=5e-4)
    assert not result.step_advantages.any()
    assert result.distances.tolist() == DISTANCES
    assert result.scores.tolist() == [1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert result.num_peers.tolist() == [3] * 12


def test_gigpo_compares_discounted_returns(compute: Compute) -> None:
    result = compute(**COLUMNS, estimator="gigpo", gamma=0.5, success_reward=1.0)
    returns = [1 / 4, 1 / 2, 1, 0, 0, 0, 0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    assert result.scores.tolist() == returns
    # From the hall: 1/4, 0, 0, 1/16, mean 5/64, std 0.1183. From the kitchen: 1/2, 0, 1/8, 1/2,
    # mean 9/32, std 0.2577. The others have one way to go, or ways of equal return.
    expected = [1.453, 0.849, 0, -0.660, 0, -0.660, -1.091, -0.132, -0.606, 0, 0.849, 0]
    np.testing.assert_allclose(result.step_advantages, expected, atol=1e-3)
    np.testing.assert_allclose(result.episode_advantages, EPISODE, atol=5e-4)


def test_the_recipe_has_one_exponent_less_and_counts_every_step(compute: Compute) -> None:
    result = compute(**ROLLOUTS, estimator=GraphGPO.recipe())
    assert result.scores.tolist() == [2 * value for value in RETURNS]
    # 8 steps of successes with score 1, 4 of failures with 0: mean 2/3.
    std = math.sqrt((8 * (1 / 3) ** 2 + 4 * (2 / 3) ** 2) / 11)
    assert result.episode_advantages[0] == pytest.approx((1 / 3) / (std + 1e-6), rel=1e-6)
    np.testing.assert_allclose(result.step_advantages, STEP, atol=5e-4)
