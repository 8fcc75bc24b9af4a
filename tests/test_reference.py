"""The fast path against the method in plain Python, and both on the degenerate cases by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphgpo
from batches import (
    Columns,
    Shape,
    batches,
    blocks_of,
    chosen_estimator,
    one_group,
    options_of,
    random_walks,
    take,
    with_padding,
    without,
)
from conftest import Compute
from graphgpo import estimators, reference
from graphgpo.blocks import BellmanMean
from graphgpo.columns import COLUMNS

NAMES = estimators.names()
OPTIONAL = [name for name, column in COLUMNS.items() if not column.is_required and name != "mask"]


def assert_agree(columns: Columns, chosen: dict[str, Any]) -> None:
    fast = graphgpo.compute_advantages(**columns, **chosen)
    plain = reference.compute_advantages(**columns, **chosen)
    for name in ("state_ids", "next_state_ids", "distances", "next_distances", "num_peers"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(plain, name), err_msg=name)
        assert getattr(fast, name).dtype == getattr(plain, name).dtype
    blocks = blocks_of(chosen_estimator(chosen).terms())
    is_iterated = any(isinstance(block, BellmanMean) for block in blocks)
    rtol, atol = (2e-9, 2e-9) if is_iterated else (1e-12, 1e-15)
    np.testing.assert_allclose(fast.scores, plain.scores, rtol=rtol, atol=atol)
    for name in ("advantages", "step_advantages", "episode_advantages"):
        values, expected = getattr(fast, name), getattr(plain, name)
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=2e-6, err_msg=name)
    assert list(fast.metrics) == list(plain.metrics)
    # A score that is the mean of its peers differs from it by 0 or an ulp, as sums are rounded.
    zeros = "graphgpo/zero_advantage_share"
    has_steps = not all(term.is_episodic for term in chosen_estimator(chosen).terms())
    part = "step_advantages" if has_steps else "episode_advantages"
    differ = (getattr(fast, part) == 0) != (getattr(plain, part) == 0)
    most = differ.sum() / max(fast.metrics["graphgpo/num_steps"], 1)
    assert fast.metrics[zeros] == pytest.approx(plain.metrics[zeros], rel=0, abs=most + 1e-12)
    # A mean that is near 0 is as exact as what it is of: float32 on both sides, an ulp apart.
    mean = "graphgpo/adv_mean"
    ulp = float(np.spacing(np.abs(plain.advantages).max(initial=0)))
    assert fast.metrics[mean] == pytest.approx(plain.metrics[mean], rel=1e-5, abs=2e-6 + ulp)
    expected_metrics = {**plain.metrics, **{n: fast.metrics[n] for n in (zeros, mean)}}
    assert fast.metrics == pytest.approx(expected_metrics, rel=1e-5, abs=2e-6)


# --- fast and plain -------------------------------------------------------------------------------


@settings(max_examples=2 * settings.default.max_examples)  # type: ignore[union-attr]
@given(data=st.data(), batch=batches())
def test_fast_and_plain_agree_under_every_option(
    data: st.DataObject, batch: tuple[Columns, Columns]
) -> None:
    columns, chosen = batch
    rows = len(columns["states"])
    padded, _ = with_padding(columns, data.draw(st.lists(st.integers(0, rows - 1), max_size=3)))
    order = data.draw(st.permutations(range(len(padded["states"]))))
    assert_agree(take(padded, order), chosen)


@given(batch=batches())
def test_fast_and_plain_agree_without_step_ids(batch: tuple[Columns, Columns]) -> None:
    columns, chosen = batch
    assert_agree({**columns, "step_ids": None}, chosen)


@given(batch=batches(Shape(has_verdicts=True)), dropped=st.sets(st.sampled_from(OPTIONAL)))
def test_fast_and_plain_agree_without_what_the_estimator_does_not_need(
    batch: tuple[Columns, Columns], dropped: set[str]
) -> None:
    columns, chosen = batch
    assert_agree(without(columns, sorted(dropped), chosen), chosen)


def combinations(name: str) -> list[Columns]:
    """Every choice of every option that has choices, and an example of those without a default."""
    hints = get_type_hints(estimators.load(name))
    choices: dict[str, Any] = {
        option: get_args(hint) for option, hint in hints.items() if get_origin(hint) is Literal
    }
    choices |= {option: (False, True) for option, hint in hints.items() if hint is bool}
    choices.pop("mark", None)
    if name not in ("spread", "hgpo"):  # where spread credit is on, and where it is not
        choices.pop("spread_actions", None)
        choices.pop("spread_scale", None)
    required = {"ecpo": {"tau": 2.0, "step_weight": 0.5}, "gagpo": {"gamma": 0.9, "lam": 0.8}}
    return [
        {"estimator": name, **required.get(name, {}), **dict(zip(choices, values, strict=True))}
        for values in itertools.product(*choices.values())
    ]


@pytest.mark.parametrize("has_unit_costs", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_fast_and_plain_agree_under_every_combination_of_choices(
    name: str, has_unit_costs: bool
) -> None:
    columns = random_walks(5, has_unit_costs=has_unit_costs)
    for chosen in combinations(name):
        has_penalty = hasattr(estimators.load(name), "invalid_action_penalty")
        assert_agree(
            columns, {**chosen, **({"invalid_action_penalty": 0.1} if has_penalty else {})}
        )
        assert_agree({**columns, "next_states": None}, chosen)


def test_fast_and_plain_agree_on_a_batch_that_merges_a_lot() -> None:
    for has_unit_costs in (True, False):
        columns = random_walks(6, num_groups=40, has_unit_costs=has_unit_costs)
        assert_agree(columns, {"estimator": "graphgpo"})
        assert_agree({**columns, "next_states": None}, {"estimator": "graphgpo", "omega": 0.8})


@pytest.mark.parametrize("name", NAMES)
def test_an_estimator_names_the_columns_it_misses(compute: Compute, name: str) -> None:
    columns = random_walks(7)
    chosen = combinations(name)[0]
    for any_of in chosen_estimator(chosen).needs:
        missing = {**columns, **dict.fromkeys(any_of)}
        # A column that several needs name is missed by the one with the fewest alternatives.
        with pytest.raises(ValueError, match=f"{any_of[-1]}.* None; estimator '{name}' needs"):
            compute(**missing, **chosen)


@settings(max_examples=settings.default.max_examples // 4)  # type: ignore[union-attr]
@given(data=st.data())
@pytest.mark.parametrize("name", NAMES)
def test_an_estimator_takes_a_batch_with_nothing_but_its_needs(
    compute: Compute, name: str, data: st.DataObject
) -> None:
    chosen = data.draw(options_of(name))
    result = compute(**without(random_walks(8), OPTIONAL, chosen), **chosen)
    assert np.isfinite(result.advantages).all()


TWO_ROLLOUTS: Columns = {
    "states": ["a", "b", "a"],
    "next_states": ["b", "won", "c"],
    "group_ids": [0, 0, 0],
    "trajectory_ids": [0, 0, 1],
    "success": [False, True, False],
    "step_ids": [0, 1, 0],
}
NAN = math.nan
DEFAULT = {"estimator": "graphgpo"}

#                what is spoiled, and what the error names
REFUSED: list[tuple[Columns, str]] = [
    ({"group_ids": [0, 0]}, "group_ids has 2"),
    ({"mask": [True]}, "mask has 1"),
    ({"states": "abc"}, "states is a str"),
    ({"rewards": 1.0}, "rewards is a float"),
    ({"group_ids": None}, "group_ids is a NoneType"),
    ({"rewards": np.zeros((3, 1))}, "rewards has shape (3, 1)"),
    ({"states": np.array([["a"], ["b"], ["c"]])}, "states has shape (3, 1)"),
    ({"states": ["a", None, "a"]}, "states[1]"),
    ({"states": ["a", {1, 2}, "a"]}, "states[1]"),
    ({"states": ["a", NAN, "a"]}, "states[1]"),
    ({"states": ["a", [{"x": NAN}], "a"]}, "states[1]"),
    ({"states": np.array([[1.0], [NAN], [2.0]]), "next_states": None}, "states[1]"),
    ({"states": ["a", "b", np.datetime64(1, "ns")]}, "states[2]"),
    ({"states": ["a", "b", np.longdouble(1)]}, "states[2]"),
    ({"states": [1, 2, 1]}, "states"),
    ({"states": np.zeros((3, 2)), "next_states": np.zeros((3, 2), np.float32)}, "states"),
    ({"states": np.zeros((3, 2)), "next_states": ["b", "c", "d"]}, "states"),
    ({"states": np.zeros(3), "next_states": np.zeros(3, int)}, "states"),
    ({"next_states": [None, "won", "c"]}, "next_states[0]"),
    ({"group_ids": [0, 1.0, 0]}, "group_ids[1]"),
    ({"group_ids": [0, True, 0]}, "group_ids[1]"),
    ({"group_ids": [0, None, 0]}, "group_ids[1]"),
    ({"group_ids": [0, "0", 0]}, "group_ids[1]"),
    ({"trajectory_ids": [(0, 1), (0, 1.5), (0, 1)]}, "trajectory_ids[1]"),
    ({"trajectory_ids": np.zeros(3)}, "trajectory_ids"),
    ({"step_ids": [0, 1.0, 0]}, "step_ids[1]"),
    ({"step_ids": [0, 2**63, 0]}, "step_ids[1]"),
    ({"step_ids": [0, 2, 0], "next_states": None}, "step_ids[1]"),
    ({"step_ids": [0, 0, 0], "success": [True, True, False]}, "states[1]"),
    ({"success": [True, False, False]}, "success[0]"),
    ({"success": [0, 2, 0]}, "success[1]"),
    ({"success": [0, None, 0]}, "success[0] is False but row 1 of its trajectory has None"),
    ({"success": [None, True, False]}, "success[0] is None but row 1 of its trajectory has True"),
    ({"success": None}, "success is None; estimator 'graphgpo' needs it"),
    ({"action_valid": [0, 1, "yes"]}, "action_valid[2]"),
    ({"mask": [1, NAN, 1]}, "mask[1]"),
    ({"rewards": [0, NAN, 0]}, "rewards[1]"),
    ({"rewards": [0, "1", 0]}, "rewards[1]"),
    ({"rewards": [0, 10**400, 0]}, "rewards[1]"),
    ({"episode_returns": [1, 1, math.inf]}, "episode_returns[2]"),
    ({"episode_returns": [1, 2, 1]}, "episode_returns[1]"),
    ({"episode_returns": [1, 1, None]}, "episode_returns[2]"),
    ({"edge_costs": [1, 0, 1]}, "edge_costs[1]"),
    ({"edge_costs": [1, 1, -0.5]}, "edge_costs[2]"),
    ({"omega": 1.0}, "omega"),
    ({"omgea": 0.5}, "omgea"),
    ({"gamma": 0.9}, "gamma"),
    ({"reward": [0, 1, 0]}, "did you mean 'rewards'"),
    ({"estimator": "gipo"}, "estimator is 'gipo'; did you mean 'gigpo'"),
    ({"estimator": "ecpo", "tau": 1.0}, "step_weight"),
    ({"estimator": "rtmc"}, "actions is None; estimator 'rtmc' needs it"),
    ({"estimator": "rtmc", "actions": ["a", None, "b"]}, "actions[1] is null"),
    ({"estimator": "tree_grpo", "peer_keys": [0, 0, None]}, "peer_keys[2] is null"),
    ({"estimator": "rtmc", "actions": ["a", {1}, "b"]}, "actions[1]"),
    ({"estimator": "proxmo", "states": [0, 1, 0], "next_states": [1, 2, 3]}, "states[0] is a int"),
]


@pytest.mark.parametrize(("spoiled", "place"), REFUSED, ids=[place for _, place in REFUSED])
def test_fast_and_plain_refuse_the_same(spoiled: Columns, place: str) -> None:
    assert_agree(TWO_ROLLOUTS, DEFAULT)
    errors = []
    for refuse in (graphgpo.compute_advantages, reference.compute_advantages):
        with pytest.raises((TypeError, ValueError)) as caught:
            refuse(**{**TWO_ROLLOUTS, **spoiled})
        assert place in str(caught.value)
        errors.append(caught.type)
    assert errors[0] is errors[1]


@pytest.mark.parametrize("column", [c for c in TWO_ROLLOUTS if c not in ("states", "next_states")])
@pytest.mark.parametrize("garbage", [None, NAN, "?", (1, 2)], ids=repr)
def test_neither_looks_at_a_masked_row(column: str, garbage: Any) -> None:
    columns = {name: [*values, values[0]] for name, values in TWO_ROLLOUTS.items()}
    columns[column][-1] = garbage
    assert_agree({**columns, "mask": [True, True, True, False]}, DEFAULT)


# --- degenerate cases -----------------------------------------------------------------------------


def test_a_single_step_that_wins_has_nothing_to_be_compared_with(compute: Compute) -> None:
    result = compute(**one_group("a !"))
    assert (result.distances.tolist(), result.next_distances.tolist()) == ([1], [0])
    assert result.advantages.tolist() == [0]


def test_without_a_success_everything_is_one_dearest_edge_away(compute: Compute) -> None:
    result = compute(**one_group("a b", "a c", costs=[2.0, 5.0]))
    assert result.distances.tolist() == result.next_distances.tolist() == [5, 5]
    assert result.advantages.tolist() == [0, 0]


def test_a_step_that_stays_where_it_is_costs_its_cost(compute: Compute) -> None:
    result = compute(**one_group("a a !", omega=0.5, success_reward=1))
    assert (result.distances.tolist(), result.next_distances.tolist()) == ([1, 1], [1, 0])
    assert result.scores.tolist() == [1 / 4, 1 / 2]
    assert result.step_advantages[0] == -result.step_advantages[1] < -0.7


def test_of_parallel_edges_the_cheapest_counts(compute: Compute) -> None:
    result = compute(**one_group("a b !", "a b", costs=[5.0, 1.0, 2.0], omega=0.5))
    assert result.distances.tolist() == [3, 1, 3]
    assert result.state_ids.tolist() == [0, 1, 0]
    # The dearer edge to the same node is worth less.
    assert result.scores[0] == result.scores[2] / 2**3


def test_edges_of_equal_return_are_worth_exactly_nothing(compute: Compute) -> None:
    result = compute(**one_group("a b !", "a c !", "a b !", epsilon_scale="absolute", omega=0.8))
    assert not result.step_advantages.any()


def test_no_state_is_the_goal_whatever_it_is_called(compute: Compute) -> None:
    result = compute(**one_group("a !", "a GOAL", "a success", "GOAL a"))
    assert result.next_state_ids.tolist() == [1, 2, 3, 0]
    assert result.next_distances.tolist() == [0, 2, 3, 1]


def test_a_winning_step_leads_to_the_goal_whatever_its_next_state_says(compute: Compute) -> None:
    columns = one_group("a b c", "b !")
    columns["next_states"][-1] = "a"
    result = compute(**columns)
    assert result.next_state_ids.tolist() == [1, 2, 3]
    assert result.next_distances.tolist() == [1, 3, 0]


def test_a_failure_that_ends_on_the_way_to_the_goal_has_its_distance(compute: Compute) -> None:
    result = compute(**one_group("a b !", "c b", "c d"))
    assert result.next_distances.tolist() == [1, 0, 1, 3]
    assert result.step_advantages[2] == -result.step_advantages[3] > 0.7


def test_unknown_last_states_are_leaves_of_their_own(compute: Compute) -> None:
    columns = one_group("a ?", "a ?", "a !")
    columns["next_states"] = [None, None, None]
    result = compute(**columns)
    assert result.next_state_ids.tolist() == [1, 2, 3]
    assert result.next_distances.tolist() == [2, 2, 0]
    assert result.metrics["graphgpo/num_states"] == 4


def test_repeated_rows_without_step_ids_are_steps_of_their_own(compute: Compute) -> None:
    columns = one_group("a b !")
    columns = take(columns, [0, 0, 1])
    assert compute(**columns).metrics["graphgpo/num_steps"] == 3
    copied = compute(**columns, step_ids=[4, 4, 5])
    assert copied.metrics["graphgpo/num_steps"] == 2
    assert copied.metrics["graphgpo/duplicate_rows"] == 1


def test_groups_with_equal_states_and_trajectory_ids_share_nothing(compute: Compute) -> None:
    columns = one_group("a !", "a b")
    result = compute(**{**columns, "group_ids": ["x", "y"], "trajectory_ids": [0, 0]})
    assert result.state_ids.tolist() == [0, 2]
    assert result.distances.tolist() == [1, 1]
    assert result.advantages.tolist() == [0, 0]


@pytest.mark.parametrize("empty", [[], np.zeros(0), np.zeros(0, "U3"), np.zeros((0, 4))])
def test_an_empty_batch_is_a_result_of_length_zero(compute: Compute, empty: Any) -> None:
    columns = dict.fromkeys(("states", "next_states"), empty) | {
        name: np.zeros(0) for name in ("group_ids", "trajectory_ids", "success", "step_ids")
    }
    result = compute(**columns)
    assert len(result) == 0
    assert set(result.metrics.values()) == {0.0}


def test_a_batch_that_is_all_padding_is_legal() -> None:
    columns: Columns = {
        "states": [None, None],
        "group_ids": [None, None],
        "trajectory_ids": [None, None],
        "success": [None, None],
        "mask": [False, False],
    }
    assert_agree(columns, DEFAULT)
    result = graphgpo.compute_advantages(**columns)
    assert result.metrics["graphgpo/masked_rows"] == 2
    assert np.isnan(result.distances).all()


# --- rollouts without a verdict -------------------------------------------------------------------


def test_a_rollout_without_a_verdict_gets_step_credit_and_no_episode_credit(
    compute: Compute,
) -> None:
    result = compute(**one_group("a b !", "a c ~", "a c"))
    assert result.step_advantages[0] > 0 > result.step_advantages[2] == result.step_advantages[4]
    assert result.episode_advantages[2:4].tolist() == [0, 0]
    # Its outcome enters no mean: 1 and 0 are compared.
    np.testing.assert_allclose(result.episode_advantages[[0, 4]], [0.7071, -0.7071], atol=1e-4)
    assert result.metrics["graphgpo/rollouts_without_verdict"] == 1
    assert result.metrics["graphgpo/success_rate"] == 0.5


@pytest.mark.parametrize("unknown", [None, NAN, 7.0])
def test_the_return_of_a_rollout_without_a_verdict_is_not_looked_at(
    compute: Compute, unknown: float | None
) -> None:
    columns = one_group("a b !", "a c ~", "a c", estimator="grpo")
    returns = [1, 1, unknown, unknown, 0]
    result = compute(**columns, episode_returns=returns)
    np.testing.assert_array_equal(result.scores, [1, 1, NAN, NAN, 0])
    assert result.advantages[2:4].tolist() == [0, 0]
    assert result.num_peers.tolist() == [2, 2, 2, 2, 2]
    assert result.metrics["graphgpo/mean_return"] == 0.5


def test_without_rewards_the_return_to_go_of_a_rollout_without_a_verdict_is_unknown(
    compute: Compute,
) -> None:
    columns = one_group("a b !", "a c ~", "a c", estimator="gigpo", gamma=0.5)
    result = compute(**columns)
    np.testing.assert_array_equal(result.scores, [5, 10, NAN, NAN, 0])
    assert result.step_advantages[2] == 0
    observed = compute(**columns, rewards=[0, 10, 0, 4, 0])
    np.testing.assert_array_equal(observed.scores, [5, 10, 2, 4, 0])
    assert observed.step_advantages[2] < 0


def test_an_unknown_outcome_stays_unknown_when_it_is_compared_twice(compute: Compute) -> None:
    columns = one_group("a b !", "a c ~", "a c", estimator="reinforce_pp_baseline")
    result = compute(**columns)
    np.testing.assert_allclose(result.scores, [0.5, 0.5, NAN, NAN, -0.5])
    assert result.num_peers.tolist() == [3] * 5
    assert result.advantages[2:4].tolist() == [0, 0]
    # Of 1/2, 1/2 and -1/2 the mean is 1/6 and the variance 1/3.
    np.testing.assert_allclose(result.advantages[[0, 4]], np.array([1 / 3, -2 / 3]) * 3**0.5)


# --- metrics --------------------------------------------------------------------------------------


def test_metrics_tell_solved_groups_from_mixed_and_failed_ones(compute: Compute) -> None:
    columns = one_group("a !", "b !", "a b !", "a b", "a c", "a c")
    groups = {"group_ids": [0, 0, 1, 1, 1, 2, 2]}
    metrics = compute(**{**columns, **groups}).metrics
    named = ("groups_solved", "groups_mixed", "groups_without_success", "equal_outcome_groups")
    assert [metrics[f"graphgpo/{name}"] for name in named] == [1, 1, 1, 2]
    assert metrics["graphgpo/success_rate"] == metrics["graphgpo/mean_return"] == 0.5
    assert metrics["graphgpo/distinct_starts"] == pytest.approx(4 / 3)
    sizes = [metrics[f"graphgpo/group_size_{name}"] for name in ("min", "mean", "max")]
    assert sizes == [2, 2, 2]


def test_metrics_tell_of_an_environment_that_resets_itself(compute: Compute) -> None:
    # The failure ends where rollouts of its task begin; where a success ends is the goal.
    columns = one_group("a b a", "a b !", "a b ~")
    columns["next_states"][3] = "a"
    assert compute(**columns).metrics["graphgpo/ends_at_a_start"] == 1
    derived = {**columns, "next_states": None}
    assert compute(**derived).metrics["graphgpo/ends_at_a_start"] == 0


def test_metrics_tell_of_masked_rows_inside_a_trajectory(compute: Compute) -> None:
    columns = one_group("a b c d !", "a b !")
    columns = {**columns, "next_states": None, "mask": [1, 0, 0, 1, 1, 0]}
    assert compute(**columns).metrics["graphgpo/masked_inside"] == 2
    by_step = {**columns, "next_states": ["b", "c", "d", "!", "b", "!"]}
    assert compute(**by_step).metrics["graphgpo/masked_inside"] == 0


def test_credit_below_a_millionth_is_inert(compute: Compute) -> None:
    columns = one_group("a !", "a b", estimator="dr_grpo")
    assert compute(**columns, episode_returns=[3e-6, 0]).metrics["graphgpo/inert"] == 0
    assert compute(**columns, episode_returns=[1e-6, 0]).metrics["graphgpo/inert"] == 1
