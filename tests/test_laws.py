"""The laws of the method, on random batches, for the fast path and the plain one."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import graphgpo
from batches import (
    ARRAYS,
    TEXT_ONLY,
    Columns,
    Only,
    Shape,
    assert_same_bits,
    batches,
    chosen_estimator,
    is_batch_wide,
    joined,
    num_rows,
    options_of,
    rollouts,
    take,
    with_padding,
)
from conftest import Compute
from graphgpo import reference
from graphgpo.blocks import Raw, SameState, Term
from graphgpo.columns import COLUMNS

graphgpo_options = options_of("graphgpo")
RELATIVE = {"estimator": "graphgpo", "epsilon_scale": "relative"}


@given(batch=batches())
def test_a_batch_is_its_groups_apart(compute: Compute, batch: tuple[Columns, Columns]) -> None:
    columns, chosen = batch
    assume(not is_batch_wide(chosen))
    together = compute(**columns, **chosen)
    first_node = 0
    for group in dict.fromkeys(columns["group_ids"]):
        rows = [row for row, g in enumerate(columns["group_ids"]) if g == group]
        alone = compute(**take(columns, rows), **chosen)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(together, name)[rows], getattr(alone, name))
        np.testing.assert_array_equal(together.state_ids[rows], alone.state_ids + first_node)
        first_node += int(alone.metrics["graphgpo/num_states"])


@given(data=st.data(), batch=batches())
def test_permuting_rows_permutes_the_result_bit_for_bit(
    compute: Compute, data: st.DataObject, batch: tuple[Columns, Columns]
) -> None:
    columns, chosen = batch
    order = data.draw(st.permutations(range(num_rows(columns))))
    in_order = compute(**columns, **chosen)
    assert_same_bits(compute(**take(columns, order), **chosen), in_order, order)


@given(batch=batches())
def test_renaming_ids_and_states_changes_nothing(
    compute: Compute, batch: tuple[Columns, Columns]
) -> None:
    columns, chosen = batch
    assume(chosen["estimator"] not in TEXT_ONLY)  # their states are not only equal or not
    renamed = {
        **columns,
        "states": [("renamed", state) for state in columns["states"]],
        "group_ids": [hash_free_name(group) for group in columns["group_ids"]],
        "trajectory_ids": [f"rollout {t}".encode() for t in columns["trajectory_ids"]],
        "step_ids": [step + 1000 for step in columns["step_ids"]],
        "actions": [b"to " + action.encode() for action in columns["actions"]],
        "peer_keys": [(key, "tree") for key in columns["peer_keys"]],
    }
    if columns["next_states"] is not None:
        renamed["next_states"] = [
            None if state is None else ("renamed", state) for state in columns["next_states"]
        ]
    expected = compute(**columns, **chosen)
    result = compute(**renamed, **chosen)
    assert_same_bits(result, expected)
    np.testing.assert_array_equal(result.state_ids, expected.state_ids)
    assert result.metrics == expected.metrics


def hash_free_name(group: str) -> int:
    return -7 * int(group[1:])


@given(data=st.data(), batch=batches())
def test_copies_and_masked_rows_change_nothing(
    compute: Compute, data: st.DataObject, batch: tuple[Columns, Columns]
) -> None:
    columns, chosen = batch
    rows = num_rows(columns)
    copied = data.draw(st.lists(st.integers(0, rows - 1), max_size=5))
    padded, originals = with_padding(columns, copied)
    expected = compute(**columns, **chosen)
    result = compute(**padded, **chosen)
    for name in ARRAYS:
        np.testing.assert_array_equal(
            getattr(result, name)[:-1], getattr(expected, name)[originals[:-1]]
        )
    assert result.advantages[-1] == result.step_advantages[-1] == result.episode_advantages[-1] == 0
    assert np.isnan([result.scores[-1], result.distances[-1], result.next_distances[-1]]).all()
    assert result.state_ids[-1] == result.next_state_ids[-1] == -1
    counted = {"graphgpo/masked_rows": 1.0, "graphgpo/duplicate_rows": float(len(copied))}
    assert result.metrics == {**expected.metrics, **counted}


@given(columns=rollouts())
def test_no_edge_saves_more_than_its_cost(compute: Compute, columns: Columns) -> None:
    result = compute(**columns)
    costs = columns["edge_costs"] or [1.0] * num_rows(columns)
    assert (result.distances <= np.array(costs) + result.next_distances).all()
    assert (result.distances > 0).all()


@given(columns=rollouts())
def test_the_distance_is_zero_exactly_at_the_goal(compute: Compute, columns: Columns) -> None:
    result = compute(**columns)
    last: dict[tuple[str, int], tuple[int, int]] = defaultdict(lambda: (-100, -1))
    for row in range(num_rows(columns)):
        key = columns["group_ids"][row], columns["trajectory_ids"][row]
        last[key] = max(last[key], (columns["step_ids"][row], row))
    wins = {row for _, row in last.values() if columns["success"][row]}
    assert {int(row) for row in np.flatnonzero(result.next_distances == 0)} == wins


@given(data=st.data(), batch=batches())
def test_every_normalised_set_has_mean_zero(
    compute: Compute, data: st.DataObject, batch: tuple[Columns, Columns]
) -> None:
    columns, chosen = batch
    term = data.draw(st.sampled_from(chosen_estimator(chosen).terms()))
    assume(not isinstance(term.normaliser, Raw))
    peers = data.draw(st.sampled_from(term.levels))
    alone = Term(term.score, peers, term.normaliser, term.unit, term.penalty)
    result = compute(**columns, estimator=Only(term=alone))
    rows = range(num_rows(columns))
    plain = reference.rollouts.read_rollouts({**dict.fromkeys(COLUMNS), **columns})
    reference.graph.merge_states(plain)
    keys: dict[Any, list[float]] = defaultdict(list)
    counted: set[Any] = set()
    for step, key in sorted(
        zip(plain.steps, reference.peers.peer_keys(peers, plain), strict=True),
        key=lambda pair: pair[0].turn,
    ):
        is_repeated = term.unit == "trajectories" and (key, step.trajectory) in counted
        counted.add((key, step.trajectory))
        if key is not None and not is_repeated and not np.isnan(result.scores[step.row]):
            keys[key].append(float(result.advantages[step.row]))
    assert len(rows) == len(plain.steps)
    for values in keys.values():
        # A mean's rounding is divided by a std that may be as small as the values' own ulp.
        assert abs(np.mean(values)) < 1e-5 * max(1.0, float(np.abs(values).max()))


@given(batch=batches())
def test_equal_scores_from_a_state_have_exactly_no_credit(
    compute: Compute, batch: tuple[Columns, Columns]
) -> None:
    columns, chosen = batch
    term = chosen_estimator(chosen).terms()[0]
    assume(term.levels == (SameState(),) and not isinstance(term.normaliser, Raw))
    result = compute(**{**columns, "action_valid": None}, estimator=Only(term=term))
    for state in np.unique(result.state_ids):
        peers = result.state_ids == state
        if len(set(result.scores[peers])) == 1:
            assert not result.advantages[peers].any()


@given(columns=rollouts(), reward=st.sampled_from([1e-300, 1e-3, 3.0, 1e6, 1e300]))
def test_relative_scale_ignores_the_success_reward(
    compute: Compute, columns: Columns, reward: float
) -> None:
    expected = compute(**columns, **RELATIVE)
    result = compute(**columns, **RELATIVE, success_reward=reward)
    np.testing.assert_array_equal(result.step_advantages, expected.step_advantages)


@given(
    columns=rollouts(Shape(has_next_states=True, has_broken_links=False, has_verdicts=True)),
    length=st.sampled_from([1, 2, 7, 400]),
    omega=st.sampled_from([0.1, 0.5, 0.9]),
)
def test_relative_scale_ignores_how_far_the_goal_is(
    compute: Compute, columns: Columns, length: int, omega: float
) -> None:
    # A chain of `length` unit steps between every step that won and GOAL. No edge is cheaper than
    # those: the chain must not raise c_max, by which the unreachable are farther than the rest.
    chosen = {**RELATIVE, "omega": omega, "invalid_action_penalty": 0.1}
    if columns["edge_costs"] is not None:
        columns = {**columns, "edge_costs": [10 * cost for cost in columns["edge_costs"]]}
    farther: list[Columns] = []
    moved: list[int] = []  # where the rows of the batch end up
    rows = [{n: v and v[row] for n, v in columns.items()} for row in range(num_rows(columns))]
    last = {(row["group_ids"], row["trajectory_ids"]): i for i, row in enumerate(rows)}
    for i, row in enumerate(rows):
        moved.append(len(farther))
        farther.append(row)
        if last[row["group_ids"], row["trajectory_ids"]] != i or not row["success"]:
            continue
        farther[-1] = {**row, "next_states": ("chain", 0)}
        for link in range(length):
            farther.append(
                {
                    **row,
                    "states": ("chain", link),
                    "next_states": ("chain", link + 1),
                    "step_ids": row["step_ids"] + 1 + link,
                    "edge_costs": columns["edge_costs"] and 1.0,
                }
            )
    columns_farther = {
        name: None if values is None else [row[name] for row in farther]
        for name, values in columns.items()
    }
    # Flags in the middle would say that a rollout won before the chain.
    ends = {(row["group_ids"], row["trajectory_ids"]): i for i, row in enumerate(farther)}
    won = {key for key, i in ends.items() if farther[i]["success"]}
    columns_farther["success"] = [
        ends[row["group_ids"], row["trajectory_ids"]] == i
        and (row["group_ids"], row["trajectory_ids"]) in won
        for i, row in enumerate(farther)
    ]
    near = compute(**columns, **chosen)
    far = compute(**columns_farther, **chosen)
    if columns["edge_costs"] is None:
        np.testing.assert_array_equal(far.step_advantages[moved], near.step_advantages)
    else:
        np.testing.assert_allclose(far.step_advantages[moved], near.step_advantages, atol=1e-6)


@given(columns=rollouts(Shape(has_next_states=True)))
def test_an_unreachable_branch_elsewhere_changes_no_reachable_distance(
    compute: Compute, columns: Columns
) -> None:
    group = columns["group_ids"][0]
    branch = {
        "states": [("nowhere", i) for i in range(3)],
        "next_states": [("nowhere", i + 1) for i in range(3)],
        "group_ids": [group] * 3,
        "trajectory_ids": [99] * 3,
        "success": [False] * 3,
        "step_ids": [0, 1, 2],
        "rewards": [0.0] * 3,
        "episode_returns": [0.0] * 3,
        "edge_costs": [1.0] * 3,
        "action_valid": [True] * 3,
        "actions": ["go"] * 3,
        "peer_keys": [0] * 3,
    }
    branch = {name: columns[name] and branch[name] for name in columns}
    graph = graphgpo.build_graph(**columns)
    expected = compute(**columns)
    result = compute(**joined(columns, branch))
    rows = num_rows(columns)
    for name in ("distances", "next_distances"):
        before, after = getattr(expected, name), getattr(result, name)[:rows]
        nodes = {"distances": expected.state_ids, "next_distances": expected.next_state_ids}[name]
        is_reached = graph.node_reached[nodes]
        np.testing.assert_array_equal(after[is_reached], before[is_reached])


@given(columns=rollouts())
def test_the_unreachable_stand_one_dearest_edge_beyond_the_farthest(
    compute: Compute, columns: Columns
) -> None:
    result = compute(**columns)
    reached = graphgpo.build_graph(**columns).node_reached
    costs = columns["edge_costs"] or [1.0] * num_rows(columns)
    nodes = np.concatenate([result.state_ids, result.next_state_ids])
    distances = np.concatenate([result.distances, result.next_distances])
    groups = np.array(columns["group_ids"] * 2)
    for group in set(columns["group_ids"]):
        is_reached = reached[nodes[groups == group]]
        in_group = distances[groups == group]
        dearest = max(c for c, g in zip(costs, columns["group_ids"], strict=True) if g == group)
        farthest = max(in_group[is_reached], default=0.0)
        assert set(in_group[~is_reached]) <= {farthest + dearest}


@given(batch=batches(), num_threads=st.sampled_from([1, 2, 3, 8]))
def test_any_number_of_threads_gives_the_same_bits(
    batch: tuple[Columns, Columns], num_threads: int
) -> None:
    columns, chosen = batch
    expected = graphgpo.compute_advantages(**columns, **chosen)
    result = graphgpo.compute_advantages(**columns, **chosen, num_threads=num_threads)
    assert_same_bits(result, expected)
    assert result.metrics == expected.metrics


@given(columns=rollouts(Shape(has_next_states=True, all_succeed=True, has_broken_links=False)))
def test_derived_next_states_are_the_given_ones_where_all_succeed(
    compute: Compute, columns: Columns
) -> None:
    given_ones = compute(**columns)
    derived = compute(**{**columns, "next_states": None})
    assert_same_bits(derived, given_ones)
    np.testing.assert_array_equal(derived.next_state_ids, given_ones.next_state_ids)


@given(columns=rollouts(), chosen=graphgpo_options, cost=st.sampled_from([0.1, 1.0, 3.0]))
def test_proposition_4_1_nearer_the_goal_is_never_worse(
    compute: Compute, columns: Columns, chosen: dict[str, Any], cost: float
) -> None:
    columns = {**columns, "edge_costs": [cost] * num_rows(columns)}
    chosen = {**chosen, "invalid_action_penalty": 0.0, "spread_weight": 0.0}
    result = compute(**columns, **chosen)
    for state in np.unique(result.state_ids):
        peers = result.state_ids == state
        order = np.argsort(result.next_distances[peers], kind="stable")
        credit = result.step_advantages[peers][order]
        assert (np.diff(credit) <= 0).all()


@given(columns=rollouts(), chosen=graphgpo_options)
def test_proposition_4_2_credit_is_a_function_of_the_edge_alone(
    compute: Compute, columns: Columns, chosen: dict[str, Any]
) -> None:
    chosen = {**chosen, "invalid_action_penalty": 0.0}
    result = compute(**columns, **chosen)
    credit: dict[tuple[int, int, float], set[float]] = defaultdict(set)
    costs = columns["edge_costs"] or [1.0] * num_rows(columns)
    for row, cost in enumerate(costs):
        edge = int(result.state_ids[row]), int(result.next_state_ids[row]), cost
        credit[edge].add(float(result.step_advantages[row]))
    assert all(len(values) == 1 for values in credit.values())


@given(columns=rollouts())
def test_the_exponent_changes_returns_but_no_credit(compute: Compute, columns: Columns) -> None:
    paper, recipe, progress = (
        compute(**columns, **RELATIVE, exponent=exponent)
        for exponent in ("paper", "recipe", "progress")
    )
    np.testing.assert_array_equal(recipe.advantages, paper.advantages)
    np.testing.assert_array_equal(progress.advantages, paper.advantages)
    np.testing.assert_allclose(recipe.scores, paper.scores / 0.1, rtol=1e-12)


@given(batch=batches())
def test_the_joint_advantage_is_the_weighted_sum(
    compute: Compute, batch: tuple[Columns, Columns]
) -> None:
    columns, chosen = batch
    result = compute(**columns, **chosen)
    estimator = chosen_estimator(chosen)
    expected = (
        estimator.step_weight * result.step_advantages.astype(float)
        + estimator.episode_weight * result.episode_advantages
    )
    np.testing.assert_allclose(result.advantages, expected, rtol=1e-6, atol=1e-6)


@given(columns=rollouts(Shape(has_verdicts=True)))
def test_a_group_without_success_teaches_nothing(compute: Compute, columns: Columns) -> None:
    columns = {**columns, "success": [False] * num_rows(columns)}
    for scale in ("relative", "absolute"):
        result = compute(**columns, epsilon_scale=scale)
        assert not result.step_advantages.any()
    assert result.metrics["graphgpo/inert"] == 1.0


def test_under_absolute_scale_the_penalty_gives_credit_without_a_success(compute: Compute) -> None:
    columns: Columns = {
        "states": ["a", "a"],
        "next_states": ["b", "b"],
        "group_ids": [0, 0],
        "trajectory_ids": [0, 1],
        "success": [False, False],
        "action_valid": [True, False],
        "invalid_action_penalty": 0.1,
    }
    assert not compute(**columns).step_advantages.any()
    worse = compute(**columns, epsilon_scale="absolute").step_advantages
    assert worse[0] == -worse[1] > 0.7


@given(columns=rollouts())
def test_an_unreached_edge_is_never_better_than_a_reaching_one(
    compute: Compute, columns: Columns
) -> None:
    assume(columns["edge_costs"] is not None)
    result = compute(**columns)
    graph = graphgpo.build_graph(**columns)
    reached = graph.node_reached[result.next_state_ids]
    for state in np.unique(result.state_ids):
        peers = result.state_ids == state
        good = result.scores[peers & reached]
        bad = result.scores[peers & ~reached]
        if len(good) and len(bad):
            assert bad.max() <= good.min()


# A reader may wonder what "scale-free" buys: the same choice near the goal and far from it.
@pytest.mark.parametrize("distance", [1, 8, 10, 300])
def test_credit_does_not_fade_with_distance_unless_epsilon_is_absolute(
    compute: Compute, distance: int
) -> None:
    path = [f"s{i}" for i in range(distance)]
    columns = {
        "states": [*path, path[0]],
        "next_states": [*path[1:], "won", "dead end"],
        "group_ids": [0] * (distance + 1),
        "trajectory_ids": [0] * distance + [1],
        "success": [True] * distance + [False],
    }
    relative = compute(**columns).step_advantages[0]
    absolute = compute(**columns, epsilon_scale="absolute").step_advantages[0]
    assert relative == pytest.approx(0.7071, abs=1e-4)
    assert (absolute > 0.69) == (distance == 1)
