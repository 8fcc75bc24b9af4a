"""Across ranks: the same bits as in one process, wherever rows lie, and errors for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import graphgpo
from batches import Columns, num_rows, options, random_walks, rollouts, take, with_padding
from graphgpo.columns import COLUMNS
from graphgpo.torch import distributed
from graphgpo.torch.distributed._agreement import Header, Report, blame
from graphgpo.torch.distributed._collectives import MAX_TEXT, device_of
from ranks import IMPATIENT_S, Failure, Ranks, running

EMPTY: Columns = {"states": [], "group_ids": [], "trajectory_ids": [], "success": []}
ABOUT_HALLS: Columns = {
    "states": ["hall", "kitchen", "hall"],
    "next_states": ["kitchen", "sink", None],
    "group_ids": ["mug"] * 3,
    "trajectory_ids": [0, 0, 1],
    "success": [False, True, False],
    "step_ids": [0, 1, 0],
}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    with running(tmp_path_factory.mktemp("ranks")) as started:
        yield started


def dealt(columns: Columns, rank_of_row: list[int], size: int) -> list[Columns]:
    """Each rank's rows."""
    return [
        take(columns, [row for row, rank in enumerate(rank_of_row) if rank == own])
        for own in range(size)
    ]


def assert_same_as_in_one_process(
    ranks: Ranks, columns: Columns, rank_of_row: list[int], size: int, **options: Any
) -> None:
    order = np.argsort(rank_of_row, kind="stable").tolist()
    expected = graphgpo.compute_advantages(**take(columns, order), **options)
    calls = [own | options for own in dealt(columns, rank_of_row, size)]
    first = 0
    for call, result in zip(calls, ranks.results(calls), strict=True):
        own = slice(first, first + num_rows(call))
        first = own.stop
        assert result.metrics == expected.metrics
        for field in fields(expected):
            if field.name != "metrics":
                values = getattr(result, field.name)
                assert values.dtype == getattr(expected, field.name).dtype
                np.testing.assert_array_equal(values, getattr(expected, field.name)[own])


@given(data=st.data(), size=st.sampled_from([1, 2, 2, 4, 4]))
def test_ranks_get_what_one_process_gets_wherever_the_rows_lie(
    ranks: Ranks, data: st.DataObject, size: int
) -> None:
    columns = data.draw(rollouts())
    chosen = data.draw(options)
    if data.draw(st.booleans()):
        copied = st.lists(st.integers(0, num_rows(columns) - 1), max_size=4)
        columns, _ = with_padding(columns, data.draw(copied))
    rank = st.integers(0, size - 1)
    rank_of_row = data.draw(st.lists(rank, min_size=num_rows(columns), max_size=num_rows(columns)))
    assume(chosen["estimator"] != "proxmo")  # it reads the states' text, which does not travel
    types = [{type(state) for state in own["states"]} for own in dealt(columns, rank_of_row, size)]
    assume(not ({int} in types and {str} in types))
    assert_same_as_in_one_process(ranks, columns, rank_of_row, size, **chosen)


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("has_next_states", [True, False])
def test_trajectories_may_be_torn_over_ranks(
    ranks: Ranks, size: int, has_next_states: bool
) -> None:
    columns = random_walks(1, num_groups=5)
    if not has_next_states:
        columns["next_states"] = None
    rank_of_row = np.random.default_rng(size).integers(0, size, num_rows(columns)).tolist()
    assert_same_as_in_one_process(ranks, columns, rank_of_row, size)


def test_rows_are_uneven_and_a_rank_has_none(ranks: Ranks) -> None:
    columns = random_walks(2)
    rank_of_row = [0 if row < 3 else 3 if row % 5 else 1 for row in range(num_rows(columns))]
    assert_same_as_in_one_process(ranks, columns, rank_of_row, 4)


def test_an_empty_rank_need_not_know_which_columns_there_are(ranks: Ranks) -> None:
    first, empty = ranks.results([ABOUT_HALLS, EMPTY])
    expected = graphgpo.compute_advantages(**ABOUT_HALLS)
    np.testing.assert_array_equal(first.advantages, expected.advantages)
    assert len(empty) == 0
    assert empty.metrics == expected.metrics


def test_no_rank_has_rows(ranks: Ranks) -> None:
    for result in ranks.results([EMPTY, EMPTY | {"rewards": []}]):
        assert len(result) == 0
        assert result.metrics["graphgpo/num_steps"] == 0.0


def test_whole_trajectories_need_no_step_ids(ranks: Ranks) -> None:
    columns = random_walks(3) | {"step_ids": None}
    rank_of_row = [trajectory % 2 for trajectory in columns["trajectory_ids"]]
    assert_same_as_in_one_process(ranks, columns, rank_of_row, 2)


def test_trajectories_may_take_turns_within_a_rank(ranks: Ranks) -> None:
    columns = take(ABOUT_HALLS | {"step_ids": None}, [0, 2, 1])
    assert_same_as_in_one_process(ranks, columns, [1, 1, 1], 2)


def test_trajectory_ids_are_their_groups_own(ranks: Ranks) -> None:
    mine = ABOUT_HALLS | {"step_ids": None}
    for result in ranks.results([mine, mine | {"group_ids": ["cup"] * 3}]):
        assert result.metrics["graphgpo/num_trajectories"] == 4.0


def test_a_torn_trajectory_without_step_ids_is_refused(ranks: Ranks) -> None:
    columns = take(ABOUT_HALLS | {"step_ids": None}, [0, 2, 1])
    assert ranks.failure(dealt(columns, [0, 0, 1], 2)) == (
        "ValueError",
        "row 0 of rank 1 belongs to the same group and trajectory as row 0 of rank 0; expected "
        "step_ids, which order a trajectory over ranks, or, if these are two rollouts, "
        "trajectory_ids that differ on all ranks",
    )


def test_masked_rows_tear_no_trajectory(ranks: Ranks) -> None:
    mine = ABOUT_HALLS | {"step_ids": None}
    # Ids in arrays: those of masked objects are not even read.
    ids = {"group_ids": np.array(["mug"]), "trajectory_ids": np.array([0])}
    padding = take(mine, [2]) | ids | {"mask": [False]}
    first, second = ranks.results([mine, padding])
    np.testing.assert_array_equal(
        first.advantages, graphgpo.compute_advantages(**ABOUT_HALLS).advantages
    )
    assert second.advantages.tolist() == [0.0]
    assert first.metrics["graphgpo/masked_rows"] == 1.0


def test_masked_values_are_not_looked_at(ranks: Ranks) -> None:
    garbage: Columns = {
        "states": [None],
        "next_states": [float("nan")],
        "group_ids": [None],
        "trajectory_ids": [1.5],
        "success": [None],
        "step_ids": [None],
        "mask": [False],
    }
    first, second = ranks.results([ABOUT_HALLS, garbage])
    assert first.metrics["graphgpo/num_steps"] == 3.0
    assert second.state_ids.tolist() == [-1]


def test_containers_may_differ_between_ranks(ranks: Ranks) -> None:
    columns = take(random_walks(4, num_groups=8), range(200))
    calls = dealt(columns, [row % 4 for row in range(200)], 4)
    for name in ("states", "next_states"):
        calls[1][name] = np.array(calls[1][name])
        calls[2][name] = pa.array(calls[2][name])
        calls[3][name] = np.array(calls[3][name], dtype=np.dtypes.StringDType())
    calls[1]["group_ids"] = torch.tensor(calls[1]["group_ids"])
    calls[2]["rewards"] = torch.tensor(calls[2]["rewards"], dtype=torch.float64)
    calls[3]["success"] = np.array(calls[3]["success"], dtype=np.int8)
    order = [row for rank in range(4) for row in range(rank, 200, 4)]
    expected = graphgpo.compute_advantages(**take(columns, order))
    found = [result.advantages for result in ranks.results(calls)]
    np.testing.assert_array_equal(np.concatenate(found), expected.advantages)


def test_states_may_be_boards(ranks: Ranks) -> None:
    boards = np.random.default_rng(0).integers(0, 2, (60, 2, 2)).astype(np.float32)
    columns: Columns = {
        "group_ids": [0] * 60,
        "trajectory_ids": np.repeat(np.arange(12), 5),
        "success": np.repeat(np.arange(12) % 2 == 0, 5),
        "step_ids": np.tile(np.arange(5), 12),
    }
    expected = graphgpo.compute_advantages(boards, **columns)
    halves = [slice(0, 28), slice(28, 60)]
    calls = [
        {name: values[half] for name, values in columns.items()} | {"states": boards[half]}
        for half in halves
    ]
    calls[1]["states"] = list(calls[1]["states"])  # arrays are equal to rows of an array
    for half, result in zip(halves, ranks.results(calls), strict=True):
        np.testing.assert_array_equal(result.state_ids, expected.state_ids[half])
        np.testing.assert_array_equal(result.advantages, expected.advantages[half])


@pytest.mark.parametrize("name", ["states", "group_ids", "trajectory_ids"])
def test_numbers_on_one_rank_and_text_on_another_are_refused(ranks: Ranks, name: str) -> None:
    numbers = ABOUT_HALLS | {"next_states": None, "step_ids": None, name: [1, 2, 3]}
    text = numbers | {name: ["1", "2", "3"]}
    assert ranks.failure([EMPTY, numbers, numbers, text]) == (
        "TypeError",
        f"{name} holds integers on rank 1 but text on rank 3; expected values of one kind on all "
        "ranks: what names the same thing must be the same on every rank (graphgpo.state_key(x) "
        "is; hash(x) differs per process)",
    )


def test_ids_of_two_kinds_are_refused_by_the_rank_that_has_them(ranks: Ranks) -> None:
    mixed = ABOUT_HALLS | {"trajectory_ids": [0, 0, "0"]}
    type_name, text = ranks.failure([ABOUT_HALLS, mixed])
    assert type_name == "TypeError"
    assert text.startswith("rank 1: trajectory_ids[")
    assert "expected ids of one kind" in text


def test_nulls_of_any_column_travel(ranks: Ranks) -> None:
    columns = {
        "success": [None, None, True],
        "episode_returns": [None, float("nan"), 1.0],
        "actions": ["go", None, "go"],
        "peer_keys": [None, 1, ("a", 2)],
    }
    first, second = ranks.call("gather", [ABOUT_HALLS | columns, EMPTY])
    for found in (first.columns, second.columns):
        keys = [graphgpo.state_key(key) for key in ("go", 1, ("a", 2))]
        assert found["success"] == [None, None, True]
        assert found["actions"] == [keys[0], None, keys[0]]
        assert found["peer_keys"] == [None, *keys[1:]]
        np.testing.assert_array_equal(found["episode_returns"], [np.nan, np.nan, 1.0])


@pytest.mark.parametrize("estimator", ["reinforce_pp", "reinforce_pp_baseline", "progress"])
def test_statistics_of_the_batch_are_those_of_all_ranks(ranks: Ranks, estimator: str) -> None:
    columns = random_walks(5)
    rank_of_row = [group % 4 for group in columns["group_ids"]]
    assert_same_as_in_one_process(ranks, columns, rank_of_row, 4, estimator=estimator)


def test_an_estimator_that_reads_text_is_refused(ranks: Ranks) -> None:
    type_name, text = ranks.failure(
        [columns | {"estimator": "proxmo"} for columns in (ABOUT_HALLS, EMPTY)]
    )
    assert type_name == "TypeError"
    assert "expected text: states are compared by their words" in text


def test_a_column_of_numbers_travels_bit_for_bit(ranks: Ranks) -> None:
    rewards = [5e-324, -0.0, 1 / 3]
    step_ids = [-(2**63), -(2**63) + 1, 2**63 - 1]
    calls = [ABOUT_HALLS | {"rewards": rewards, "step_ids": step_ids}, EMPTY]
    for gathered in ranks.call("gather", calls):
        assert gathered.columns["rewards"].tobytes() == np.array(rewards).tobytes()
        assert gathered.columns["step_ids"].tolist() == step_ids


# ---- memory -------------------------------------------------------------------------------------


def test_ranks_remember_what_one_process_does_and_all_the_same(ranks: Ranks) -> None:
    failed = ABOUT_HALLS | {
        "next_states": ["kitchen", "hall", "bedroom"],
        "success": [False] * 3,
        "group_ids": [17] * 3,
    }
    batches = [batch | {"task_ids": ["mug game"] * 3} for batch in (ABOUT_HALLS, failed)]
    memory = graphgpo.GraphMemory()
    expected = [graphgpo.compute_advantages(**batch, memory=memory) for batch in batches]
    assert expected[1].distances.tolist() == [2.0, 1.0, 2.0]  # remembered: nobody won this time
    dealt_batches = [dealt(batch, [0, 1, 1], 2) for batch in batches]
    calls = [{"batches": list(own)} for own in zip(*dealt_batches, strict=True)]
    told = ranks.call("remembered", calls)
    for rank, rows in ((0, slice(0, 1)), (1, slice(1, 3))):
        assert not isinstance(told[rank], Failure), told[rank].trace
        results, remembered = told[rank]
        for result, one in zip(results, expected, strict=True):
            np.testing.assert_array_equal(result.advantages, one.advantages[rows])
            assert result.metrics == one.metrics
        for name, values in memory.state_dict().items():
            np.testing.assert_array_equal(remembered[name], values)


def test_a_memory_on_some_ranks_only_is_refused_on_all(ranks: Ranks) -> None:
    memory = graphgpo.GraphMemory()
    calls = [ABOUT_HALLS | {"memory": memory, "task_ids": [1] * 3}, EMPTY]
    assert ranks.failure(calls) == (
        "ValueError",
        "memory is a GraphMemory on rank 0 but no option on rank 1; expected the same options on "
        "every rank",
    )
    calls = [ABOUT_HALLS | {"memory": memory}, EMPTY | {"memory": memory, "task_ids": []}]
    kind, text = ranks.failure(calls)
    assert (kind, text[:25]) == ("ValueError", "rank 0: task_ids is None;")
    calls = [ABOUT_HALLS | {"memory": memory, "task_ids": [1] * 3, "node_history": 2}] * 2
    kind, text = ranks.failure(calls)
    assert (kind, text[:33]) == ("ValueError", "rank 0: similar and node_history ")
    kind, text = ranks.failure([ABOUT_HALLS | {"task_ids": [1] * 3}, EMPTY])
    assert (kind, text[:44]) == ("ValueError", "rank 0: task_ids are given without a memory,")


# ---- what travels -------------------------------------------------------------------------------


def test_a_call_is_two_collectives_of_integers_on_every_rank(ranks: Ranks) -> None:
    long_text = ABOUT_HALLS | {"states": ["hall" * 10_000, "kitchen", "hall"]}
    for tensors, num_objects in ranks.call("traffic", [long_text, EMPTY]):
        header = (torch.int64, (len(Header._fields),))
        # states, next states, groups, trajectories, step ids, flags
        assert tensors == [header, (torch.int64, (6, 3))]
        assert num_objects == 0


def test_a_failure_is_one_more_collective_of_bytes_and_nothing_is_unpickled(ranks: Ranks) -> None:
    refused = ABOUT_HALLS | {"group_ids": [Shouting()] * 3}
    for tensors, num_objects in ranks.call("traffic", [refused, EMPTY]):
        header = (torch.int64, (len(Header._fields),))
        assert tensors == [header, (torch.uint8, (MAX_TEXT,))]
        assert num_objects == 0


@pytest.mark.parametrize("character", ["x", '"', "\n", "\u20ac", "\ud800", "\U0001f600"])
def test_a_long_error_is_cut_and_fits(character: str) -> None:
    options = {character * 100 + str(i): repr(character * 1000) for i in range(100)}
    report = Report(error=ValueError(character * 100_000), options=options)
    text = report.as_text().encode("utf-8", "backslashreplace")
    assert len(text) <= MAX_TEXT
    error = blame([text.decode()], [Header(*report.header().tolist())])
    assert str(error).startswith(f"rank 0: {character}" if character != "\ud800" else "rank 0: ")


def test_an_absent_rank_costs_the_timeout_of_the_group_and_no_more(ranks: Ranks) -> None:
    calls = [EMPTY | {"is_absent": False}, EMPTY | {"is_absent": True}]
    (seconds, text), _ = ranks.call("absent", calls)
    assert IMPATIENT_S - 1 < seconds < 5 * IMPATIENT_S  # a machine under load takes longer
    assert text
    ranks.results([ABOUT_HALLS, EMPTY])


def test_a_late_answer_is_not_taken_for_the_next(ranks: Ranks) -> None:
    ranks.connections[0].send((-1, "slow", 1, {"seconds": 0.0}))  # nobody waits for this one
    assert ranks.call("slow", [{"seconds": 0.25}]) == [0.25]


def test_gathered_groups_are_arguments_of_other_functions(ranks: Ranks) -> None:
    calls = dealt(ABOUT_HALLS, [0, 1, 1], 2)
    first, second = ranks.call("gather", calls)
    assert (first.own, second.own) == (slice(0, 1), slice(1, 3))
    assert first.rows_of_rank == second.rows_of_rank == (1, 2)
    graph = graphgpo.build_graph(**second.columns)
    keys = [graphgpo.state_key(state) for state in ("hall", "kitchen", "sink")]
    assert [state for state in graph.node_states if isinstance(state, np.int64)] == keys[:2]
    np.testing.assert_array_equal(graph.node_distances, [2.0, 1.0, 0.0, 3.0])
    assert second.columns["next_states"] == [keys[1], keys[2], None]


# ---- one rank fails, all do ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_rank_that_refuses_its_rows_fails_all(ranks: Ranks, size: int) -> None:
    calls = [ABOUT_HALLS | {"trajectory_ids": [rank] * 3} for rank in range(size)]
    calls[-1] = calls[-1] | {"states": ["hall", {"a set"}, "hall"]}
    type_name, text = ranks.failure(calls)
    assert type_name == "TypeError"
    assert text.startswith(f"rank {size - 1}: states[1] is {{'a set'}} (set); expected")


def test_the_rank_to_blame_keeps_its_own_exception(ranks: Ranks) -> None:
    bad = ABOUT_HALLS | {"omgea": 0.5}
    fine, failed = ranks.call("advantages", [ABOUT_HALLS, bad])
    told = "unknown option 'omgea' of estimator 'graphgpo'; did you mean 'omega'?"
    assert fine.text == failed.text == f"rank 1: {told}"
    assert (fine.cause, failed.cause) == (None, told)


def test_ranks_go_on_after_a_failure(ranks: Ranks) -> None:
    ranks.failure([ABOUT_HALLS | {"states": None}, EMPTY])
    ranks.results([ABOUT_HALLS, EMPTY])


class Unreadable:
    """A column that cannot be read, for a reason of its own."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise ZeroDivisionError("out of order")


class Shouting:
    """No id, with more to say than a rank may send."""

    def __repr__(self) -> str:
        return "!" * 10 * MAX_TEXT


class ArrowWithoutLength:
    """What tells how many rows it has only when it is read."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        return pa.array(self.values).__arrow_c_array__(requested_schema)


@pytest.mark.parametrize(
    ("wrong", "type_name", "text"),
    [
        (
            {"group_ids": ArrowWithoutLength([0] * 4)},
            "ValueError",
            "states has 3 rows but group_ids has 4; every column needs one value per step",
        ),
        (
            {"states": np.zeros((3, 2)), "next_states": np.zeros((3, 2), np.float32)},
            "ValueError",
            "states and next_states are numeric arrays whose rows differ in dtype or shape",
        ),
        ({"success": [False, True]}, "ValueError", "states has 3 rows but success has 2"),
        ({"states": ["hall", None, "hall"]}, "ValueError", "states[1] is null; expected a value"),
        ({"num_threads": 0}, "ValueError", "num_threads is 0; expected an int >= 1, or None"),
        (
            {"omega": 2.0},
            "ValueError",
            "omega is 2.0; expected a number between 0 and 1, both excluded",
        ),
        ({"group_ids": np.zeros(3)}, "TypeError", "group_ids is an array of dtype float64"),
        ({"rewards": Unreadable()}, "RuntimeError", "ZeroDivisionError: out of order"),
    ],
)
def test_what_a_rank_finds_in_its_rows_is_told_by_rank(
    ranks: Ranks, wrong: Columns, type_name: str, text: str
) -> None:
    found = ranks.failure([EMPTY, ABOUT_HALLS | wrong])
    assert found[0] == type_name
    assert found[1].startswith(f"rank 1: {text}")


def test_what_shows_in_whole_groups_only_is_told_by_rank_and_row(ranks: Ranks) -> None:
    with_nan = ABOUT_HALLS | {"rewards": [0.0, float("nan"), 0.0]}
    other = ABOUT_HALLS | {"rewards": [0.0] * 3, "trajectory_ids": [2, 2, 3]}
    assert ranks.failure([other, with_nan]) == (
        "ValueError",
        "rewards[1] of rank 1 is nan; expected a finite number",
    )
    with_gap = ABOUT_HALLS | {"next_states": None}
    calls = dealt(with_gap | {"step_ids": [0, 2, 0]}, [0, 1, 1], 2)
    assert ranks.failure(calls) == (
        "ValueError",
        "step_ids[0] of rank 1 is 2 but the step before it in its trajectory (row 0 of rank 0) is "
        "0; expected no gap, because without next_states a step leads to the state of the "
        "following step",
    )
    type_name, text = ranks.failure([ABOUT_HALLS, ABOUT_HALLS | {"success": [False] * 3}])
    assert type_name == "ValueError"
    assert text.startswith("success[1] of rank 1 is False but row 1 of rank 0 has True; rows with")


@pytest.mark.parametrize(
    ("others", "text"),
    [
        ({"omega": 0.5}, "omega is 0.1 on rank 0 but 0.5 on rank 1; expected the same options"),
        (
            {"rewards": [0.0] * 3},
            "rewards is given on rank 1 but None on rank 0; expected the same columns on every "
            "rank that has rows",
        ),
        (
            {"next_states": None},
            "next_states is given on rank 0 but None on rank 1; expected the same columns",
        ),
    ],
)
def test_ranks_that_differ_in_options_or_columns_are_refused(
    ranks: Ranks, others: Columns, text: str
) -> None:
    found = ranks.failure([ABOUT_HALLS, ABOUT_HALLS | {"trajectory_ids": [2, 2, 3]} | others])
    assert found[0] == "ValueError"
    assert found[1].startswith(text)


def test_a_mask_on_some_ranks_is_not_to_blame(ranks: Ranks) -> None:
    calls = [ABOUT_HALLS | {"trajectory_ids": [rank] * 3} for rank in range(4)]
    calls[1]["mask"] = [True] * 3
    calls[3]["rewards"] = [0.0] * 3
    _, text = ranks.failure(calls)
    assert text.startswith("rewards is given on rank 3 but None on rank 0")


def test_an_empty_rank_must_have_the_same_options_too(ranks: Ranks) -> None:
    _, text = ranks.failure([ABOUT_HALLS, EMPTY | {"estimator": "gigpo"}])
    assert text.startswith("estimator is 'graphgpo' on rank 0 but 'gigpo' on rank 1")


def test_arrays_of_different_rows_are_refused(ranks: Ranks) -> None:
    ids = {name: ABOUT_HALLS[name] for name in ("group_ids", "trajectory_ids", "success")}
    calls: list[Columns] = [
        EMPTY,
        ids | {"states": np.zeros((3, 2), np.float32)},
        ids | {"states": np.zeros((3, 2)), "trajectory_ids": [2, 2, 3]},
        ids | {"states": np.zeros((3, 2)), "trajectory_ids": [4, 4, 5]},
    ]
    assert ranks.failure(calls) == (
        "ValueError",
        "states are an array of float32 rows of shape (2,) on rank 1 but of float64 rows of shape "
        "(2,) on rank 2; expected rows of one dtype and shape, or no state of one rank could equal "
        "one of the other",
    )


def test_keys_against_text_are_judged_over_all_ranks(ranks: Ranks) -> None:
    numbers = ABOUT_HALLS | {"states": [1, 2, 1], "next_states": ["b", "c", None]}
    more = numbers | {"trajectory_ids": [2, 2, 3]}
    told = "states holds integers but next_states text; expected states of one kind"
    nothing_known = take(numbers, [2]) | {"trajectory_ids": [4]}
    padding = numbers | {"states": [None] * 3, "next_states": [None] * 3, "mask": [False] * 3}
    type_name, text = ranks.failure([numbers, more, nothing_known, padding])
    assert type_name == "TypeError"
    assert text.startswith(told)
    mixed = more | {"next_states": [2, 3, "end"]}  # as the whole column is, this is fine
    ranks.results([numbers, mixed])


def test_an_array_of_boards_against_none_is_refused(ranks: Ranks) -> None:
    boards = ABOUT_HALLS | {"states": np.zeros((3, 2)), "step_ids": None}
    type_name, text = ranks.failure([boards, EMPTY])
    assert type_name == "TypeError"
    assert text.startswith("one of states and next_states is an array of rows but the other holds")


# ---- groups of processes ------------------------------------------------------------------------


def test_without_a_process_group_it_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"torch\.distributed is not initialised; call"):
        distributed.compute_advantages_across_ranks(**ABOUT_HALLS)


def test_a_process_outside_the_group_is_told(ranks: Ranks) -> None:
    inside, *outside = ranks.call("outside", [ABOUT_HALLS] * 4)
    assert len(inside) == 3
    for failure in outside:
        assert isinstance(failure, Failure)
        assert failure.text.startswith("process_group does not contain this process")


@pytest.mark.parametrize(
    ("backends", "device"),
    [
        ("cpu:gloo,cuda:gloo", "cpu"),
        ("cuda:nccl", "cuda"),
        ("cpu:gloo,cuda:nccl", "cpu"),
        ("xpu:xccl", "xpu"),
    ],
)
def test_tensors_are_where_the_backend_takes_them(backends: str, device: str) -> None:
    assert device_of(backends) == torch.device(device)


def test_every_column_travels(ranks: Ranks) -> None:
    columns = random_walks(6) | {"mask": None}
    columns["actions"] = columns["peer_keys"] = columns["states"]
    columns["mask"] = [True] * num_rows(columns)
    assert columns.keys() == COLUMNS.keys()
    (gathered,) = ranks.call("gather", [columns])
    for name, column in COLUMNS.items():
        found = gathered.columns[name]
        if column.kind in ("state", "id", "key"):
            assert found.tolist() == [graphgpo.state_key(value) for value in columns[name]]
        else:
            assert found.tolist() == columns[name]


def test_what_is_no_column_is_named(ranks: Ranks) -> None:
    assert ranks.failure([ABOUT_HALLS | {"omega": 0.5}], "gather") == (
        "TypeError",
        "omega is no column; expected one of " + ", ".join(COLUMNS),
    )
    _, text = ranks.failure([ABOUT_HALLS | {"reward": [0.0] * 3}])
    assert text.endswith("did you mean 'rewards'?")


def test_states_lose_their_noise_before_they_travel_and_get_their_history_after(
    ranks: Ranks,
) -> None:
    columns = random_walks(4)
    rows = range(num_rows(columns))
    columns["states"] = [f"10:03:{row % 60:02} {columns['states'][row]}" for row in rows]
    columns["next_states"] = [
        None if state is None else f"10:04:{row % 60:02} {state}"
        for row, state in enumerate(columns["next_states"])
    ]
    rank_of_row = [row % 2 for row in rows]
    merging = {"normalise": {"timestamps": True}, "node_history": 2}
    assert_same_as_in_one_process(ranks, columns, rank_of_row, 2, **merging)


def test_ranks_agree_on_what_counts_as_one_state_and_near_duplicates_are_refused(
    ranks: Ranks,
) -> None:
    type_name, text = ranks.failure([ABOUT_HALLS, ABOUT_HALLS | {"node_history": 2}])
    assert type_name == "ValueError"
    assert "node_history" in text
    type_name, text = ranks.failure([ABOUT_HALLS | {"similar": 0.9}] * 2)
    assert type_name == "ValueError"
    assert "similar is 0.9; expected None: near-duplicates are found among the texts" in text
