"""Every block by itself: its equation on a few steps, its edge cases, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches import Columns, Only, batches, chosen_estimator, num_rows, rollouts
from conftest import Compute
from graphgpo import reference
from graphgpo.blocks import (
    ActionEvidence,
    ActionMean,
    Batch,
    BellmanMean,
    Block,
    Difference,
    EdgeReturn,
    FailureRate,
    FlooredStd,
    Given,
    LastStates,
    LeaveOneOut,
    Log,
    Mean,
    MeanReturn,
    MeanStd,
    NewStates,
    NobodyWon,
    Outcome,
    PeerKeys,
    Polarised,
    Raw,
    ReachValue,
    ReturnToGo,
    SameState,
    SameTransition,
    Seen,
    Standing,
    Target,
    Task,
    Term,
    Trace,
    Turn,
)
from test_reference import one_group

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


# --- scores and potentials ------------------------------------------------------------------------


def scored(compute: Compute, score: Any, columns: Columns) -> list[float]:
    alone = Only(term=Term(score, normaliser=Raw()))
    return [float(found) for found in compute(**columns, estimator=alone).scores]


def test_scores_by_hand(compute: Compute) -> None:
    # s a s c, and t s c !, with rewards 1 2 4 and 0 1 0.
    columns = one_group("s a s c", "t s c !", rewards=[1, 2, 4, 0, 1, 0])
    value = Given([1.0, 2.0, 4.0, 8.0, 16.0])  # s a c t GOAL
    node = {"s": 1.0, "a": 2.0, "c": 4.0, "t": 8.0, "!": 16.0}
    before, after = ([node[state] for state in states] for states in ("sastsc", "asCSC!".lower()))
    gains = [0.5 * v - u for u, v in zip(before, after, strict=True)]
    rewards = columns["rewards"]
    assert scored(compute, Target(value, 0.5), columns) == [0.5 * v for v in after]
    assert scored(compute, Difference(value, 0.5), columns) == gains
    paid = [r + gain for r, gain in zip(rewards, gains, strict=True)]
    assert scored(compute, Difference(value, 0.5, rewards=True), columns) == paid
    traced = scored(compute, Trace(Difference(value, 0.5), 0.5), columns)
    assert traced[2::3] == gains[2::3]
    assert traced[1] == gains[1] + 0.25 * gains[2]
    assert scored(compute, ReturnToGo(0.5, 1.0), columns) == [3, 4, 4, 0.5, 1, 0]
    assert scored(compute, Outcome(), columns) == [7, 7, 7, 1, 1, 1]
    # s was there from the start: a and c are new; s, c and GOAL are.
    assert scored(compute, NewStates(), columns) == [2 / 3] * 3 + [1.0] * 3


def test_a_mean_return_ends_as_it_is_told(compute: Compute) -> None:
    columns = one_group("s !", "s c", "s ~", episode_returns=[3, 1, None])
    columns["action_valid"] = [False, True, True]
    for of, end, expected in (
        ("rewards", "zero", [0, 0, 0]),
        ("rewards", "outcome", [2.5, 1, NAN]),
        ("outcome", "success", [7, 0, NAN]),
    ):
        value = MeanReturn(0.5, 7.0, of=of, end=end, penalty=0.5)  # type: ignore[arg-type]
        np.testing.assert_array_equal(scored(compute, Target(value), columns), expected)
    # From s: 7 less the penalty, 0, and one that is unknown; 3/2 less the penalty, 1/2.
    for of, mean in (("rewards", 6.5 / 2), ("outcome", 1.5 / 2)):
        value = MeanReturn(0.5, 7.0, of=of, penalty=0.5)  # type: ignore[arg-type]
        assert scored(compute, Difference(value, 0.0), columns) == [-mean] * 3


def test_a_reach_value_is_zero_where_nothing_reaches_the_goal(compute: Compute) -> None:
    columns = one_group("s a !", "s b c", costs=[1.0, 0.5, 1.0, 1.0])
    found = scored(compute, Target(ReachValue(0.5, 8.0)), columns)
    np.testing.assert_allclose(found, [8 * 0.5**0.5, 8, 0, 0])


def test_a_logarithm_has_a_floor(compute: Compute) -> None:
    value = Given([NAN, -1.0, math.e, 0.0])  # s a b GOAL
    found = scored(compute, Target(Log(value, 0.5)), one_group("s a", "s b", "s !"))
    np.testing.assert_allclose(found, [math.log(0.5), 1, math.log(0.5)])


def test_an_action_is_worth_the_mean_of_its_steps_drawn_to_that_of_its_state(
    compute: Compute,
) -> None:
    columns = {**STAR, "actions": list("xxyyz")}
    scores = [4.0, 1.0, NAN, 0.0, 4.0]
    assert scored(compute, ActionMean(Given(scores)), columns) == [2.5, 2.5, 0, 0, 4]
    m, drawn = 9 / 4, scored(compute, ActionMean(Given(scores), kappa=2.0), columns)
    np.testing.assert_allclose(
        drawn, [(5 + 2 * m) / 4] * 2 + [(0 + 2 * m) / 3] * 2 + [(4 + 2 * m) / 3]
    )
    unknown = [NAN, NAN, 1.0, 0.0, 4.0]
    assert np.isnan(scored(compute, ActionMean(Given(unknown), 2.0), columns)[:2]).all()


def test_actions_of_equal_scores_are_worth_exactly_the_same(compute: Compute) -> None:
    # Summed and divided, three times 0.1 is not 0.1.
    columns = {**STAR, "actions": list("xxxyy")}
    for kappa in (0.0, 2.0):
        term = Term(ActionMean(Given([0.1] * 5), kappa), normaliser=Mean())
        assert not compute(**columns, estimator=Only(term=term)).advantages.any()


def test_an_edge_return_teaches_nothing_in_a_group_nobody_won(compute: Compute) -> None:
    columns = one_group("s a", "s b c", costs=[1.0, 2.0, 1.0])
    term = Term(EdgeReturn(0.5, 1.0), normaliser=Mean())
    result = compute(**columns, estimator=Only(term=term))
    assert result.scores[0] != result.scores[1]
    assert not result.advantages.any()


@pytest.mark.parametrize("exponent", ["paper", "recipe", "progress"])
def test_an_edge_return_has_one_of_three_exponents(compute: Compute, exponent: Any) -> None:
    columns = one_group("s a !", "s s", costs=[2.0, 1.0, 4.0])
    e = {"paper": [3, 1, 7], "recipe": [2, 0, 6], "progress": [0, 0, 4]}[exponent]
    found = scored(compute, EdgeReturn(0.5, 8.0, exponent), columns)
    assert found == [8 * 0.5**x for x in e]


# --- modifiers ------------------------------------------------------------------------------------


def factor(compute: Compute, modifier: Any, columns: Columns) -> list[float]:
    ones = Given(np.ones(num_rows(columns)))
    term = Term(ones, normaliser=Raw(), modifiers=(modifier,))
    found: list[float] = compute(**columns, estimator=Only(term=term)).advantages.tolist()
    return found


def test_a_failure_rate_counts_outcomes_above_zero_among_those_known(compute: Compute) -> None:
    columns = one_group("s !", "s a", "s ~", "s a", "s a")
    columns |= {"episode_returns": [1, 0, NAN, 0.5, -1]}
    np.testing.assert_allclose(factor(compute, FailureRate(2.0, 3.0), columns), [3 / 4] * 5)
    nobody = one_group("s ~", "s ~")
    assert factor(compute, FailureRate(2.0, 3.0), nobody) == [3, 3]


def test_polarisation_stresses_the_rare(compute: Compute) -> None:
    columns = one_group("s !", "s a", "s a", "s a", "s ~")
    b = 0.05 / (1 / (1 + math.exp(-1)) - 0.5)
    won = 1 + b * (1 / (1 + math.exp(-(0.75**4))) - 0.5)
    lost = 1 + b * (1 / (1 + math.exp(0.25**4)) - 0.5)
    found = factor(compute, Polarised(4.0, 0.05), columns)
    np.testing.assert_allclose(found, [won, lost, lost, lost, 1], rtol=1e-6)
    # Without a verdict on anybody success is an outcome above 0.
    graded = {**columns, "success": None, "episode_returns": [2, 0, 0, 0, 0]}
    won = 1 + b * (1 / (1 + math.exp(-(0.8**4))) - 0.5)
    assert factor(compute, Polarised(4.0, 0.05), graded)[0] == pytest.approx(won)


def test_a_gate_opens_where_enough_was_seen(compute: Compute) -> None:
    columns = {**one_group("s a", "s b", "s a", "t a", "t a"), "actions": list("xxxyz")}
    assert factor(compute, Seen("actions"), columns) == [0, 0, 0, 1, 1]
    assert factor(compute, Seen("targets"), columns) == [1, 1, 1, 0, 0]
    assert factor(compute, Seen("targets", at_least=3), columns) == [0] * 5
    assert factor(compute, Seen("actions"), {**columns, "actions": None}) == [1, 1, 1, 0, 0]


def test_wins_are_one_target_and_unknown_ends_are_many(compute: Compute) -> None:
    columns = one_group("s !", "s !", "t ?", "t ?")
    columns["next_states"] = [None] * 4
    assert factor(compute, Seen("targets"), columns) == [0, 0, 1, 1]


def test_evidence_is_what_actions_explain_of_the_variance(compute: Compute) -> None:
    columns = {**STAR, "actions": list("xxyyy")}
    evidence = ActionEvidence(Given([4.0, 2.0, NAN, 0.0, 0.0]), tau=2.0, epsilon=0.5)
    # q: 3 and 0, m: 3/2; between (3/2)^2, within 1 of two steps of four.
    expected = math.tanh(4 / 2) * 2.25 / (2.25 + 0.5 + 0.5)
    np.testing.assert_allclose(factor(compute, evidence, columns), [expected] * 5, rtol=1e-6)
    nothing = ActionEvidence(Given([NAN] * 5), tau=2.0)
    assert factor(compute, nothing, columns) == [0] * 5


def test_where_nobody_won_is_told_by_success_and_else_by_outcomes(compute: Compute) -> None:
    columns = one_group("s !", "s a", "s a", "s ~")
    columns |= {"group_ids": [0, 0, 1, 2], "episode_returns": [0, 0, 5, NAN]}
    assert factor(compute, NobodyWon(), columns) == [0, 0, 1, 1]
    shared = factor(compute, NobodyWon(times_share=True), columns)
    np.testing.assert_allclose(shared, [0, 0, 2 / 3, 2 / 3], rtol=1e-6)
    graded = {**columns, "success": None, "episode_returns": [0, 0, 5, 0]}
    assert factor(compute, NobodyWon(), graded) == [1, 1, 0, 1]


# --- numbers of the user's own --------------------------------------------------------------------


@given(batch=batches())
def test_scores_handed_in_are_compared_as_computed_ones(
    compute: Compute, batch: tuple[Columns, Columns]
) -> None:
    columns, chosen = batch
    for term in chosen_estimator(chosen).terms():
        if isinstance(term.score, EdgeReturn) or BellmanMean in map(type, inside(term.score)):
            continue  # compared in a way of their own
        plain = Term(term.score, term.levels[0], term.normaliser, term.unit, term.penalty)
        expected = compute(**columns, estimator=Only(term=plain))
        given = Term(Given(expected.scores), plain.peers, plain.normaliser, plain.unit)
        given = Term(**{**vars(given), "penalty": term.penalty})
        result = compute(**columns, estimator=Only(term=given))
        np.testing.assert_array_equal(result.advantages, expected.advantages)


def inside(block: Any) -> list[Block]:
    found = [block]
    for value in vars(block).values():
        if isinstance(value, Block):
            found += inside(value)
    return found


def test_a_function_of_the_rollouts_may_give_numbers(compute: Compute) -> None:
    def value(rollouts: Any) -> Any:
        graph = rollouts.graph()
        assert len(rollouts.columns["states"]) == 5
        returns = rollouts.advantages("gigpo", gamma=0.5).scores
        best = np.zeros(len(graph.node_states))
        np.maximum.at(best, graph.edge_sources, returns[graph.edge_rows])
        return best

    columns = one_group("s a !", "s a b !")
    found = scored(compute, Target(Given(value)), columns)
    assert found == [10, 0, 10, 10, 0]


# --- refusals -------------------------------------------------------------------------------------

BAD: list[tuple[Any, str]] = [
    (Term(Given([1.0]), normaliser=Raw()), r"shape \(1,\); expected \(5,\), one per row"),
    (Term(Target(Given([1.0])), normaliser=Raw()), r"shape \(1,\); expected \(6,\), one per node"),
    (
        Term(Target(BellmanMean(0.5, boundary=Given([0, 0, 2, 0, 0]))), normaliser=Raw()),
        r"boundary\[2\] is 2.0; expected a number in \[0, 1\]",
    ),
    (
        Term(EdgeReturn(0.5, 1.0), Task(), Mean(scale="relative")),
        "EdgeReturn is compared with Task at relative scale; expected SameState",
    ),
    (
        Term(Given(SCORES), (Task(), Batch()), Mean(), peer_weights=(1.0, 1.0)),
        "Batch among them; expected Batch alone",
    ),
    (
        Term(
            Given(SCORES),
            base=Term(Outcome(), Task(), weight=2.0),
            peer_weights=(1.0, 1.0),
        ),
        "the base of a term",
    ),
]


@pytest.mark.parametrize(("term", "message"), BAD, ids=[message for _, message in BAD])
def test_a_plan_that_makes_no_sense_is_refused(compute: Compute, term: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compute(**STAR, estimator=Only(term=term))


def test_boundary_values_of_one_rollout_agree(compute: Compute) -> None:
    value = BellmanMean(0.5, boundary=Given([0.0, 0.5]))
    term = Term(Target(value), normaliser=Raw())
    with pytest.raises(ValueError, match=r"boundary\[1\] is 0.5 but row 0 has 0.0"):
        compute(**one_group("s a !"), estimator=Only(term=term))


def test_a_term_has_a_weight_for_every_level() -> None:
    with pytest.raises(ValueError, match="peer_weights has 1 entries; expected one for each of 2"):
        Term(Outcome(), peers=(Task(), Turn()))


@dataclass(frozen=True)
class Strange(Block):
    """A block nobody knows."""


@pytest.mark.parametrize(
    "term",
    [
        Term(Strange()),  # type: ignore[arg-type]
        Term(Target(Strange())),  # type: ignore[arg-type]
        Term(Given(SCORES), peers=Strange()),  # type: ignore[arg-type]
        Term(Given(SCORES), normaliser=Strange()),  # type: ignore[arg-type]
        Term(Given(SCORES), modifiers=(Strange(),)),  # type: ignore[arg-type]
        Term(Given(SCORES), average=Strange()),  # type: ignore[arg-type]
    ],
)
def test_a_block_that_is_not_known_is_refused_by_name(compute: Compute, term: Term) -> None:
    with pytest.raises(TypeError, match="Strange"):
        compute(**STAR, estimator=Only(term=term))


@pytest.mark.parametrize("size", [29, 31, 60])
def test_the_reference_solves_large_bellman_equations_as_well_as_small_ones(size: int) -> None:
    # A ring that one step in two leaves for the goal: V = gamma (V + 1) / 2 everywhere.
    walks = [f"r{i} r{(i + 1) % size}" for i in range(size)] + [f"r{i} !" for i in range(size)]
    value = BellmanMean(0.5, failed_end="state")
    term = Term(Difference(value, gamma=0.0), normaliser=Raw())
    result = reference.compute_advantages(**one_group(*walks), estimator=Only(term=term))
    np.testing.assert_allclose(result.scores, -1 / 3, rtol=1e-12)


def test_values_of_a_bellman_mean_within_a_billionth_are_one(compute: Compute) -> None:
    # 0.99999999995 and 1 as boundary values: noise of an iteration would look like that.
    for other, is_same in ((1 - 5e-11, True), (1 - 5e-9, False)):
        value = BellmanMean(0.5, boundary=Given([1.0, other]))
        term = Term(Target(value), normaliser=FlooredStd(1e-12))
        result = compute(**one_group("s a", "s b"), estimator=Only(term=term))
        assert (not result.advantages.any()) == is_same


def test_whether_a_term_is_episodic_is_seen_from_its_blocks() -> None:
    assert Term(Outcome(), Task()).is_episodic
    assert Term(Standing(Outcome(), Task(), Mean()), Batch()).is_episodic
    assert not Term(Outcome(), Turn()).is_episodic
    assert not Term(Outcome(), Task(), average=SameTransition()).is_episodic
    assert not Term(ReturnToGo(0.5, 1.0), Task()).is_episodic


@given(ends=st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=2, max_size=5))
def test_a_bellman_mean_lies_between_its_ends(compute: Compute, ends: list[float]) -> None:
    columns = one_group(*(f"s t{i % 2} s x" for i in range(len(ends))))
    boundary = Given(np.repeat(ends, 3))
    value = BellmanMean(0.9, boundary=boundary)
    found = scored(compute, Difference(value, 0.0), columns)
    assert 0.0 <= -min(found) <= 0.9 * max(ends) + 1e-9
