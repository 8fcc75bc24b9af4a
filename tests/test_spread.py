"""Spread credit: its equation by hand, its laws, and what the study computed for real rollouts."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches import Columns, Only, joined, num_rows, one_group, rollouts
from conftest import Compute
from examples_of import an_estimator
from goldens import NAMES, Golden
from graphgpo import estimators
from graphgpo.blocks import Live, Mean, NobodyWon, Raw, Surprisal, Term
from graphgpo.estimators import Estimator
from graphgpo.estimators._spread import StepEstimator

SPREAD = Only(term=Term(Surprisal(), normaliser=Mean(), modifiers=(NobodyWon(),)))
WITH_ACTIONS = Only(term=Term(Surprisal(actions=True), normaliser=Mean(), modifiers=(NobodyWon(),)))
STEP_ESTIMATORS = [n for n in estimators.names() if issubclass(estimators.load(n), StepEstimator)]
OTHERS = [name for name in estimators.names() if name not in STEP_ESTIMATORS]

# From s thrice to a, once each to b and c; from a, as often to s as to b.
LOST = one_group("s a s", "s a b", "s a", "s b", "s c")


# --- by hand --------------------------------------------------------------------------------------


def test_a_surprisal_is_the_logarithm_of_a_share_and_lone_targets_share_one(
    compute: Compute,
) -> None:
    found = compute(**LOST, estimator=Only(term=Term(Surprisal(), normaliser=Raw()))).scores
    to_a, alone = math.log(5 / 3), math.log(5 / 2)
    np.testing.assert_allclose(found, [to_a, 0, to_a, 0, to_a, alone, alone], rtol=1e-15)


def test_spread_is_the_surprisal_less_its_mean(compute: Compute) -> None:
    to_a, alone = math.log(5 / 3), math.log(5 / 2)
    mean = (3 * to_a + 2 * alone) / 5
    credit = [to_a - mean, 0, to_a - mean, 0, to_a - mean, alone - mean, alone - mean]
    result = compute(**LOST, estimator="spread")
    np.testing.assert_allclose(result.step_advantages, credit, rtol=1e-6)
    assert not result.episode_advantages.any()
    np.testing.assert_allclose(
        compute(**LOST, estimator="gigpo", spread_weight=2.0).advantages, 2 * np.array(credit), 1e-6
    )


def test_what_actions_do_not_cause_is_no_spread(compute: Compute) -> None:
    # `wait` leads to two clocks at random, `go` to the door.
    columns = one_group(*["s t1"] * 2, *["s t2"] * 2, *["s door"] * 4)
    columns["actions"] = ["wait"] * 4 + ["go"] * 4
    found = compute(**columns, estimator="spread").step_advantages
    assert found[0] > 0 > found[-1]
    assert not compute(**columns, estimator="spread", spread_actions=True).step_advantages.any()


def test_a_trajectorys_unknown_end_is_a_target_that_nobody_else_takes(compute: Compute) -> None:
    columns = one_group("s a", "s a", "s b", "s b", "s c")
    known = compute(**columns, estimator="spread").step_advantages
    columns["next_states"][-1] = None
    np.testing.assert_array_equal(compute(**columns, estimator="spread").step_advantages, known)


def test_the_weight_of_live_batches_counts_groups_with_a_success(compute: Compute) -> None:
    won = {**one_group("s !", "s a"), "group_ids": [1, 1]}
    lost_too = {**one_group("s a"), "group_ids": [2]}
    batch = joined(LOST, won, lost_too)
    plain, live = (
        compute(**batch, estimator="spread", spread_scale=scale).step_advantages
        for scale in ("plain", "live")
    )
    rows = num_rows(LOST)
    np.testing.assert_allclose(live[:rows], plain[:rows] * (1 + 1) / (3 + 1), rtol=1e-6)
    np.testing.assert_array_equal(live[rows:], plain[rows:])
    factor = Only(term=Term(Surprisal(), normaliser=Mean(), modifiers=(NobodyWon(), Live())))
    np.testing.assert_array_equal(
        compute(**batch, estimator=factor).step_advantages[:rows], live[:rows]
    )


def test_metrics_say_where_steps_of_lost_groups_go(compute: Compute) -> None:
    stay = {**one_group("s s", "s s", "s a", "s a"), "group_ids": [1] * 4}
    won = {**one_group("s !", "s s"), "group_ids": [2] * 2}
    batch = {**joined(LOST, stay, won), "actions": ["x", "x"] * 6 + ["y"]}
    batch["actions"][7:11] = ["x", "x", "x", "y"]
    metrics = compute(**batch, estimator="spread").metrics
    to_a, alone = math.log(5 / 3), math.log(5 / 2)
    entropy = (3 * to_a + 2 * alone + 4 * math.log(2)) / 11
    assert metrics["graphgpo/spread_share"] == pytest.approx(5 / 13)
    assert metrics["graphgpo/successor_entropy"] == pytest.approx(entropy)
    assert metrics["graphgpo/no_op_share"] == pytest.approx(2 / 11)
    noise = 3 * to_a + 2 * alone + 2 * math.log(3 / 2) + math.log(3)
    assert metrics["graphgpo/successor_noise"] == pytest.approx(noise / 11 / entropy)
    bare = compute(**{**batch, "actions": None}, estimator="spread").metrics
    assert bare["graphgpo/successor_noise"] == 0
    assert "graphgpo/spread_share" not in compute(**batch).metrics


def test_metrics_of_spread_are_zero_where_every_group_won(compute: Compute) -> None:
    metrics = compute(**one_group("s !", "s a"), estimator="spread").metrics
    names = ("spread_share", "successor_entropy", "successor_noise", "no_op_share")
    assert [metrics[f"graphgpo/{name}"] for name in names] == [0, 0, 0, 0]


# --- laws -----------------------------------------------------------------------------------------


def lost(columns: Columns) -> Columns:
    """The same rollouts, all failures."""
    return {**columns, "success": [False] * num_rows(columns), "episode_returns": None}


@given(columns=rollouts(), has_actions=st.booleans())
def test_spread_has_mean_zero_at_every_state(
    compute: Compute, columns: Columns, has_actions: bool
) -> None:
    result = compute(**lost(columns), estimator=WITH_ACTIONS if has_actions else SPREAD)
    by_state = defaultdict(list)
    for state, credit in zip(result.state_ids, result.step_advantages, strict=True):
        by_state[state].append(float(credit))
    for credits in by_state.values():
        assert abs(math.fsum(credits)) < 1e-6
        assert max(map(abs, credits)) <= math.log(max(len(credits), 1)) + 1e-6


@given(columns=rollouts())
def test_spread_is_exactly_zero_where_somebody_won(compute: Compute, columns: Columns) -> None:
    result = compute(**columns, estimator=SPREAD)
    winners = {
        group for group, won in zip(columns["group_ids"], columns["success"], strict=True) if won
    }
    in_won = [group in winners for group in columns["group_ids"]]
    assert not result.step_advantages[in_won].any()


@given(columns=rollouts())
def test_spread_is_zero_where_all_ways_are_taken_equally_often(
    compute: Compute, columns: Columns
) -> None:
    result = compute(**lost(columns), estimator=SPREAD)
    ways: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for u, v in zip(result.state_ids, result.next_state_ids, strict=True):
        ways[u][v] += 1
    for row, u in enumerate(result.state_ids):
        if len(set(ways[u].values())) == 1:
            assert result.step_advantages[row] == 0


@given(columns=rollouts())
def test_one_lone_target_is_as_good_as_another(compute: Compute, columns: Columns) -> None:
    columns = lost(columns)
    result = compute(**columns, estimator=SPREAD)
    edges = list(zip(result.state_ids.tolist(), result.next_state_ids.tolist(), strict=True))
    # With next states of its own, a step may lead anywhere, whatever its trajectory does next.
    targets = [("target", v) for _, v in edges]
    states = [("target", u) for u, _ in edges]
    replaced = [
        ("elsewhere", row) if edges.count(edge) == 1 else target
        for row, (edge, target) in enumerate(zip(edges, targets, strict=True))
    ]
    for next_states in (targets, replaced):
        again = compute(
            **{**columns, "states": states, "next_states": next_states}, estimator=SPREAD
        )
        np.testing.assert_array_equal(again.step_advantages, result.step_advantages)


@given(columns=rollouts())
def test_actions_change_nothing_where_each_has_one_outcome(
    compute: Compute, columns: Columns
) -> None:
    plain = compute(**lost(columns), estimator=SPREAD)
    columns = {**lost(columns), "actions": plain.next_state_ids.tolist()}
    caused = compute(**columns, estimator=WITH_ACTIONS)
    np.testing.assert_array_equal(caused.step_advantages, plain.step_advantages)
    assert caused.metrics["graphgpo/successor_noise"] == 0


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STEP_ESTIMATORS)
def test_an_estimator_with_a_step_term_takes_spread_credit(compute: Compute, name: str) -> None:
    bare = an_estimator(name).replaced(spread_weight=0.0)
    columns = {**LOST, "actions": ["x"] * 7, "rewards": [0.0] * 7}
    assert not compute(**columns, estimator=bare).step_advantages.any()
    result = compute(**columns, estimator=bare.replaced(spread_weight=1.0))
    expected = compute(**columns, estimator="spread").step_advantages
    np.testing.assert_allclose(result.step_advantages, expected, rtol=1e-6)
    assert compute(**columns, estimator=bare).metrics.keys() < result.metrics.keys()


def test_every_estimator_with_a_step_term_has_the_options() -> None:
    for name in OTHERS:
        if name == "reinforce_pp":  # its score is the outcome, discounted
            continue
        assert all(term.is_episodic for term in an_estimator(name).terms()), name
    for name in STEP_ESTIMATORS:
        assert not all(term.is_episodic for term in an_estimator(name).terms()), name


@pytest.mark.parametrize("name", OTHERS)
def test_an_estimator_without_a_step_term_says_why_it_has_none(name: str) -> None:
    for option in ("spread_weight", "spread_actions", "spread_scale"):
        with pytest.raises(TypeError) as caught:
            estimators.make(name, {option: 1.0})
        assert str(caught.value) == (
            f"unknown option '{option}' of estimator '{name}'; spread credit stands beside a step "
            "term; policies trained on outcomes alone do not collapse, and gain nothing from it"
        )


def test_actions_are_needed_only_where_they_are_looked_at(compute: Compute) -> None:
    compute(**LOST, spread_actions=True)
    with pytest.raises(ValueError, match=r"actions is None; estimator 'graphgpo' needs it"):
        compute(**LOST, spread_weight=1.0, spread_actions=True)
    actions = ["x", "x", "x", None, "x", "x", "x"]
    with pytest.raises(ValueError, match=re.escape("actions[3] is null; expected a value")):
        compute(**LOST, actions=actions, spread_weight=1.0, spread_actions=True)


def test_the_options_of_an_estimator_begin_with_its_own() -> None:
    class Mine(StepEstimator):
        gain: float = 1.0

        def terms(self) -> list[Term]:
            return self.spread_terms()

    assert [*Mine().options()] == ["gain", "spread_weight", "spread_actions", "spread_scale"]
    assert isinstance(Mine(spread_weight=1.0), Estimator)


# --- the study's own code -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_real_rollouts_have_the_credit_of_the_study(compute: Compute, name: str) -> None:
    golden = Golden(name)
    batch: dict[str, Any] = {**golden.batch, "action_valid": None}
    found = compute(**batch, estimator="spread").step_advantages
    np.testing.assert_allclose(found, golden.spread["S_pool"], rtol=1e-5, atol=1e-5)
    batch["actions"] = [len(action) % 3 for action in golden.columns["action"].tolist()]
    found = compute(**batch, estimator="spread", spread_actions=True).step_advantages
    np.testing.assert_allclose(found, golden.spread["S_pool__actions"], rtol=1e-5, atol=1e-5)
    everywhere = Only(term=Term(Surprisal(), normaliser=Mean()))
    found = compute(**batch, estimator=everywhere).step_advantages
    np.testing.assert_allclose(found, golden.spread["spread"], rtol=1e-5, atol=1e-6)
