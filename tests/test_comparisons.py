"""How scores are compared: normalisers, units, levels, averages and peers, by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from batches import Columns, Only, num_rows, one_group, rollouts
from conftest import Compute
from graphgpo.blocks import (
    Batch,
    FlooredStd,
    Given,
    LastStates,
    LeaveOneOut,
    Mean,
    MeanStd,
    Outcome,
    PeerKeys,
    Raw,
    SameState,
    SameTransition,
    Standing,
    Task,
    Term,
    Turn,
)

NAN = math.nan
# Five steps from one state; what they score is given.
STAR = one_group("s a", "s b", "s c", "s d", "s !")
SCORES = [4.0, 1.0, 1.0, 0.0, 4.0]


def standing(compute: Compute, scores: Any = SCORES, columns: Columns = STAR, **how: Any) -> Any:
    """How given scores stand among the steps from a state, and that as a list."""
    term = Term(Given(scores), **{"peers": SameState(), "normaliser": Mean(), **how})
    return compute(**columns, estimator=Only(term=term)).advantages.tolist()


# --- normalisers ----------------------------------------------------------------------------------

MEAN, DEVIATIONS = 2.0, np.array([2.0, -1.0, -1.0, -2.0, 2.0])  # squares: 14


@pytest.mark.parametrize(
    ("normaliser", "expected"),
    [
        (Raw(), SCORES),
        (Mean(), DEVIATIONS),
        (Mean(scale="relative"), DEVIATIONS / 4),
        (MeanStd(epsilon=0.5), DEVIATIONS / (math.sqrt(14 / 4) + 0.5)),
        (MeanStd(ddof=0, epsilon=0.5), DEVIATIONS / (math.sqrt(14 / 5) + 0.5)),
        (MeanStd(epsilon=0.5, inside=True), DEVIATIONS / math.sqrt(14 / 4 + 0.5)),
        (MeanStd(epsilon=0.5, scale="relative"), DEVIATIONS / (math.sqrt(14 / 4) + 2.0)),
        (MeanStd(epsilon=0.5, off_below=1.8), DEVIATIONS / (math.sqrt(14 / 4) + 0.5)),
        (MeanStd(epsilon=0.5, off_below=1.9), np.zeros(5)),
        (LeaveOneOut(), DEVIATIONS * 5 / 4),
        (FlooredStd(0.1), DEVIATIONS / math.sqrt(14 / 5)),
        (FlooredStd(0.1, ddof=1), DEVIATIONS / math.sqrt(14 / 4)),
        (FlooredStd(3.0), DEVIATIONS / 3.0),
    ],
    ids=str,
)
def test_a_normaliser_by_hand(compute: Compute, normaliser: Any, expected: Any) -> None:
    np.testing.assert_allclose(standing(compute, normaliser=normaliser), expected, rtol=1e-6)


NORMALISERS = [
    Mean(),
    Mean(scale="relative"),
    MeanStd(),
    MeanStd(ddof=0, inside=True),
    LeaveOneOut(),
    FlooredStd(1e-3),
]


@pytest.mark.parametrize("normaliser", NORMALISERS, ids=str)
def test_equal_scores_and_lone_steps_stand_at_exactly_zero(
    compute: Compute, normaliser: Any
) -> None:
    assert standing(compute, [0.1] * 5, normaliser=normaliser) == [0] * 5
    alone = standing(compute, [0.1, NAN, NAN, NAN, NAN], normaliser=normaliser)
    assert alone == [0] * 5
    assert standing(compute, [0.0] * 5, normaliser=normaliser) == [0] * 5


@pytest.mark.parametrize("normaliser", NORMALISERS, ids=str)
def test_an_unknown_score_stands_at_zero_and_moves_nobody(
    compute: Compute, normaliser: Any
) -> None:
    fewer = one_group("s a", "s b", "s d", "s !")
    expected = standing(compute, [4, 1, 0, 4], fewer, normaliser=normaliser)
    found = standing(compute, [4, 1, NAN, 0, 4], normaliser=normaliser)
    assert found == [*expected[:2], 0, *expected[2:]]


def test_raw_scores_that_are_unknown_count_as_zero(compute: Compute) -> None:
    assert standing(compute, [4, NAN, 1, 0, 4], normaliser=Raw()) == [4, 0, 1, 0, 4]


# --- penalties, units, levels, averages -----------------------------------------------------------


def test_a_penalty_is_taken_before_the_comparison(compute: Compute) -> None:
    columns = {**STAR, "action_valid": [False, True, True, True, True]}
    found = standing(compute, columns=columns, penalty=1.0)
    np.testing.assert_allclose(found, np.array([3, 1, 1, 0, 4]) - 9 / 5, rtol=1e-6)
    scaled = standing(compute, columns=columns, penalty=1.0, normaliser=Mean(scale="relative"))
    np.testing.assert_allclose(scaled, np.array([0, 1 / 4, 1 / 4, 0, 1]) - 0.3, rtol=1e-6)
    assert standing(compute, columns=STAR, penalty=1.0) == standing(compute)


def test_at_relative_scale_a_group_without_success_is_spared_the_penalty(compute: Compute) -> None:
    lost = {**one_group("s a", "s b"), "action_valid": [False, True]}
    how = {"penalty": 0.5, "normaliser": Mean(scale="relative")}
    assert standing(compute, [1.0, 1.0], lost, **how) == [0, 0]
    assert standing(compute, [1.0, 1.0], lost, penalty=0.5) == [-0.25, 0.25]


def test_of_each_trajectory_its_first_step_with_the_key_counts(compute: Compute) -> None:
    # s is left twice by the first trajectory; only 3 of it is counted.
    columns = one_group("s s a", "s b")
    found = standing(compute, [3.0, 9.0, 1.0], columns, unit="trajectories")
    assert found == [1, 7, -1]
    result = compute(
        **columns,
        estimator=Only(term=Term(Given([3.0, 9.0, 1.0]), normaliser=Mean(), unit="trajectories")),
    )
    assert result.num_peers.tolist() == [2, 2, 2]


def test_levels_that_say_nothing_are_left_out_of_the_mean(compute: Compute) -> None:
    columns = {**STAR, "peer_keys": [0, 0, 1, 1, 2]}
    how: dict[str, Any] = {"peers": (Task(), PeerKeys()), "peer_weights": (1.0, 3.0)}
    found = standing(compute, [4, 1, 1, 1, 3], columns, **how)
    # The task's mean is 2. Of the keys the first compares 4 and 1, the second equals, the third
    # has one step.
    assert found == [(2 + 3 * 1.5) / 4, (-1 - 3 * 1.5) / 4, -1, -1, 1]
    how["base"] = Term(Outcome(), Task(), Mean())
    how["peer_weights"] = (1.0, 1.0, 3.0)
    found = standing(compute, [4, 1, 1, 1, 3], columns, **how)
    np.testing.assert_allclose(found[2:], [(-0.2 - 1) / 2, (-0.2 - 1) / 2, (0.8 + 1) / 2])


def test_weights_that_sum_to_zero_are_no_weights(compute: Compute) -> None:
    how: dict[str, Any] = {"peers": (Task(), SameState()), "peer_weights": (0.0, 0.0)}
    assert standing(compute, **how) == [0] * 5


def test_the_first_level_is_the_one_that_is_reported(compute: Compute) -> None:
    columns = {**STAR, "peer_keys": [0, 0, 1, 1, 1]}
    base = Term(Outcome(), Task(), Mean())
    term = Term(
        Given(SCORES), (PeerKeys(), Task()), Mean(), base=base, peer_weights=(1.0, 1.0, 1.0)
    )
    result = compute(**columns, estimator=Only(term=term))
    assert result.scores.tolist() == SCORES
    assert result.num_peers.tolist() == [2, 2, 3, 3, 3]


def test_an_average_replaces_what_came_out(compute: Compute) -> None:
    columns = {**STAR, "peer_keys": [0, 0, 1, 1, 1]}
    found = standing(compute, columns=columns, average=PeerKeys())
    np.testing.assert_allclose(found, [0.5, 0.5, -1 / 3, -1 / 3, -1 / 3], rtol=1e-6)


def test_a_standing_may_be_a_score(compute: Compute) -> None:
    inner = Standing(Given(SCORES), Task(), Mean())
    result = compute(**STAR, estimator=Only(term=Term(inner, Batch(), FlooredStd(0.1))))
    np.testing.assert_allclose(result.scores, DEVIATIONS)
    np.testing.assert_allclose(result.advantages, DEVIATIONS / math.sqrt(14 / 5), rtol=1e-6)


# --- peers ----------------------------------------------------------------------------------------

WALKS: Columns = {**one_group("a b c", "a b d", "b b c", "a c b"), "actions": list("xyxzyyxx")}


@pytest.mark.parametrize(
    ("peers", "sizes"),
    [
        (SameState(), [3, 4, 3, 4, 4, 4, 3, 1]),
        (LastStates(1), [3, 4, 3, 4, 4, 4, 3, 1]),
        (LastStates(2), [0, 2, 0, 2, 0, 1, 0, 1]),  # b after a, b after a, b after b, c after a
        (LastStates(3), [0] * 8),
        (Task(), [8] * 8),
        (Turn(), [4] * 8),
        (Batch(), [8] * 8),
        (SameTransition(), [2, 2, 2, 1, 1, 2, 1, 1]),  # a x b twice, b y c twice
        (SameTransition(1), [2, 1, 2, 1, 1, 1, 1, 1]),
    ],
    ids=str,
)
def test_peers_by_hand(compute: Compute, peers: Any, sizes: list[int]) -> None:
    term = Term(Given(np.arange(8.0)), peers, Mean())
    assert compute(**WALKS, estimator=Only(term=term)).num_peers.tolist() == sizes


def test_only_the_batch_reaches_across_groups(compute: Compute) -> None:
    columns = {**WALKS, "group_ids": [0] * 4 + [1] * 4, "peer_keys": [0] * 8}
    for peers, size in ((Task(), 4), (PeerKeys(), 4), (Batch(), 8)):
        term = Term(Given(np.arange(8.0)), peers, Mean())
        result = compute(**columns, estimator=Only(term=term))
        assert result.num_peers.tolist() == [size] * 8


@given(columns=rollouts())
def test_keys_of_the_user_can_say_what_other_peers_say(compute: Compute, columns: Columns) -> None:
    scores = np.arange(num_rows(columns)) % 4
    for keys, peers in (
        (columns["states"], SameState()),
        ([0] * num_rows(columns), Task()),
    ):
        own, same = (
            standing(compute, scores, {**columns, "peer_keys": keys}, peers=chosen)
            for chosen in (PeerKeys(), peers)
        )
        assert own == same
