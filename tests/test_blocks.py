"""Scores, potentials and modifiers by themselves: their equations on a few steps, edge cases."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches import Columns, Only, batches, chosen_estimator, num_rows, one_group
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
    Log,
    Mean,
    MeanReturn,
    NewStates,
    NobodyWon,
    Outcome,
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
from test_comparisons import SCORES, STAR

NAN = math.nan


# --- scores and potentials ------------------------------------------------------------------------


def scored(compute: Compute, score: Any, columns: Columns) -> list[float]:
    result = compute(**columns, estimator=Only(term=Term(score, normaliser=Raw())))
    found: list[float] = result.scores.tolist()
    return found


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
    for of, here in (("rewards", 6.5 / 2), ("outcome", 1.5 / 2)):
        value = MeanReturn(0.5, 7.0, of=of, penalty=0.5)  # type: ignore[arg-type]
        assert scored(compute, Difference(value, 0.0), columns) == [-here] * 3


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
    # Five steps, four of them known. q: 3 and 0, m: 3/2; between (3/2)^2, within 1 of two of four.
    expected = math.tanh(5 / 2) * 2.25 / (2.25 + 0.5 + 0.5)
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


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (Term(Given([1.0])), r"have shape \(1,\); expected \(5,\), one per row"),
        (Term(Target(Given([1.0]))), r"expected \(6,\), one per node of Rollouts.graph\(\)"),
        (Term(Given([[1.0]])), r"values of a Given have shape \(1, 1\); expected \(5,\)"),
        (
            Term(Target(BellmanMean(0.5, boundary=Given([0, 0, 2, 0, 0])))),
            r"boundary.* is 2.*; expected .* in \[0, 1\]",
        ),
    ],
)
def test_numbers_that_do_not_fit_are_refused(compute: Compute, term: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compute(**STAR, estimator=Only(term=term))


def test_boundary_values_of_one_rollout_agree(compute: Compute) -> None:
    term = Term(Target(BellmanMean(0.5, boundary=Given([1.0, 0.0, 0.5]))))
    text = "boundary[2] is 0.5 but row 1 of the same trajectory has 0; expected one value per traj"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        compute(**one_group("t !", "s a !"), estimator=Only(term=term))


def test_a_standing_of_relative_edge_returns_is_among_the_steps_from_a_state() -> None:
    text = "EdgeReturn at relative scale is compared with other peers than SameState"
    with pytest.raises(ValueError, match=f"^{text}; expected SameState$"):
        Standing(EdgeReturn(0.5, 1.0), Task(), Mean(scale="relative"))
    Standing(EdgeReturn(0.5, 1.0), SameState(), Mean(scale="relative"))


def test_relative_scores_of_trajectories_are_divided_by_the_largest_that_counts(
    compute: Compute,
) -> None:
    # Of the second trajectory -8 does not count: 4 is the largest.
    term = Term(Given([2.0, 4.0, -8.0]), Task(), Mean(scale="relative"), unit="trajectories")
    found = compute(**one_group("s a", "s a b"), estimator=Only(term=term)).advantages
    np.testing.assert_allclose(found, [-0.25, 0.25, -2.75])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"peers": (Task(), Turn())}, "peer_weights has 1 entries; expected one for each of 2"),
        (
            {"peers": (Task(), Batch()), "peer_weights": (1.0, 1.0)},
            "Batch peers are one of several",
        ),
        (
            {"base": Term(Outcome(), Task(), weight=2.0), "peer_weights": (1.0, 1.0)},
            "the base of a term has levels, a base, an average, modifiers or a weight",
        ),
        (
            {"peers": Task(), "normaliser": Mean(scale="relative")},
            "EdgeReturn at relative scale is compared with other peers than SameState",
        ),
    ],
)
def test_a_term_that_makes_no_sense_is_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Term(EdgeReturn(0.5, 1.0), **parts)


@dataclass(frozen=True)
class Strange(Block):
    """A block nobody knows."""


@dataclass(frozen=True)
class StrangeMean(Mean):
    """Nor this one, which must not be taken for a mean."""


@pytest.mark.parametrize(
    "make",
    [
        lambda: Term(Strange()),  # type: ignore[arg-type]
        lambda: Term(Target(Strange())),  # type: ignore[arg-type]
        lambda: Term(Given(SCORES), peers=Strange()),  # type: ignore[arg-type]
        lambda: Term(Given(SCORES), normaliser=Strange()),  # type: ignore[arg-type]
        lambda: Term(Given(SCORES), normaliser=StrangeMean()),
        lambda: Term(Given(SCORES), modifiers=(Strange(),)),  # type: ignore[arg-type]
        lambda: Term(Given(SCORES), average=Strange()),  # type: ignore[arg-type]
    ],
)
def test_a_block_that_may_not_stand_there_is_refused_by_name(make: Callable[[], Term]) -> None:
    with pytest.raises(TypeError, match=r"is (a tuple with )?a Strange(Mean)?; expected"):
        make()


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
