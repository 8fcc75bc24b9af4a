"""Every kind of column: the same values make the same states, whatever holds them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import graphgpo

TEXTS = [
    "hall",
    "kitchen",
    "",
    "hall",
    "Küche",
    "\x00",
    "厨房",
    "厨房 🍵",
    "kitchen",
    "a" * 40,
    "ü" * 200,
]


def node_ids(states: Any, **columns: Any) -> list[int]:
    """Which states are equal: the node of every row, each row a trajectory of its own."""
    rows = len(states)
    result = graphgpo.compute_advantages(
        states,
        group_ids=np.zeros(rows, np.int64),
        trajectory_ids=np.arange(rows),
        success=np.zeros(rows, bool),
        **columns,
    )
    return [int(i) for i in result.state_ids]


def as_stream(values: Any) -> pa.ChunkedArray:
    array = pa.array(values)
    return pa.chunked_array([array[:3], array[3:3], array[3:]])


class OnlyCapsules:
    """A column that offers the Arrow PyCapsule interface and nothing else."""

    def __init__(self, values: Any) -> None:
        self.array = pa.array(values)

    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        return self.array.__arrow_c_array__(requested_schema)

    def __len__(self) -> int:
        return len(self.array)


TEXT_COLUMNS = {
    "tuple": tuple,
    "object array": lambda x: np.array(x, dtype=object),
    "NumPy U, aligned": lambda x: np.array(x),
    "NumPy U, other byte order": lambda x: np.array(x).astype(np.array(x).dtype.newbyteorder(">")),
    "NumPy U, strided": lambda x: np.repeat(np.array(x), 2)[::2],
    "NumPy StringDType": lambda x: np.array(x, dtype=np.dtypes.StringDType()),
    "np.str_": lambda x: [np.str_(text) for text in x],
    "str subclass": lambda x: [type("Text", (str,), {})(text) for text in x],
    "Arrow utf8": pa.array,
    "Arrow large_utf8": lambda x: pa.array(x, pa.large_string()),
    "Arrow string_view": lambda x: pa.array(x, pa.string_view()),
    "Arrow dictionary": lambda x: pa.array(x).dictionary_encode(),
    "Arrow chunks": as_stream,
    "Arrow slice": lambda x: pa.array(["before", "it", *x, "after"])[2:-1],
    "capsules only": OnlyCapsules,
    "polars": pl.Series,
    "polars categorical": lambda x: pl.Series(x, dtype=pl.Categorical),
    "pandas": pd.Series,
    "pandas categorical": lambda x: pd.Series(x, dtype="category"),
    "pandas Arrow": lambda x: pd.Series(x, dtype=pd.ArrowDtype(pa.string())),
}


@pytest.mark.parametrize("make", TEXT_COLUMNS.values(), ids=TEXT_COLUMNS.keys())
def test_text_is_the_same_in_every_container(make: Any) -> None:
    texts = TEXTS
    column = make(texts)
    if isinstance(column, np.ndarray) and column.dtype.kind == "U":
        # NumPy's fixed-width text cannot end in NUL.
        texts = [text.rstrip("\x00") for text in texts]
    assert list(graphgpo.state_keys(column)) == [graphgpo.state_key(text) for text in texts]
    assert node_ids(column) == node_ids(texts)


@pytest.mark.parametrize("make", TEXT_COLUMNS.values(), ids=TEXT_COLUMNS.keys())
def test_equal_texts_in_two_containers_are_one_state(make: Any) -> None:
    texts = [text for text in TEXTS if not text.endswith("\x00")]
    for make_next in TEXT_COLUMNS.values():
        result = graphgpo.compute_advantages(
            make(texts),
            make_next([*texts[1:], texts[0]]),
            group_ids=[0] * len(texts),
            trajectory_ids=[0] * len(texts),
            success=[False] * len(texts),
        )
        assert result.metrics["graphgpo/broken_links"] == 0
        assert result.next_state_ids.tolist() == [*result.state_ids[1:].tolist(), 0]


BYTES = [b"a", b"", b"b", b"a\xff\x00\xfe", b"0123456789abcdef"]
BYTES_COLUMNS = {
    "bytearray": lambda x: [bytearray(value) for value in x],
    "memoryview": lambda x: [memoryview(value) for value in x],
    "strided memoryview": lambda x: [
        memoryview(bytes(b for byte in value for b in (byte, 0)))[::2] for value in x
    ],
    "NumPy S": lambda x: np.array(x),
    "np.bytes_": lambda x: [np.bytes_(value) for value in x],
    "Arrow binary": pa.array,
    "Arrow large_binary": lambda x: pa.array(x, pa.large_binary()),
    "Arrow binary_view": lambda x: pa.array(x, pa.binary_view()),
    "polars": lambda x: pl.Series(x, dtype=pl.Binary),
}


@pytest.mark.parametrize("make", BYTES_COLUMNS.values(), ids=BYTES_COLUMNS.keys())
def test_bytes_are_the_same_in_every_container(make: Any) -> None:
    assert list(graphgpo.state_keys(make(BYTES))) == [graphgpo.state_key(value) for value in BYTES]


def test_a_nan_in_a_dictionary_counts_only_where_a_row_uses_it() -> None:
    column = pa.DictionaryArray.from_arrays(
        pa.array([1, None, 1, 0]), pa.array([float("nan"), 2.0, 3.0])
    )
    assert graphgpo.state_keys(column[2:3]).tolist() == [graphgpo.state_key(2.0)]
    with pytest.raises(ValueError, match=r"states\[3\] is nan; expected a number"):
        node_ids(column, mask=[True, False, True, True])


def test_a_dictionary_entry_that_is_not_there_is_an_error() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 7, -1]), pa.array(["a", "b"]), safe=False)
    with pytest.raises(ValueError, match=r"states\[1\] is entry 7 of a dictionary of 2"):
        node_ids(column)
    with pytest.raises(ValueError, match=r"states\[2\] is entry -1 of a dictionary of 2"):
        node_ids(column, mask=[True, False, True])


def test_dictionaries_hold_any_scalar() -> None:
    for values in ([b"a", b"b", b"a"], [3, 2**40, 3], [True, False, True], [0.5, -0.0, 0.5]):
        encoded = pa.array(values).dictionary_encode()
        assert graphgpo.state_keys(encoded).tolist() == [graphgpo.state_key(v) for v in values]


def test_half_floats_are_floats() -> None:
    halves = np.array(
        [0, -0.0, 1, -1.5, 65504, 2**-24, -(2**-14), 0.1, np.inf, -np.inf, 1023 * 2**-24],
        np.float16,
    )
    expected = [graphgpo.state_key(float(value)) for value in halves]
    for column in (halves, list(halves), pa.array(halves, pa.float16())):
        assert graphgpo.state_keys(column).tolist() == expected
    rewards = pa.array(halves[:3], pa.float16())
    result = graphgpo.compute_advantages(
        ["a", "b", "c"],
        group_ids=[0] * 3,
        trajectory_ids=[0, 1, 2],
        success=[False] * 3,
        rewards=rewards,
        estimator="grpo",
    )
    assert result.advantages.argmax() == 2


EMPTY_COLUMNS: list[Any] = [
    [],
    (),
    np.array([]),
    np.zeros((0, 3), np.float32),
    np.array([], "U5"),
    np.array([], "M8[s]"),
    pa.array([], pa.float64()),
    pa.array([], pa.list_(pa.int8())),
    pa.chunked_array([], pa.timestamp("s")),
    pl.Series([], dtype=pl.Float32),
    pd.Series([], dtype=float),
    torch.zeros(0),
]


@pytest.mark.parametrize("empty", EMPTY_COLUMNS, ids=lambda column: type(column).__name__)
def test_an_empty_column_may_be_of_any_type(empty: Any) -> None:
    assert graphgpo.state_keys(empty).shape == (0,)
    flat = empty if getattr(empty, "ndim", 1) == 1 else []
    result = graphgpo.compute_advantages(
        empty,
        [],
        group_ids=empty,
        trajectory_ids=empty,
        success=flat,
        step_ids=flat,
        rewards=flat,
        mask=flat,
    )
    assert len(result) == 0


def test_fixed_size_binary_is_bytes() -> None:
    values = [b"abcd", b"efgh", b"abcd"]
    column = pa.array(values, pa.binary(4))[1:]
    assert list(graphgpo.state_keys(column)) == [graphgpo.state_key(v) for v in values[1:]]


INTEGERS = [3, 0, 127, 3, 1]
INTEGER_COLUMNS = {
    **{f"NumPy {t}": lambda x, t=t: np.array(x, t) for t in ("i1", "u1", "<i2", ">i4", "u4", "u8")},
    "strided": lambda x: np.repeat(np.array(x), 3)[::3],
    "np.int16": lambda x: [np.int16(value) for value in x],
    **{f"Arrow {t}": lambda x, t=t: pa.array(x, t) for t in ("int8", "uint16", "int64", "uint64")},
    "Arrow chunks": as_stream,
    "polars": pl.Series,
    "pandas": pd.Series,
    "pandas, labelled": lambda x: pd.Series(x, index=range(100, 100 + len(x))),
    "torch": torch.tensor,
    "torch int32": lambda x: torch.tensor(x, dtype=torch.int32),
    "range": lambda x: x,
}


@pytest.mark.parametrize("make", INTEGER_COLUMNS.values(), ids=INTEGER_COLUMNS.keys())
def test_integers_are_the_same_in_every_container(make: Any) -> None:
    expected = [graphgpo.state_key(value) for value in INTEGERS]
    assert list(graphgpo.state_keys(make(INTEGERS))) == expected
    # As ids and as step ids too.
    ids = make(INTEGERS)
    result = graphgpo.compute_advantages(
        ["s"] * 5,
        ["t"] * 5,
        group_ids=ids,
        trajectory_ids=ids,
        step_ids=make([0, 0, 0, 1, 0]),
        success=[False] * 5,
    )
    assert result.metrics["graphgpo/num_groups"] == 4
    assert result.metrics["graphgpo/duplicate_rows"] == 0


def test_integers_outside_int64_are_states_like_any_other() -> None:
    big = [2**63, 2**64 - 1, -(2**63) - 1, 2**200, 2**63 - 1, -(2**63)]
    assert node_ids(big) == [2 * i for i in range(6)]  # a node and a leaf each
    unsigned = np.array([2**63, 2**64 - 1, 5], np.uint64)
    expected = [graphgpo.state_key(int(value)) for value in unsigned]
    assert list(graphgpo.state_keys(unsigned)) == expected
    assert list(graphgpo.state_keys(pa.array(unsigned))) == expected


@pytest.mark.parametrize("dtype", ["?", "i1", "<i4", ">i8", "u2", "f2", "<f4", ">f8"])
@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 2), (5, 0)])
def test_a_row_of_a_numeric_array_is_a_state(dtype: str, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(1)
    rows = random.integers(0, 2, shape).astype(dtype)
    rows[3] = rows[1]
    keys = graphgpo.state_keys(rows)
    assert list(keys) == [graphgpo.state_key(row) for row in rows]
    assert list(graphgpo.state_keys(list(rows))) == list(keys)
    strided = np.repeat(rows, 2, axis=0)[::2]
    assert list(graphgpo.state_keys(strided)) == list(keys)
    # A matching object column: rows on one side, arrays on the other.
    result = graphgpo.compute_advantages(
        rows,
        [*rows[1:], None],
        group_ids=[0] * 5,
        trajectory_ids=[0] * 5,
        success=[False] * 5,
    )
    assert result.metrics["graphgpo/broken_links"] == 0
    result = graphgpo.compute_advantages(
        list(rows), rows, group_ids=[0] * 5, trajectory_ids=range(5), success=[False] * 5
    )
    assert (result.state_ids == result.next_state_ids).all()


def test_tensors_are_their_arrays() -> None:
    boards = torch.arange(12).reshape(4, 3)
    assert list(graphgpo.state_keys(boards)) == list(graphgpo.state_keys(boards.numpy()))
    assert list(graphgpo.state_keys(list(boards))) == list(graphgpo.state_keys(boards))
    weights = torch.ones(4, 2, requires_grad=True)
    assert len(set(graphgpo.state_keys(weights))) == 1
    for numbers in (torch.arange(4), torch.rand(4), torch.rand(4).double(), torch.ones(4) > 0):
        assert list(graphgpo.state_keys(numbers)) == list(graphgpo.state_keys(numbers.tolist()))
        assert list(graphgpo.state_keys(list(numbers))) == list(graphgpo.state_keys(numbers))
    result = graphgpo.compute_advantages(
        boards,
        group_ids=torch.zeros(4, dtype=torch.int64),
        trajectory_ids=torch.arange(4),
        success=torch.tensor([True, False, False, False]),
        rewards=torch.ones(4, dtype=torch.bfloat16),
        mask=torch.tensor([1, 1, 1, 0]),
    )
    assert result.metrics["graphgpo/masked_rows"] == 1


# --- masks, numbers and refusals ------------------------------------------------------------------


@given(
    st.lists(st.sampled_from([None, "", "hall", "küche", 3, 1.5, (1, 2), b"x"]), max_size=8),
    st.lists(st.sampled_from([None, "", "hall", "küche", 3, 1.5, (1, 2), b"x"]), max_size=8),
    st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_a_next_state_that_is_the_following_rows_object_is_like_any_other(
    states: list[Any], next_states: list[Any], mask: list[bool]
) -> None:
    rows = min(len(states), len(next_states))
    states = ["start" if state is None else state for state in states[:rows]]
    next_states = next_states[:rows]
    linked = [
        states[row + 1] if row + 1 < rows and (row % 2 or mask[row]) else next_states[row]
        for row in range(rows)
    ]

    def ids(next_states: list[Any]) -> list[int]:
        result = graphgpo.compute_advantages(
            states,
            next_states,
            group_ids=[0] * rows,
            trajectory_ids=list(range(rows)),
            success=[False] * rows,
            mask=mask[:rows],
        )
        return [*result.state_ids.tolist(), *result.next_state_ids.tolist()]

    assert ids(linked) == ids(pickle.loads(pickle.dumps(linked)))


def saboteur(act: Callable[[], Any]) -> Any:
    """Reads like a tensor, and does something else meanwhile."""

    class Device:
        type = "cpu"

    class Saboteur:
        device = Device()

        def detach(self) -> Any:
            act()
            return self

        def numpy(self) -> Any:
            return np.zeros(2)

    return Saboteur()


def test_a_list_that_shrinks_while_its_elements_are_read_is_refused() -> None:
    states: list[Any] = []
    states[:] = [saboteur(states.clear), saboteur(states.clear)]
    with pytest.raises(ValueError, match="states has become shorter while it was read"):
        graphgpo.compute_advantages(states, group_ids=[0, 0], trajectory_ids=[0, 1], success=[0, 0])


def test_an_array_that_is_resized_while_its_elements_are_read_is_refused() -> None:
    states = np.empty(2, object)
    states[:] = [saboteur(lambda: states.resize(1, refcheck=False)), "hall"]
    with pytest.raises(ValueError, match="states has changed its length while it was read"):
        graphgpo.compute_advantages(states, group_ids=[0, 0], trajectory_ids=[0, 1], success=[0, 0])


def test_masked_values_are_never_looked_at() -> None:
    class Trap:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

    trap: Any = Trap()
    objects = np.empty(3, object)
    objects[:] = [1.0, None, 1.0]
    objects[1] = trap
    result = graphgpo.compute_advantages(
        ["a", trap, "b"],
        ["b", trap, None],
        group_ids=[0, trap, 0],
        trajectory_ids=["t", trap, "t"],
        success=[0, trap, 1],
        step_ids=[0, trap, 1],
        rewards=[0.0, trap, 1.0],
        episode_returns=objects,
        edge_costs=[1, trap, 1],
        action_valid=[True, trap, True],
        mask=[1, 0, 1],
    )
    assert result.distances[0] == 2
    rows = np.array([[1.0, 2.0], [np.nan, np.nan], [1.0, 2.0]])
    assert node_ids(rows, mask=[True, False, True])[1] == -1
    column = pa.array(["a", None, "b"])
    assert node_ids(column, mask=pa.array([True, False, True]))[1] == -1
    assert node_ids([1.0, float("nan")], mask=np.array([1.0, 0.0]))[1] == -1


def numeric_columns() -> dict[str, Any]:
    return {
        "list": list,
        "object array": lambda x: np.array(x, object),
        "float32": lambda x: np.array(x, np.float32),
        "Arrow": pa.array,
        "Arrow chunks": as_stream,
        "polars": pl.Series,
        "pandas": pd.Series,
        "torch": torch.tensor,
        "NumPy scalars": lambda x: [np.float32(value) for value in x],
    }


@pytest.mark.parametrize("make", numeric_columns().values(), ids=numeric_columns().keys())
def test_numbers_are_the_same_in_every_container(make: Any) -> None:
    columns: dict[str, Any] = {
        "group_ids": [0] * 4,
        "trajectory_ids": [0, 0, 1, 1],
    }
    numbers: dict[str, Any] = {
        "rewards": [0.5, 1.0, 0.0, -0.25],
        "episode_returns": [1.0, 1.0, 0.5, 0.5],
        "edge_costs": [0.5, 2.0, 1.0, 4.0],
    }
    flags = {"success": [0, 1, 0, 0], "action_valid": [1, 0, 1, 1], "mask": [1, 1, 1, 1]}
    states = ["a", "b", "a", "c"]
    as_bools: dict[str, Any] = {name: np.array(flags[name], bool) for name in flags}
    expected = graphgpo.compute_advantages(states, **columns, **numbers, **as_bools)
    made = {name: make(values) for name, values in (numbers | flags).items()}
    result = graphgpo.compute_advantages(states, **columns, **made)
    np.testing.assert_array_equal(result.advantages, expected.advantages)
    np.testing.assert_array_equal(result.distances, expected.distances)


# What is wrong with a column, and the whole text of the error. `test_boundary.py` has the errors of
# the batch; these are the rarer ones of single columns.
REFUSED: list[tuple[str, Any, type[Exception], str]] = [
    (
        "states",
        torch.ones(3, 2, dtype=torch.bfloat16),
        TypeError,
        "states is a tensor of torch.bfloat16 that NumPy cannot hold (Got unsupported ScalarType "
        "BFloat16); expected a dense one of a NumPy dtype",
    ),
    (
        "states",
        torch.ones(3, device="meta"),
        TypeError,
        "states is a tensor on meta; expected a CPU tensor: call .cpu()",
    ),
    (
        "states",
        ["a", torch.ones(3, device="meta"), "b"],
        TypeError,
        "states[1] is a tensor on meta; expected a CPU tensor: call .cpu()",
    ),
    (
        "group_ids",
        [0, torch.ones(2, dtype=torch.int64), 0],
        TypeError,
        "group_ids[1] is tensor([1, 1]) (Tensor); expected int, str, bytes, UUID or a tuple of "
        "these",
    ),
    (
        "group_ids",
        [0, torch.tensor(1.5), 0],
        TypeError,
        "group_ids[1] is 1.5 (float); expected int, str, bytes, UUID or a tuple of these",
    ),
    (
        "states",
        np.ma.array([1, 2, 3], mask=[False, True, False]),
        TypeError,
        "states is a masked array; expected a plain one, and `mask` for rows",
    ),
    (
        "rewards",
        [0, np.array([1.0]), 0],
        TypeError,
        "rewards[1] is array([1.]) (ndarray); expected a number",
    ),
    (
        "rewards",
        [0, torch.ones(1), 0],
        TypeError,
        "rewards[1] is tensor([1.]) (Tensor); expected a number",
    ),
    (
        "rewards",
        [0, np.complex64(1), 0],
        TypeError,
        "rewards[1] is np.complex64(1+0j) (complex64); expected a number",
    ),
    (
        "success",
        [0, np.complex64(1), 0],
        TypeError,
        "success[1] is np.complex64(1+0j) (complex64); expected a bool, exactly 0 or 1, or None "
        "for no verdict",
    ),
    (
        "rewards",
        [0, np.timedelta64(1, "s"), 0],
        TypeError,
        "rewards[1] is np.timedelta64(1,'s') (timedelta64); expected a number",
    ),
    (
        "rewards",
        [0, np.str_("1"), 0],
        TypeError,
        "rewards[1] is np.str_('1') (str_); expected a number",
    ),
    (
        "step_ids",
        [0, np.array([1]), 0],
        TypeError,
        "step_ids[1] is array([1]) (ndarray); expected an int",
    ),
    (
        "rewards",
        pa.array([0, 1, 0]).dictionary_encode(),
        TypeError,
        "rewards is an Arrow column of format 'i' with a dictionary of 'l'; expected a number",
    ),
    (
        "states",
        pa.array([0, 1, 2], pa.date32()),
        TypeError,
        "states is an Arrow column of format 'tdD'; expected strings, binary, integers, "
        "booleans, floats, or dictionaries, lists or structs of these",
    ),
]


@pytest.mark.parametrize(
    ("name", "column", "error", "text"),
    REFUSED,
    ids=[f"{i}-{case[0]}" for i, case in enumerate(REFUSED)],
)
def test_a_column_that_cannot_be_read_says_why(
    name: str, column: Any, error: type[Exception], text: str
) -> None:
    arguments: dict[str, Any] = {
        "states": ["a", "b", "c"],
        "group_ids": [0] * 3,
        "trajectory_ids": [0, 1, 2],
        "success": [False] * 3,
    }
    with pytest.raises(error) as caught:
        graphgpo.compute_advantages(**{**arguments, name: column})
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("states", "next_states"),
    [
        (np.zeros((3, 2)), np.zeros(3)),
        (np.zeros(3), np.zeros(3, int)),
        (np.zeros(3, bool), np.zeros(3, int)),
        (np.zeros((3, 2), int), np.zeros((3, 2), np.uint64)),
    ],
)
def test_numeric_columns_whose_rows_cannot_be_equal_are_refused(
    states: Any, next_states: Any
) -> None:
    columns: dict[str, Any] = {
        "group_ids": [0] * 3,
        "trajectory_ids": [0, 1, 2],
        "success": [False] * 3,
    }
    with pytest.raises(ValueError, match="numeric arrays whose rows differ in dtype or shape"):
        graphgpo.compute_advantages(states, next_states, **columns)
    with pytest.raises(ValueError, match="numeric arrays whose rows differ in dtype or shape"):
        graphgpo.compute_advantages(next_states, states, **columns)


def test_integer_columns_of_two_widths_match() -> None:
    result = graphgpo.compute_advantages(
        np.arange(3, dtype=np.uint8),
        np.arange(1, 4, dtype=np.int32),
        group_ids=[0] * 3,
        trajectory_ids=[0] * 3,
        success=[False] * 3,
    )
    assert result.metrics["graphgpo/broken_links"] == 0


def test_rows_match_arrays_and_nothing_else() -> None:
    boards = np.arange(6).reshape(3, 2)
    columns: dict[str, Any] = {
        "group_ids": [0] * 3,
        "trajectory_ids": [0] * 3,
        "success": [False] * 3,
    }
    with pytest.raises(TypeError, match="is an array of rows but the other holds no arrays"):
        graphgpo.compute_advantages(boards, boards.tolist(), **columns)
    with pytest.raises(TypeError, match="is an array of rows but the other holds no arrays"):
        graphgpo.compute_advantages(["a", "b", "c"], boards, **columns)
    columns["trajectory_ids"] = [0, 1, 2]
    unknown = graphgpo.compute_advantages(boards, [None] * 3, **columns)
    assert unknown.metrics["graphgpo/num_states"] == 6


def test_lengths_are_compared_before_values_are_looked_at() -> None:
    with pytest.raises(ValueError, match="states has 3 rows but mask has 2"):
        graphgpo.compute_advantages(
            ["a", "b", {"padding"}],
            group_ids=[0, 0, None],
            trajectory_ids=[0, 0, None],
            success=[0, 1, None],
            mask=[1, 1],
        )
