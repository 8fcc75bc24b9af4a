"""Terms as data: what they need, what they refuse, and numbers of the user's own in a plan."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

import graphgpo
from batches import Columns, Only, Shape, num_rows, random_walks, rollouts
from conftest import Compute
from examples_of import an_estimator
from graphgpo import Estimator, Rollouts, StateGraph, Terminal, blocks, estimators, reference
from graphgpo.blocks import (
    ActionEvidence,
    ActionMean,
    Batch,
    BellmanMean,
    Block,
    Difference,
    EdgeReturn,
    FailureRate,
    Given,
    LastStates,
    Live,
    Log,
    Mean,
    MeanReturn,
    MeanStd,
    Needs,
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
    Surprisal,
    Target,
    Task,
    Term,
    Trace,
    Turn,
)
from graphgpo.columns import COLUMNS
from test_worked_example import COLUMNS as WORKED_EXAMPLE

SUCCESS = ("success",)
REWARDS = ("rewards", "success")
OUTCOME = ("episode_returns", "rewards", "success")
ACTIONS = ("actions",)
VALUE = ReachValue(0.9, 1.0)
RETURN = ReturnToGo(0.9, 1.0)

# --- what blocks need -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "needs"),
    [
        (EdgeReturn(0.5, 1.0), [SUCCESS]),
        (VALUE, [SUCCESS]),
        (BellmanMean(0.9), [SUCCESS]),
        (BellmanMean(0.9, boundary=Given([0.0])), []),
        (MeanReturn(0.9, 1.0), [REWARDS]),
        (MeanReturn(0.9, 1.0, of="outcome"), [OUTCOME]),
        (MeanReturn(0.9, 1.0, end="outcome"), [REWARDS, OUTCOME]),
        (MeanReturn(0.9, 1.0, end="success"), [REWARDS, SUCCESS]),
        (MeanReturn(0.9, 1.0, of="outcome", end="success"), [OUTCOME, SUCCESS]),
        (RETURN, [REWARDS]),
        (Outcome(), [OUTCOME]),
        (NewStates(), []),
        (Surprisal(), []),
        (Surprisal(actions=True), [ACTIONS]),
        (Given([0.0]), []),
        (Target(Given([0.0])), []),
        (Target(Log(VALUE, 0.1)), [SUCCESS]),
        (Difference(Given([0.0])), []),
        (Difference(Given([0.0]), rewards=True), [REWARDS]),
        (Trace(Difference(VALUE, rewards=True), 0.9), [SUCCESS, REWARDS]),
        (ActionMean(RETURN), [REWARDS, ACTIONS]),
        (ActionMean(RETURN, unknown="target"), [REWARDS]),
        (ActionEvidence(RETURN, 1.0), [REWARDS, ACTIONS]),
        (Standing(Outcome(), PeerKeys(), Raw()), [OUTCOME, ("peer_keys",)]),
        (PeerKeys(), [("peer_keys",)]),
        (SameTransition(), [ACTIONS]),
        (SameState(), []),
        (FailureRate(2.0), [OUTCOME]),
        (Polarised(2.0, 0.1), [OUTCOME]),
        (NobodyWon(), [OUTCOME]),
        (Live(), [OUTCOME]),
        (Seen("actions"), []),
        (
            Term(RETURN, PeerKeys(), modifiers=(ActionEvidence(RETURN, 1.0),)),
            [REWARDS, ("peer_keys",), ACTIONS],
        ),
        (Term(NewStates(), average=SameTransition()), [ACTIONS]),
        (
            Term(NewStates(), base=Term(Outcome(), Task()), peer_weights=(1.0, 1.0)),
            [OUTCOME],
        ),
    ],
    ids=str,
)
def test_a_block_needs_what_it_reads(block: Block, needs: list[tuple[str, ...]]) -> None:
    assert block.needs == frozenset(needs)


def test_an_estimator_needs_what_its_terms_need() -> None:
    def union(name: str) -> Needs:
        return frozenset(need for term in an_estimator(name).terms() for need in term.needs)

    for name in estimators.names():
        # What a `Given` function reads, the estimator itself must say.
        assert an_estimator(name).needs >= union(name)


CLASSES = [
    value
    for value in vars(blocks).values()
    if inspect.isclass(value) and issubclass(value, Block) and value is not Block
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_block_is_a_frozen_documented_dataclass(cls: type[Block]) -> None:
    assert dataclasses.is_dataclass(cls)
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert not (inspect.getdoc(cls) or "").startswith(f"{cls.__name__}(")


def test_every_block_is_in_one_union_or_is_a_part_of_one() -> None:
    named = " ".join(
        str(getattr(blocks, union))
        for union in ("Potential", "Score", "Peers", "Normaliser", "Modifier")
    )
    assert [cls.__name__ for cls in CLASSES if cls.__name__ not in named] == ["Term"]


# --- what a term refuses and what it is -----------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"peers": (Task(), Turn())},
            "peer_weights has 1 entries; expected one for each of 2 peers",
        ),
        (
            {"peers": Task(), "peer_weights": (1.0, 2.0)},
            "peer_weights has 2 entries; expected one for each of 1 peers",
        ),
        (
            {"base": Term(Outcome(), Task())},
            "peer_weights has 1 entries; expected one for each of 1 peers, and one for the base",
        ),
        (
            {"peers": (), "peer_weights": ()},
            "peers is empty; expected at least one",
        ),
    ],
)
def test_a_term_has_a_weight_for_every_level(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Term(RETURN, **arguments)


def test_lists_of_parts_become_tuples_so_that_plans_can_be_kept() -> None:
    peers: Any = [LastStates(1), LastStates(2)]
    weights: Any = [1.0, 2.0]
    modifiers: Any = [Seen("targets")]
    listed = Term(RETURN, peers=peers, peer_weights=weights, modifiers=modifiers)
    assert listed.peers == (LastStates(1), LastStates(2))
    assert listed == Term(
        RETURN, tuple(peers), peer_weights=(1.0, 2.0), modifiers=(Seen("targets"),)
    )
    assert hash(listed)


@pytest.mark.parametrize(
    ("term", "is_episodic"),
    [
        (Term(Outcome(), Task()), True),
        (Term(Outcome(), Batch()), True),
        (Term(Outcome(), PeerKeys()), True),
        (Term(Outcome(), (Task(), PeerKeys()), peer_weights=(1.0, 1.0)), True),
        (Term(NewStates(), Task()), True),
        (Term(Standing(Outcome(), Task(), Raw()), Batch()), True),
        (Term(Outcome()), False),
        (Term(Outcome(), Turn()), False),
        (Term(Outcome(), (Task(), SameState()), peer_weights=(1.0, 1.0)), False),
        (Term(Outcome(), Task(), average=SameTransition()), False),
        (Term(RETURN, Task()), False),
        (Term(Standing(RETURN, Task(), Raw()), Batch()), False),
        (Term(Given([0.0]), Task()), False),
    ],
    ids=str,
)
def test_a_term_is_episodic_if_it_is_one_number_per_trajectory(
    term: Term, is_episodic: bool
) -> None:
    assert term.is_episodic == is_episodic


def test_a_modifier_that_differs_along_a_trajectory_makes_a_step_term() -> None:
    gated = Term(Outcome(), Task(), modifiers=(Seen("targets"),))
    assert not gated.is_episodic
    assert not Term(Outcome(), Task(), modifiers=(ActionEvidence(RETURN, 1.0),)).is_episodic
    assert Term(Outcome(), Task(), modifiers=(FailureRate(2.0), NobodyWon())).is_episodic
    assert not Term(Standing(Outcome(), SameState(), Raw()), Task()).is_episodic


@pytest.mark.parametrize("name", estimators.names())
def test_an_episodic_term_is_one_number_per_trajectory(name: str) -> None:
    columns = random_walks(2)
    for term in an_estimator(name).terms():
        credit = graphgpo.compute_advantages(**columns, estimator=Only(term=term))
        part, other = credit.episode_advantages, credit.step_advantages
        if not term.is_episodic:
            part, other = other, part
        assert not other.any()
        if term.is_episodic:
            names = (columns["group_ids"], columns["trajectory_ids"])
            assert len({*zip(*names, part, strict=True)}) == len({*zip(*names, strict=True)})


# --- numbers of the user's own --------------------------------------------------------------------


def scored(columns: Columns, score: Any) -> NDArray[np.float64]:
    term = Term(score, normaliser=Raw())
    return graphgpo.compute_advantages(**columns, estimator=Only(term=term)).scores


def bellman_mean(graph: StateGraph, gamma: float) -> NDArray[np.float64]:
    """V(u) = mean over the edges that leave u of gamma V(v), solved as linear equations."""
    nodes = len(graph.node_states)
    transition = np.zeros((nodes, nodes))
    np.add.at(transition, (graph.edge_sources, graph.edge_targets), 1.0)
    leaving = transition.sum(axis=1, keepdims=True)
    transition /= np.maximum(leaving, 1)
    is_goal = np.array([state is Terminal.GOAL for state in graph.node_states], np.float64)
    solved = np.linalg.solve(np.eye(nodes) - gamma * transition, is_goal)
    return np.asarray(solved, np.float64)


@given(columns=rollouts(Shape()))
def test_a_bellman_mean_in_numpy_is_the_cores(columns: Columns) -> None:
    def solved(read: Rollouts) -> NDArray[np.float64]:
        return bellman_mean(read.graph(), 0.9)

    expected = scored(columns, Target(BellmanMean(0.9, failed_end="state")))
    for ours in (Given(solved), Given(solved(Rollouts(**columns)))):
        np.testing.assert_allclose(scored(columns, Target(ours)), expected, rtol=1e-9, atol=1e-9)
    gain = Difference(BellmanMean(0.9, failed_end="state"), gamma=0.9)
    np.testing.assert_allclose(
        scored(columns, Difference(Given(solved), gamma=0.9)),
        scored(columns, gain),
        rtol=1e-9,
        atol=1e-9,
    )


@given(columns=rollouts(Shape(has_verdicts=True)))
def test_distances_of_the_graph_make_the_edge_return(columns: Columns) -> None:
    def reach(read: Rollouts) -> NDArray[np.float64]:
        graph = read.graph()
        values: NDArray[np.float64] = np.where(graph.node_reached, 0.5**graph.node_distances, 0.0)
        return values

    expected = scored(columns, Target(ReachValue(0.5, 1.0)))
    np.testing.assert_allclose(scored(columns, Target(Given(reach))), expected, rtol=1e-12)


@given(columns=rollouts())
def test_scores_by_row_are_taken_as_they_are(columns: Columns) -> None:
    values = np.arange(num_rows(columns)) / 3
    values[0] = np.nan
    for given_values in (values, values.tolist(), np.repeat(values, 2)[::2]):
        np.testing.assert_array_equal(scored(columns, Given(given_values)), values)


def test_numbers_of_ones_own_equal_themselves_alone() -> None:
    one, other = Given([1.0]), Given([1.0])
    assert {one: 1}[one] == 1
    assert one != other
    assert len({one, other, Target(one), Target(other)}) == 4


def test_a_masked_row_has_no_node_but_a_number_of_its_own() -> None:
    columns = {**WORKED_EXAMPLE, "mask": [True] * 11 + [False]}
    values = np.arange(12.0)
    found = scored(columns, Given(values))
    np.testing.assert_array_equal(found[:11], values[:11])
    assert np.isnan(found[11])
    graph = graphgpo.build_graph(**columns)
    by_node = scored(columns, Target(Given(np.arange(float(len(graph.node_states))))))
    np.testing.assert_array_equal(by_node[:11], graph.edge_targets)


@pytest.mark.parametrize("gamma", [0.5, 0.999])
@pytest.mark.parametrize("ways", [1, 2, 3])
def test_a_bellman_mean_is_the_solution_of_its_equations(ways: int, gamma: float) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    from scipy.sparse.linalg import spsolve

    # A ring with chords: one component of 2,000 states, which the first state alone leaves.
    size = 2_000
    sources = np.tile(np.arange(size), ways)
    chords = np.random.default_rng(ways).integers(size, size=size * (ways - 1))
    targets = np.concatenate([(np.arange(size) + 1) % size, chords])
    columns = {
        "states": np.append(sources, 0),
        "next_states": np.append(targets, 0),
        "group_ids": np.zeros(len(sources) + 1, np.int64),
        "trajectory_ids": np.arange(len(sources) + 1),
        "success": np.arange(len(sources) + 1) == len(sources),
    }
    leaving = np.bincount(columns["states"], minlength=size)
    shares = sparse.coo_array((gamma / leaving[sources], (sources, targets)), (size, size))
    earned = np.zeros(size)
    earned[0] = gamma / leaving[0]
    expected = spsolve((sparse.eye_array(size) - shares).tocsc(), earned)
    found = scored(columns, Target(BellmanMean(gamma, failed_end="state")))
    np.testing.assert_allclose(found[:-1], expected[targets], rtol=0, atol=1e-9)


@pytest.mark.parametrize("length", [0, 1, 11, 13])
def test_a_number_for_every_row(length: int) -> None:
    for score in (
        Given(np.zeros(length)),
        Target(BellmanMean(0.5, boundary=Given(np.zeros(length)))),
    ):
        text = f"values of a Given have shape ({length},); expected (12,), one per row"
        with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
            scored(WORKED_EXAMPLE, score)


@pytest.mark.parametrize("length", [0, 5, 7, 12])
def test_a_number_for_every_node(length: int) -> None:
    for score in (
        Target(Given(np.zeros(length))),
        Difference(Given(np.zeros(length))),
        Target(Log(Given(np.zeros(length)), 0.5)),
    ):
        nodes = "(6,), one per node of Rollouts.graph()"
        text = f"values of a Given have shape ({length},); expected {nodes}"
        with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
            scored(WORKED_EXAMPLE, score)


@pytest.mark.parametrize(
    "values",
    [
        ["1"] * 12,
        np.ones(12, complex),
        np.zeros(12, "datetime64[s]"),
        np.zeros(12, "timedelta64[s]"),
    ],
    ids=["text", "complex", "dates", "durations"],
)
def test_what_is_no_number_is_not_read_as_one(values: Any) -> None:
    dtype = re.escape(str(np.asarray(values).dtype))
    for compute in (graphgpo.compute_advantages, reference.compute_advantages):
        with pytest.raises(TypeError, match=f"^values of a Given are {dtype}; expected numbers$"):
            compute(**WORKED_EXAMPLE, estimator=Only(term=Term(Given(values))))


@pytest.mark.parametrize("terms", [None, 3, [3], "x", [Given([0.0])]])
def test_terms_are_terms(terms: Any) -> None:
    class Wrong(Estimator):
        name = "wrong"

        def terms(self) -> Any:
            return terms

    error = f"terms() of Wrong gave {terms!r}; expected a list of graphgpo.blocks.Term"
    with pytest.raises(TypeError, match=f"^{re.escape(error)}$"):
        graphgpo.compute_advantages(**WORKED_EXAMPLE, estimator=Wrong())


def test_an_estimator_has_terms() -> None:
    class Empty(Estimator):
        name = "empty"

        def terms(self) -> list[Term]:
            return []

    for compute in (graphgpo.compute_advantages, reference.compute_advantages):
        with pytest.raises(
            ValueError, match=r"^terms\(\) of Empty gave none; expected one or more$"
        ):
            compute(**WORKED_EXAMPLE, estimator=Empty())


def test_numbers_have_one_axis_and_are_numbers() -> None:
    with pytest.raises(ValueError, match=r"shape \(12, 1\); expected \(12,\), one per row"):
        scored(WORKED_EXAMPLE, Given(np.zeros((12, 1))))
    with pytest.raises((TypeError, ValueError)):
        scored(WORKED_EXAMPLE, Given(["many"] * 12))


def test_boundary_values_stand_where_trajectories_end() -> None:
    # t1, t2 and t3 end with 1/2, 1/4 and 1 instead of GOAL and nothing.
    ends = [0.5] * 3 + [0.25] * 4 + [1.0] * 5
    value = BellmanMean(0.5, boundary=Given(ends))
    found = scored(WORKED_EXAMPLE, Target(value))
    np.testing.assert_allclose(found[[2, 6, 11]], [0.5, 0.25, 1.0])
    as_goal = BellmanMean(0.5, boundary=Given([1.0] * 3 + [0.0] * 4 + [1.0] * 5))
    np.testing.assert_allclose(
        scored(WORKED_EXAMPLE, Target(as_goal)),
        scored(WORKED_EXAMPLE, Target(BellmanMean(0.5))),
        rtol=1e-9,
    )
    without = {**WORKED_EXAMPLE, "success": None}
    np.testing.assert_allclose(scored(without, Target(value)), found, rtol=1e-9)


@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan"), float("inf")])
def test_boundary_values_lie_between_zero_and_one(wrong: float) -> None:
    ends = [0.5] * 3 + [wrong] * 4 + [1.0] * 5
    with pytest.raises(ValueError, match=r"boundary\[3\] is .*; expected a number in \[0, 1\]"):
        scored(WORKED_EXAMPLE, Target(BellmanMean(0.5, boundary=Given(ends))))


def test_boundary_values_of_masked_rows_are_not_looked_at() -> None:
    ends = [0.5] * 3 + [0.25] * 4 + [1.0] * 4
    columns = {**WORKED_EXAMPLE, "mask": [True] * 11 + [False]}
    expected = scored(columns, Target(BellmanMean(0.5, boundary=Given([*ends, 1.0]))))
    for garbage in (float("nan"), -3.0):
        found = scored(columns, Target(BellmanMean(0.5, boundary=Given([*ends, garbage]))))
        np.testing.assert_array_equal(found, expected)


def test_given_numbers_are_compared_like_any_score() -> None:
    returns = scored(WORKED_EXAMPLE, ReturnToGo(0.95, 10.0))
    own = Only(term=Term(Given(returns), SameState(), MeanStd()))
    expected = graphgpo.compute_advantages(**WORKED_EXAMPLE, estimator="gigpo")
    result = graphgpo.compute_advantages(**WORKED_EXAMPLE, estimator=own)
    np.testing.assert_array_equal(result.step_advantages, expected.step_advantages)
    assert not result.episode_advantages.any()


def test_columns_that_a_block_does_not_need_need_not_be_there() -> None:
    bare = {name: WORKED_EXAMPLE[name] for name, c in COLUMNS.items() if c.is_required}
    result = graphgpo.compute_advantages(
        **bare, success=None, estimator=Only(term=Term(NewStates()))
    )
    assert len(result) == 12


def test_a_gated_outcome_is_part_of_the_step_advantage(compute: Compute) -> None:
    columns = {**WORKED_EXAMPLE, "actions": WORKED_EXAMPLE["next_states"]}
    for term in (
        Term(Outcome(), Task(), modifiers=(Seen("actions"),)),
        Term(Outcome(), Task(), modifiers=(ActionEvidence(RETURN, 1.0),)),
        Term(Standing(Outcome(), SameState(), Mean()), Task()),
    ):
        result = compute(**columns, estimator=Only(term=term))
        assert result.step_advantages.any()
        assert not result.episode_advantages.any()
