"""The family's identities, and its numbers by hand on the worked example.

Estimators marked P or R in their files have no published code: what stands here is their check.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from batches import Columns, Only, Shape, num_rows, rollouts
from conftest import Compute
from graphgpo import estimators
from graphgpo.blocks import (
    BellmanMean,
    Difference,
    Given,
    Log,
    Mean,
    MeanReturn,
    MeanStd,
    Potential,
    Raw,
    ReachValue,
    SameState,
    Target,
    Term,
    Trace,
)
from test_reference import one_group
from test_worked_example import COLUMNS

ACTIONS = ["to kitchen", "take mug", "put", "to bedroom", "to hall", "to kitchen", "open"]
ACTIONS += ["to kitchen", "open", "close", "take mug", "put"]
ROLLOUTS = {**COLUMNS, "actions": ACTIONS}
HALL, KITCHEN = [0, 3, 5, 7], [1, 6, 8, 10]
PLACES = {"hall": 0, "kitchen": 1, "kitchen, mug": 2, "bedroom": 4, "fridge open": 9}

RETURN = MeanReturn(0.5, 1.0)
LEAF, STATE = BellmanMean(0.5), BellmanMean(0.5, failed_end="state")


def values(compute: Compute, potential: Potential, columns: Columns) -> NDArray[np.float64]:
    """V(u) of every row."""
    alone = Only(term=Term(Difference(potential, gamma=0.0), normaliser=Raw()))
    scores: NDArray[np.float64] = -compute(**columns, estimator=alone).scores
    return scores


def z(scores: list[float], ddof: int = 1) -> NDArray[np.float64]:
    deviations = np.array(scores) - np.mean(scores)
    return deviations / np.std(scores, ddof=ddof)


# --- the worked example ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("potential", "expected"),
    [
        (RETURN, [5 / 64, 9 / 32, 1, 0, 1 / 4]),
        (LEAF, [4 / 75, 2 / 15, 1 / 2, 2 / 75, 1 / 15]),
        (STATE, [2 / 35, 1 / 7, 1 / 2, 1 / 35, 1 / 14]),
        (ReachValue(0.5, 8.0), [1, 2, 4, 1 / 2, 1]),
        (Log(LEAF, 0.06), [math.log(x) for x in (0.06, 2 / 15, 1 / 2, 0.06, 1 / 15)]),
        (MeanReturn(0.5, 1.0, of="outcome"), [5 / 128, 9 / 64, 1 / 2, 0, 1 / 8]),
    ],
    ids=["mean return", "Bellman mean", "to its state", "reach value", "log", "outcome"],
)
def test_potentials_of_the_worked_example(
    compute: Compute, potential: Potential, expected: list[float]
) -> None:
    found = values(compute, potential, ROLLOUTS)
    np.testing.assert_allclose([found[row] for row in PLACES.values()], expected, rtol=1e-9)


def test_a_bellman_mean_may_stand_on_values_of_the_user(compute: Compute) -> None:
    # In place of GOAL and failure: 1/2 after t1, 1/4 after t2, 1 after t3.
    ends = Given([0.5] * 3 + [0.25] * 4 + [1.0] * 5)
    found = values(compute, BellmanMean(0.5, boundary=ends), ROLLOUTS)
    mug = (0.25 + 0.5) / 2
    assert found[PLACES["kitchen, mug"]] == pytest.approx(mug)
    # kitchen k = (mug/2 + 1/8 + fridge/2 + mug/2) / 4, fridge = k/2
    kitchen = (mug + 1 / 8) / 4 / (1 - 1 / 16)
    assert found[PLACES["kitchen"]] == pytest.approx(kitchen)
    assert found[PLACES["fridge open"]] == pytest.approx(kitchen / 2)


def test_graft_by_hand(compute: Compute) -> None:
    credit = compute(**ROLLOUTS, estimator="graft", gamma=0.5).advantages
    np.testing.assert_allclose(credit[KITCHEN], [0.862, -0.985, -0.738, 0.862], atol=6e-4)
    np.testing.assert_allclose(credit[HALL], [0.5, -1.5, 0.5, 0.5], atol=5e-4)
    np.testing.assert_allclose(credit[KITCHEN], z([1 / 2, 0, 1 / 15, 1 / 2]), atol=5e-5)
    assert credit[PLACES["bedroom"]] == credit[PLACES["fridge open"]] == 0  # lone edges


def test_crbc_by_hand(compute: Compute) -> None:
    result = compute(**ROLLOUTS, estimator="crbc", gamma=0.5)
    np.testing.assert_allclose(result.step_advantages[KITCHEN], [1, -1, -1, 1], atol=1e-6)
    # From the hall the std is 0.0462, below the floor: 2/15, 2/75, 2/15, 2/15 less their mean 8/75.
    at_hall = np.array([2 / 75, -6 / 75, 2 / 75, 2 / 75]) / 0.1 / 2
    floored = compute(**ROLLOUTS, estimator="crbc", gamma=0.5, floor=0.2).step_advantages
    np.testing.assert_allclose(floored[HALL], at_hall, rtol=1e-6)
    assert not result.step_advantages[[2, 4, 9, 11]].any()  # one action seen
    joint = 5 * result.step_advantages + result.episode_advantages
    np.testing.assert_allclose(result.advantages, joint, rtol=1e-6)
    # The value of an action is the mean of where it led: fridge and the end of a failure.
    np.testing.assert_allclose(result.scores[KITCHEN], [1 / 2, 1 / 30, 1 / 30, 1 / 2])


def test_crbc_without_actions_takes_targets_for_them(compute: Compute) -> None:
    by_target = {**ROLLOUTS, "actions": None}
    result = compute(**by_target, estimator="crbc", gamma=0.5)
    np.testing.assert_allclose(result.scores[KITCHEN], [1 / 2, 1 / 30, 1 / 30, 1 / 2])
    unlike = {**by_target, "next_states": None}  # the failure ends in a leaf of its own
    result = compute(**unlike, estimator="crbc", gamma=0.5)
    np.testing.assert_allclose(result.scores[KITCHEN], [1 / 2, 0, 1 / 15, 1 / 2])


def test_graph_hca_by_hand(compute: Compute) -> None:
    result = compute(**ROLLOUTS, estimator="graph_hca", gamma=0.5)
    logs = [math.log(x) for x in (1 / 2, 0.01, 1 / 15, 1 / 2)]
    np.testing.assert_allclose(result.scores[KITCHEN], logs, rtol=1e-9)
    np.testing.assert_allclose(result.step_advantages[KITCHEN], z(logs), rtol=1e-5)
    assert result.episode_advantages.any()


def test_rtmc_by_hand(compute: Compute) -> None:
    credit = compute(**ROLLOUTS, estimator="rtmc", gamma=0.5, success_reward=1.0).advantages
    # take: 1/2 twice; open: 0 and 1/8; mean of the four 9/32.
    np.testing.assert_allclose(credit[KITCHEN], np.array([7, -7, -7, 7]) / 32, rtol=1e-6)
    # to kitchen: 1/4, 0, 1/16; to bedroom: 0; mean of the four 5/64.
    go, stray = 5 / 48 - 5 / 64, -5 / 64
    np.testing.assert_allclose(credit[HALL], [go, stray, go, go], rtol=1e-6)


def test_ecpo_by_hand(compute: Compute) -> None:
    options = {"tau": 4.0, "step_weight": 2.0, "gamma": 0.5, "success_reward": 1.0}
    result = compute(**ROLLOUTS, estimator="ecpo", **options)
    # Two steps' worth of 9/32 beside two steps: take 25/64, open 11/64.
    np.testing.assert_allclose(result.scores[KITCHEN], np.array([25, 11, 11, 25]) / 64)
    between, within = (7 / 32) ** 2, 2 * (1 / 16) ** 2 / 4
    evidence = math.tanh(4 / 4) * between / (between + within + 1e-6)
    expected = evidence * z([25 / 64, 11 / 64, 11 / 64, 25 / 64])
    np.testing.assert_allclose(result.step_advantages[KITCHEN], expected, rtol=1e-4)
    joint = 2 * result.step_advantages + result.episode_advantages
    np.testing.assert_allclose(result.advantages, joint, rtol=1e-6)


def test_gagpo_by_hand(compute: Compute) -> None:
    options = {"gamma": 0.5, "lam": 0.5, "success_reward": 1.0}
    result = compute(**ROLLOUTS, estimator="gagpo", **options)
    first = [15 / 128, 7 / 32, 0]
    second = [-141 / 2048, 19 / 512, -1 / 128, -9 / 32]
    third = [41 / 2048, -87 / 512, -7 / 128, 7 / 32, 0]
    np.testing.assert_allclose(result.scores, first + second + third, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(result.advantages, z(first + second + third), rtol=1e-4)


def test_pgpo_by_hand(compute: Compute) -> None:
    options = {"gamma": 0.5, "success_reward": 1.0}
    result = compute(**ROLLOUTS, estimator="pgpo", **options)
    returns = z([1 / 2, 0, 1 / 8, 1 / 2])
    # Undiscounted the hall is worth 1/2, the kitchen 3/4, mug and open fridge 1; the failure's 0
    # follows its last step. One of three rollouts failed: (1/3)^2.
    gains = z([1 / 4, -3 / 4, 1 / 4, 1 / 4])
    np.testing.assert_allclose(result.advantages[KITCHEN], returns + gains / 9, rtol=1e-4)
    returns, gains = z([1 / 4, 0, 0, 1 / 16]), z([1 / 4, -1 / 2, 1 / 4, 1 / 4])
    np.testing.assert_allclose(result.advantages[HALL], returns + gains / 9, rtol=1e-4)
    assert not result.episode_advantages.any()
    twice = compute(**ROLLOUTS, estimator="pgpo", **options, beta=2.0, alpha=1.0)
    np.testing.assert_allclose(twice.advantages[HALL], returns + 2 * gains / 3, rtol=1e-4)


def test_salt_by_hand(compute: Compute) -> None:
    credit = compute(**ROLLOUTS, estimator="salt", history=0).advantages
    np.testing.assert_allclose(credit[[1, 6, 8]], [0.577, -0.289, -0.289], atol=5e-4)
    # Only their own past tells the two apart.
    told = compute(**ROLLOUTS, estimator="salt", history=2).advantages
    np.testing.assert_allclose(told[[1, 6, 8]], [0.577, -1.155, 0.577], atol=5e-4)
    # With one step before, both came from the hall by the same transition.
    near = compute(**ROLLOUTS, estimator="salt", history=1).advantages
    np.testing.assert_allclose(near[[6, 8]], [-0.289, -0.289], atol=5e-4)


def test_stepwise_by_hand(compute: Compute) -> None:
    options = {"estimator": "stepwise", "success_reward": 1.0}
    returns = [0.16, 0.4, 1, 0, 0, 0, 0, 0.0256, 0.064, 0.16, 0.4, 1]
    result = compute(**ROLLOUTS, **options)
    np.testing.assert_allclose(result.scores, returns, rtol=1e-12)
    np.testing.assert_allclose(result.advantages, z(returns), rtol=1e-4)
    by_turn = compute(**ROLLOUTS, **options, peers="turn").advantages
    np.testing.assert_allclose(by_turn[[0, 3, 7]], z([0.16, 0, 0.0256]), rtol=1e-4)
    assert by_turn[11] == 0  # nobody else took five steps


def test_progress_by_hand(compute: Compute) -> None:
    # Nobody won the second task: "a b c" reached 2 new states in 2 steps, "a b a b" 1 in 3.
    columns = one_group("a !", "a b", "a b c", "a b a b")
    columns["group_ids"] = [0] * 2 + [1] * 5
    result = compute(**columns, estimator="progress")
    half = 0.3 * 1 / 2
    np.testing.assert_allclose(result.advantages[2:], [half] * 2 + [-half] * 3, rtol=1e-4)
    np.testing.assert_allclose(result.advantages[:2], z([1, 0]), rtol=1e-4)
    assert not result.step_advantages.any()
    off = compute(**columns, estimator="progress", floor=0.4)  # the std is 1/3
    assert not off.advantages[2:].any()


def test_tree_grpo_by_hand(compute: Compute) -> None:
    columns = one_group("a !", "a b", "a !", "a !")
    result = compute(**columns, peer_keys=["t", "t", "u", "u"], estimator="tree_grpo")
    in_task, in_tree = z([1, 0, 1, 1]), [*z([1, 0]), 0, 0]
    np.testing.assert_allclose(result.advantages, in_task + in_tree, rtol=1e-4)
    assert not result.step_advantages.any()


def test_hgpo_by_hand(compute: Compute) -> None:
    # From b: returns 10, 0, 10, of which the first two came from a.
    columns = one_group("a b !", "a b c", "b !", estimator="hgpo", history=1, gamma=1.0)
    b = [1, 3, 4]
    alike, whole = z([10, 0], ddof=0), z([10, 0, 10], ddof=0)
    credit = compute(**columns).advantages[b]
    expected = [(whole[0] + 2 * alike[0]) / 3, (whole[1] + 2 * alike[1]) / 3, whole[2]]
    np.testing.assert_allclose(credit, expected, rtol=1e-5)
    recipe = compute(**columns, exponent="recipe").advantages[b]
    expected = [(2 * whole[0] + 3 * alike[0]) / 5, (2 * whole[1] + 3 * alike[1]) / 5, whole[2]]
    np.testing.assert_allclose(recipe, expected, rtol=1e-5)
    # Level 0 is GRPO's, counted by steps.
    equal = compute(**columns, base=True, alpha=0.0).advantages[b]
    episode = z([1, 1, 0, 0, 1])[b]
    expected = [
        (episode[0] + whole[0] + alike[0]) / 3,
        (episode[1] + whole[1] + alike[1]) / 3,
        (episode[2] + whole[2]) / 2,
    ]
    np.testing.assert_allclose(equal, expected, rtol=1e-5)


def test_proxmo_by_hand(compute: Compute) -> None:
    columns = one_group("red !", "red x", "blue x", estimator="proxmo")
    result = compute(**columns)
    # Of three texts two say red and one blue, which have no word in common: cosines 1 and 0.
    near, far = math.exp(10), 1.0
    red = (near * (10 + 0) + far * 0) / (2 * near + far)
    blue = (near * 0 + far * 10) / (near + 2 * far)
    np.testing.assert_allclose(result.step_advantages, [10 - red, -red, -blue], rtol=1e-5)
    np.testing.assert_allclose(result.scores, [10 - red, -red, -blue], rtol=1e-12)
    assert result.num_peers.tolist() == [0, 0, 0]

    def logistic(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    b, p = 0.05 / (logistic(1) - 0.5), 1 / 3
    won, lost = (1 + b * (logistic(x) - 0.5) for x in ((1 - p) ** 4, -(p**4)))
    expected = [won * 2 / 3, -lost / 3, -lost / 3]
    np.testing.assert_allclose(result.episode_advantages, expected, rtol=1e-6)


# --- identities -----------------------------------------------------------------------------------

POTENTIALS = [ReachValue(0.9, 1.0), BellmanMean(0.9), Log(BellmanMean(0.9), 0.01)]


@given(
    columns=rollouts(),
    potential=st.sampled_from(POTENTIALS),
    normaliser=st.sampled_from([Mean(), MeanStd(epsilon=1e-3)]),
    gamma=st.sampled_from([0.5, 1.0]),
)
def test_1_among_peers_of_one_state_the_difference_is_the_target(
    compute: Compute, columns: Columns, potential: Potential, normaliser: Any, gamma: float
) -> None:
    target, difference = (
        compute(**columns, estimator=Only(term=Term(score, SameState(), normaliser)))
        for score in (Target(potential, gamma), Difference(potential, gamma))
    )
    np.testing.assert_allclose(target.advantages, difference.advantages, atol=1e-5)


@given(
    columns=rollouts(),
    gamma=st.sampled_from([0.1, 0.5, 0.98]),
    failed_end=st.sampled_from(["leaf", "state"]),
)
def test_2_at_the_bellman_mean_differences_from_a_state_have_mean_zero(
    compute: Compute, columns: Columns, gamma: float, failed_end: Any
) -> None:
    gain = Difference(BellmanMean(gamma, failed_end), gamma)
    result = compute(**columns, estimator=Only(term=Term(gain, normaliser=Raw())))
    for state in np.unique(result.state_ids):
        assert abs(result.scores[result.state_ids == state].mean()) < 1e-9


def test_2_the_trace_along_a_trajectory_does_not_collapse(compute: Compute) -> None:
    gain = Difference(LEAF, 0.5)
    plain, traced = (
        compute(**ROLLOUTS, estimator=Only(term=Term(score, normaliser=Raw()))).scores
        for score in (gain, Trace(gain, 0.9))
    )
    assert traced[2] == plain[2]
    assert abs(traced[0] - plain[0]) > 0.05


@given(columns=rollouts(Shape(has_unit_costs=True)), gamma=st.sampled_from([0.5, 0.9]))
def test_3_rewardflow_is_graphgpo_where_all_targets_reach_the_goal(
    compute: Compute, columns: Columns, gamma: float
) -> None:
    flow = compute(**columns, estimator="rewardflow", gamma=gamma)
    recipe = {"exponent": "recipe", "epsilon_scale": "absolute", "normalization": "mean"}
    graph = compute(**columns, **recipe, omega=gamma)
    next_value = Only(term=Term(Target(ReachValue(gamma, 1.0)), normaliser=Raw()))
    reaches = compute(**columns, estimator=next_value).scores > 0
    for state in np.unique(flow.state_ids):
        peers = flow.state_ids == state
        if reaches[peers].all():
            np.testing.assert_allclose(
                flow.step_advantages[peers], graph.step_advantages[peers], rtol=1e-5, atol=1e-6
            )


@given(columns=rollouts())
def test_4_leaving_one_out_stretches_the_mean(compute: Compute, columns: Columns) -> None:
    mean = compute(**columns, estimator="dr_grpo")
    others = compute(**columns, estimator="rloo")
    n = np.maximum(mean.num_peers, 2)
    np.testing.assert_allclose(others.advantages, mean.advantages * n / (n - 1), rtol=1e-6)


@given(columns=rollouts())
def test_4_opo_is_the_step_weighted_mean(compute: Compute, columns: Columns) -> None:
    by_steps = compute(**columns, estimator="dr_grpo", episode_weighting="step")
    opo = compute(**columns, estimator="opo")
    np.testing.assert_array_equal(opo.advantages, by_steps.advantages)


@given(columns=rollouts(), gamma=st.sampled_from([0.3, 0.6]))
def test_5_iterating_the_mean_return_ends_at_the_bellman_mean(
    compute: Compute, columns: Columns, gamma: float
) -> None:
    columns = {**columns, "rewards": None}
    assume(None not in columns["success"])
    result = compute(**columns)
    start = values(compute, MeanReturn(gamma, 1.0), columns)
    sources, targets = result.state_ids, result.next_state_ids
    ends = last_rows(columns)
    wins = {row for row in ends if result.next_distances[row] == 0}
    value = dict(zip(sources.tolist(), start.tolist(), strict=True))
    for _ in range(80):
        leaving: dict[int, list[float]] = defaultdict(list)
        for row in range(num_rows(columns)):
            after = float(row in wins) if row in ends else value.get(int(targets[row]), 0.0)
            leaving[int(sources[row])].append(gamma * after)
        value = {node: float(np.mean(found)) for node, found in leaving.items()}
    bellman = values(compute, BellmanMean(gamma), columns)
    np.testing.assert_allclose([value[int(node)] for node in sources], bellman, atol=2e-9)


def last_rows(columns: Columns) -> set[int]:
    last: dict[Any, int] = {}
    for row in range(num_rows(columns)):
        last[columns["group_ids"][row], columns["trajectory_ids"][row]] = row
    return set(last.values())


@given(columns=rollouts(Shape(has_unit_costs=True)), failed_end=st.sampled_from(["leaf", "state"]))
def test_5_the_bellman_mean_is_at_most_the_reach_value(
    compute: Compute, columns: Columns, failed_end: Any
) -> None:
    bellman = values(compute, BellmanMean(0.8, failed_end), columns)
    reach = values(compute, ReachValue(0.8, 1.0), columns)
    assert (bellman <= reach + 1e-9).all()
    assert (bellman >= 0).all()


def test_5_where_only_best_edges_were_taken_both_are_equal(compute: Compute) -> None:
    columns = one_group("a b c !", "b c !", "d c !", "c !")
    bellman = values(compute, BellmanMean(0.8), columns)
    np.testing.assert_allclose(bellman, values(compute, ReachValue(0.8, 1.0), columns), rtol=1e-9)


@pytest.mark.parametrize("name", estimators.names())
def test_every_estimator_says_where_it_is_from_and_what_it_computes(name: str) -> None:
    cls = estimators.load(name)
    assert cls.name == name
    assert cls.mark in ("C", "P", "R")
    assert "A = " in (cls.__doc__ or "")
    assert cls.source == "" or cls.source.startswith("arXiv ")
