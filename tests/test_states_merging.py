"""What counts as one state, as options of rollouts: the fast path, the reference and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphgpo
import worlds
from batches import Columns, rollouts
from conftest import Compute
from graphgpo import reference
from graphgpo.states import Normaliser

WALK: Columns = {
    "states": ["10:03:17 hall", "10:03:19 bath", "11:00:00 hall", "11:00:09 hall"],
    "next_states": ["10:03:19 bath", None, "11:00:09 hall", "11:00:12 bath"],
    "actions": ["go", "dive", "look", "go"],
    "group_ids": [0] * 4,
    "trajectory_ids": [0, 0, 1, 1],
    "success": [True, True, False, False],
}


def nodes(compute: Compute, columns: Columns, **options: Any) -> list[int]:
    return list(compute(**columns, **options).state_ids.tolist())


def metric(compute: Compute, columns: Columns, name: str, **options: Any) -> float:
    return compute(**columns, **options).metrics[f"graphgpo/{name}"]


@pytest.mark.parametrize(
    "normalise", [True, {"timestamps": True}, Normaliser(), {"ignore": [r"\d\d:\d\d:\d\d"]}]
)
def test_noise_is_taken_out_of_states_and_next_states(compute: Compute, normalise: Any) -> None:
    assert nodes(compute, WALK) == [0, 1, 3, 4]
    assert nodes(compute, WALK, normalise=normalise) == [0, 1, 0, 0]
    result = compute(**WALK, normalise=normalise)
    assert result.next_state_ids.tolist() == [1, 2, 0, 1]
    assert result.metrics["graphgpo/broken_links"] == 0


def test_nothing_is_taken_out_where_it_is_off(compute: Compute) -> None:
    for off in (None, False):
        assert nodes(compute, WALK, normalise=off) == nodes(compute, WALK)


def test_near_duplicates_count_as_one_in_graph_and_peers(compute: Compute) -> None:
    columns = {**WALK, "states": ["A mug is here.", "A mug is there.", "Nothing.", "Nothing!"]}
    columns["next_states"] = ["A mug is there.", None, "Nothing!", "A mug is where."]
    result = compute(**columns, similar=0.85)
    assert result.state_ids.tolist() == [0, 0, 2, 2]
    assert result.next_state_ids.tolist() == [0, 1, 2, 0]
    assert result.num_peers.tolist() == [2, 2, 2, 2]
    assert result.metrics["graphgpo/similar_merged"] == 3
    assert result.metrics["graphgpo/similar_largest"] == 3
    assert metric(compute, columns, "similar_merged") == 0


def test_near_duplicates_of_two_groups_stay_apart(compute: Compute) -> None:
    columns = {**WALK, "group_ids": [0, 0, 1, 1]}
    ids = nodes(compute, columns, similar=0.5)
    assert set(ids[:2]).isdisjoint(ids[2:])


def test_noise_goes_before_near_duplicates_are_looked_for(compute: Compute) -> None:
    assert nodes(compute, WALK, similar=0.95) == nodes(compute, WALK)
    both = compute(**WALK, normalise=True, similar=0.95)
    assert both.metrics["graphgpo/similar_merged"] == 0
    assert both.metrics["graphgpo/similar_largest"] == 1


def test_a_node_is_the_last_states_of_its_rollout(compute: Compute) -> None:
    columns = {**WALK, "states": ["a", "b", "a", "a"], "next_states": ["b", None, "a", "b"]}
    result = compute(**columns, node_history=2)
    # (a), (a, b), (a), (a, a), and its last step leads to (a, b).
    assert result.state_ids.tolist() == [0, 1, 0, 3]
    assert result.next_state_ids.tolist() == [1, 2, 3, 1]
    assert compute(**columns, node_history=1).state_ids.tolist() == [0, 1, 0, 0]


def test_a_broken_link_leads_to_a_history_of_its_own(compute: Compute) -> None:
    columns = {**WALK, "states": ["a", "b", "a", "b"], "next_states": ["x", None, "b", "c"]}
    result = compute(**columns, node_history=2)
    assert result.metrics["graphgpo/broken_links"] == 1
    assert len({*result.next_state_ids.tolist()}) == 4


def test_history_follows_step_ids_and_skips_masked_rows(compute: Compute) -> None:
    columns = {
        "states": ["c", "a", "?", "b", "b"],
        "group_ids": [0] * 5,
        "trajectory_ids": [0] * 5,
        "step_ids": [2, 0, 7, 1, 1],  # the last row is a copy
        "success": [True] * 5,
        "mask": [True, True, False, True, True],
    }
    result = compute(**columns, node_history=2)
    assert result.state_ids[2] == -1
    assert result.state_ids[3] == result.state_ids[4]
    assert result.next_state_ids[1] == result.state_ids[3]
    assert result.next_state_ids[3] == result.state_ids[0]


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "normalise": st.sampled_from([True, {"numbers": True}, {"ignore": [r"room \d"]}]),
        "node_history": st.integers(1, 3),
    },
)


@settings(max_examples=20)
@given(columns=rollouts(), options=OPTIONS)
def test_the_fast_path_merges_as_the_reference_does(
    columns: Columns, options: dict[str, Any]
) -> None:
    fast = graphgpo.compute_advantages(**columns, **options)
    plain = reference.compute_advantages(**columns, **options)
    np.testing.assert_array_equal(fast.num_peers, plain.num_peers)
    np.testing.assert_allclose(fast.advantages, plain.advantages, atol=1e-6)
    assert fast.metrics == pytest.approx(plain.metrics, abs=1e-6)


def test_the_worlds_merge_as_in_the_reference() -> None:
    shop = worlds.ticket_shop("counter")
    rows = [row for row, rollout in enumerate(shop.trajectory_ids) if rollout < 3]
    columns: Columns = {
        name: [column[row] for row in rows] for name, column in shop.columns.items()
    }
    columns["success"] = ["Paid" in state for state in columns["next_states"]]
    chosen: list[dict[str, Any]] = [
        {"normalise": {"ignore": [r"step \d+"]}, "node_history": 2},
        {"similar": 0.97},
        {"normalise": {"numbers": True}},
    ]
    for options in chosen:
        fast = graphgpo.compute_advantages(**columns, **options)
        plain = reference.compute_advantages(**columns, **options)
        assert [*fast.metrics] == [*plain.metrics]
        assert fast.metrics == pytest.approx(plain.metrics, abs=1e-6), options


def test_what_is_merged_wrongly_is_counted(compute: Compute) -> None:
    # Train 1 goes to Basel and train 2 to Bern: without numbers they are one state.
    columns: Columns = {
        "states": ["train 1", "train 2", "train 1", "train 2"],
        "next_states": ["Basel", "Bern", "Basel", "Bern"],
        "actions": ["board"] * 4,
        "group_ids": [0] * 4,
        "trajectory_ids": [0, 1, 2, 3],
        "success": [False] * 4,
    }
    assert metric(compute, columns, "ambiguous_actions") == 0
    assert metric(compute, columns, "merge_conflicts") == 0
    coarse = {"normalise": {"numbers": True}}
    assert metric(compute, columns, "ambiguous_actions", **coarse) == 1
    assert metric(compute, columns, "merge_conflicts", **coarse) == 1
    assert metric(compute, {**columns, "actions": None}, "merge_conflicts", **coarse) == 0


def test_chance_is_ambiguous_and_no_conflict(compute: Compute) -> None:
    columns: Columns = {
        "states": ["dice"] * 4,
        "next_states": ["one", "two", "one", None],
        "actions": ["roll", "roll", None, "roll"],
        "group_ids": [0] * 4,
        "trajectory_ids": [0, 1, 2, 3],
        "success": [False] * 4,
    }
    # Neither the step without an action nor the one of unknown end makes a pair.
    assert metric(compute, columns, "ambiguous_actions") == 1
    assert metric(compute, columns, "merge_conflicts", normalise=True) == 0
    sure = {**columns, "next_states": ["one", "one", "two", None]}
    assert metric(compute, sure, "ambiguous_actions") == 0


def test_positions_and_lone_states_by_hand(compute: Compute) -> None:
    columns: Columns = {
        "states": ["a", "b", "a", "b", "c", "d"],
        "group_ids": [0] * 6,
        "trajectory_ids": [0, 0, 1, 1, 1, 1],
        "success": [True] * 6,
    }
    assert metric(compute, columns, "revisited_positions") == 0
    assert metric(compute, columns, "lone_state_share") == 2 / 4
    walked = {**columns, "states": ["a", "b", "a", "b", "a", "a"]}
    assert metric(compute, walked, "revisited_positions") == 1 / 2  # a, and b only second
    assert metric(compute, walked, "lone_state_share") == 0


def test_positions_go_by_step_ids(compute: Compute) -> None:
    columns: Columns = {
        "states": ["a", "c", "b", "d", "a", "b", "c", "d"],
        "group_ids": [0] * 8,
        "trajectory_ids": [0] * 4 + [1] * 4,
        "step_ids": [0, 2, 1, 3, 0, 1, 2, 3],
        "success": [True] * 8,
    }
    assert metric(compute, columns, "revisited_positions") == 0
    del columns["step_ids"]
    assert metric(compute, columns, "revisited_positions") == 1 / 2


def test_a_graph_of_merged_states_shows_them_as_they_came() -> None:
    read = graphgpo.Rollouts(**WALK, normalise=True)
    graph = read.graph()
    assert graph.node_states[0] == "10:03:17 hall"
    assert len(graph.node_states) == 3
    assert read.columns["states"] == WALK["states"]
    assert read.merged_columns["states"][0] == "<time> hall"
    assert read.explain(2).state == "11:00:00 hall"


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"similar": 1.5}, ValueError, r"similar is 1\.5; expected a number in \(0, 1\]"),
        ({"similar": True}, ValueError, "similar is True; expected a number"),
        ({"node_history": 0}, ValueError, "node_history is 0; expected an int >= 1"),
        ({"node_history": 1.5}, ValueError, r"node_history is 1\.5; expected an int >= 1"),
        ({"normalise": "clock"}, TypeError, "normalise is a str; expected a graphgpo.states"),
        ({"normalize": True}, TypeError, "did you mean 'normalise'"),
    ],
)
def test_options_are_checked(
    compute: Compute, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        compute(**WALK, **options)


def test_near_duplicates_are_texts(compute: Compute) -> None:
    columns = {**WALK, "states": [0, 1, 2, 3], "next_states": [1, None, 3, 4]}
    with pytest.raises(TypeError, match=r"states\[0\] is a int; expected a str"):
        compute(**columns, similar=0.9)
