"""Lists that are numbered while they are read: the answer is that of a key per row."""

from __future__ import annotations

import ctypes
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphgpo
from graphgpo import _core, ingest

FIELDS = ("advantages", "distances", "next_distances", "state_ids", "next_state_ids")
TEXTS: list[Any] = ["hall", "Küche", "厨房 🍵", "x" * 300, "x" * 299 + "y", "7", ""]
INTS: list[Any] = [7, 0, -(2**63), 2**63 - 1]


def compute(**columns: Any) -> graphgpo.StepAdvantages:
    return graphgpo.compute_advantages(**columns, num_threads=1)


def assert_is_as_with_keys(columns: dict[str, Any]) -> None:
    result = compute(**columns)
    with patch.object(ingest, "_numbered", return_value={}):
        expected = compute(**columns)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(result, field), getattr(expected, field))
    assert result.metrics == expected.metrics


def is_numbered(**columns: Any) -> bool:
    rows = len(columns["states"])
    group_ids = columns.pop("group_ids", np.zeros(rows, np.int64))
    given_columns: dict[str, Any] = {
        "next_states": None,
        "mask": None,
        "stable": False,
        "num_threads": 1,
    }
    column = ingest.key_column("group_ids", group_ids, None, is_id=True)
    numbered = _core.number_objects(group_ids=column, **{**given_columns, **columns})
    return numbered is not None


@st.composite
def batches(draw: st.DrawFn) -> dict[str, Any]:
    """Groups in runs; next states that are the following row's object, equal to it, or neither."""
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    rows = sum(lengths)
    values = draw(st.sampled_from([TEXTS, INTS]))
    any_value = st.sampled_from(values)
    states = [draw(any_value) for _ in range(rows)]
    kinds = draw(st.lists(st.sampled_from("oecn"), min_size=rows, max_size=rows))
    next_states = [
        draw(any_value)
        if kind == "n" or row + 1 == rows
        else states[row + 1]
        if kind == "o"
        else type(states[row + 1])(str(states[row + 1]).encode().decode())
        if kind == "e"
        else values[0]
        for row, kind in enumerate(kinds)
    ]
    mask = draw(st.none() | st.lists(st.booleans(), min_size=rows, max_size=rows))
    return {
        "states": states,
        "next_states": next_states,
        "group_ids": np.repeat(np.arange(len(lengths)), lengths),
        "trajectory_ids": np.arange(rows) // draw(st.integers(1, 7)),
        "success": np.full(rows, draw(st.booleans())),
        "mask": mask,
    }


@given(batches())
def test_numbers_are_as_good_as_keys(columns: dict[str, Any]) -> None:
    assert_is_as_with_keys(columns)
    assert_is_as_with_keys({**columns, "next_states": None})
    assert_is_as_with_keys({**columns, "states": tuple(columns["states"])})


def keys_and_nulls(columns: dict[str, Any], name: str) -> list[tuple[int, bool]]:
    """Of rows that exist."""
    keys, is_null = _core.nullable_stable_keys(column=columns[name])
    rows = slice(None) if columns["mask"] is None else columns["mask"]
    return list(zip(keys[rows].tolist(), is_null[rows].tolist(), strict=True))


@given(batches())
def test_numbers_know_the_stable_keys_of_what_they_stand_for(columns: dict[str, Any]) -> None:
    plain = {name: values for name, values in columns.items() if values is not None}
    keyed = ingest.read_columns(plain, stable=True)
    numbered = ingest.read_columns(plain, stable=True, num_threads=2)
    for name in ("states", "next_states"):
        assert numbered[name].is_numbered
        assert keys_and_nulls(numbered, name) == keys_and_nulls(keyed, name)
    plain_numbers = ingest.read_columns(plain, stable=False, num_threads=2)
    with pytest.raises(RuntimeError, match="a column was numbered without its stable keys"):
        _core.nullable_stable_keys(column=plain_numbers["states"])


@given(batches())
def test_a_memory_of_numbered_columns_is_that_of_keys(columns: dict[str, Any]) -> None:
    def remembered() -> tuple[graphgpo.StepAdvantages, dict[str, Any]]:
        memory = graphgpo.GraphMemory()
        result = compute(**columns, task_ids=columns["group_ids"], memory=memory)
        return result, memory.state_dict()

    result, edges = remembered()
    with patch.object(ingest, "_numbered", return_value={}):
        expected, expected_edges = remembered()
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(result, field), getattr(expected, field))
    for name, values in expected_edges.items():
        np.testing.assert_array_equal(edges[name], values)


def test_an_object_may_end_one_group_and_begin_the_next() -> None:
    states = ["a", "b", "c"]
    columns = {
        "states": states,
        "next_states": ["b", states[2], "b"],
        "group_ids": [0, 0, 1],
        "trajectory_ids": [0, 0, 0],
        "success": [False, False, False],
    }
    assert is_numbered(states=states, next_states=columns["next_states"])
    assert compute(**columns).next_state_ids.tolist() == [1, 2, 4]
    assert_is_as_with_keys(columns)


def test_threads_share_the_groups_and_change_nothing() -> None:
    rng = np.random.default_rng(7)
    rows = 40_000
    states = [f"state {code} " + "x" * (code % 300) for code in rng.integers(0, 900, rows)]
    columns: dict[str, Any] = {
        "states": states,
        "next_states": [*states[1:], None],
        "group_ids": np.arange(rows) // 700,
        "trajectory_ids": np.arange(rows) // 70,
        "success": np.arange(rows) // 70 % 2 == 0,
    }
    alone = compute(**columns)
    shared = graphgpo.compute_advantages(**columns, num_threads=3)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(shared, field), getattr(alone, field))
    columns["states"] = [*states[:-1], {1}]
    with pytest.raises(TypeError, match=r"states\[39999\] is \{1\} \(set\)"):
        graphgpo.compute_advantages(**columns, num_threads=3)


def test_columns_of_two_worlds_are_not_numbered() -> None:
    assert not is_numbered(states=[1, 2], next_states=["2", "3"])
    assert not is_numbered(states=["1", "2"], next_states=[2, None])
    assert is_numbered(states=[1, "2"], next_states=["2", "3"])
    assert is_numbered(states=[1, 2], next_states=[None, None])
    with pytest.raises(TypeError, match="states holds integers but next_states text"):
        compute(
            states=[1, 2],
            next_states=["2", "3"],
            group_ids=[0, 0],
            trajectory_ids=[0, 0],
            success=[True, True],
        )


def test_a_table_beyond_the_cache_is_asked_ahead() -> None:
    rows = 200_000
    assert_is_as_with_keys(
        {
            "states": [f"state {row * 7919 % 90_001}" for row in range(rows)],
            "group_ids": np.zeros(rows, np.int64),
            "trajectory_ids": np.arange(rows) // 50,
            "success": np.arange(rows) // 50 % 2 == 0,
        }
    )


def test_only_plain_values_of_groups_in_runs_are_numbered() -> None:
    assert is_numbered(states=["a", 1, None], next_states=("a", "b", None))
    assert not is_numbered(states=["a", b"a"])
    assert not is_numbered(states=["a", 2**63])
    assert not is_numbered(states=["a", "b"], next_states=["a", 1.0])
    assert not is_numbered(states=["a", "b", "c"], group_ids=["x", "y", "x"])


def test_lists_of_other_lengths_are_left_to_those_who_say_so() -> None:
    assert not is_numbered(states=["a", "b"], next_states=["a"])
    assert not is_numbered(states=["a", "b"], group_ids=[0])
    with pytest.raises(TypeError, match="expected a list or tuple"):
        is_numbered(states="ab")
    for array in (np.zeros((2, 1), object), np.zeros(4, object)[::2], np.zeros(2)):
        with pytest.raises(TypeError, match="expected a contiguous array of objects with one axis"):
            is_numbered(states=array)


def object_array(values: Any) -> Any:
    column = np.empty(len(values), object)
    column[:] = values
    return column


@given(batches(), st.sampled_from(["whole", "strided", "read-only", "states alone"]))
def test_object_arrays_are_numbered_where_they_lie(columns: dict[str, Any], how: str) -> None:
    expected = compute(**columns)
    for name in ("states",) if how == "states alone" else ("states", "next_states"):
        values = object_array(columns[name])
        if how == "strided":
            values = np.repeat(values, 2)[::2]
        values.setflags(write=how != "read-only")
        columns[name] = values
    result = compute(**columns)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(result, field), getattr(expected, field))
    assert result.metrics == expected.metrics
    if how != "strided":
        given_columns = {name: columns[name] for name in ("states", "next_states")}
        assert is_numbered(**given_columns)


def null_where(array: Any, rows: list[int]) -> Any:
    """Entries that were never written, as C code may leave them; NumPy takes them for None."""
    copy = object_array(array.tolist())
    for row in rows:
        entry = ctypes.cast(copy.ctypes.data, ctypes.POINTER(ctypes.c_void_p))
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(copy[row]))
        entry[row] = None
    return copy


def test_an_entry_without_an_object_is_none() -> None:
    states, next_states = object_array(["a", "b", "c"]), object_array(["b", "c", "d"])
    columns: dict[str, Any] = {
        "group_ids": [0, 0, 0],
        "trajectory_ids": [0, 0, 0],
        "success": [False, False, False],
    }
    last = null_where(next_states, [2])
    assert last.tolist() == ["b", "c", None]
    assert is_numbered(states=states, next_states=last)
    result = compute(states=states, next_states=last, **columns)
    expected = compute(states=states, next_states=["b", "c", None], **columns)
    np.testing.assert_array_equal(result.next_state_ids, expected.next_state_ids)
    with pytest.raises(ValueError, match=r"states\[1\] is null"):
        compute(states=null_where(states, [1]), **columns)
    columns["group_ids"] = null_where(object_array(["g", "g", "g"]), [0])
    with pytest.raises(ValueError, match=r"group_ids\[0\] is null"):
        compute(states=states, **columns)


def test_ids_in_runs_of_one_object_are_those_of_objects_apart() -> None:
    names = ["g" * 40, "h" * 40]
    runs = object_array([names[0], names[0], names[1], names[1], names[0]])
    apart = object_array([str(name.encode(), "ascii") for name in runs])
    columns: dict[str, Any] = {"states": list("abcde"), "success": [True] * 5}
    for mask in (None, [True, False, False, True, True]):
        results = [
            compute(**columns, group_ids=ids, trajectory_ids=ids, mask=mask)
            for ids in (runs, apart, runs.tolist(), tuple(apart))
        ]
        for result in results[1:]:
            np.testing.assert_array_equal(result.state_ids, results[0].state_ids)
            assert result.metrics == results[0].metrics


def test_a_wrong_value_is_named_before_a_wrong_group() -> None:
    with pytest.raises(TypeError, match=r"states\[1\] is \{1\} \(set\)"):
        compute(states=["a", {1}], group_ids=[0, 0.5], trajectory_ids=[0, 0], success=[True, True])


def test_copies_that_disagree_are_still_quoted() -> None:
    with pytest.raises(ValueError, match=r"states\[1\] is 'Küche' but row 0 has 'hall'") as error:
        compute(
            states=["hall", "Küche"],
            group_ids=[0, 0],
            trajectory_ids=[0, 0],
            step_ids=[3, 3],
            success=[True, True],
        )
    assert error.value.__context__ is None
