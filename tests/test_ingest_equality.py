"""Which states and ids are equal: by type and value."""

from __future__ import annotations

import collections
import enum
import uuid
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import graphgpo
from graphgpo import reference
from test_ingest import node_ids

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-2, 2)
    | st.floats(allow_nan=False)
    | st.sampled_from([0.0, -0.0, 1.0])
    | st.text(st.characters(), max_size=3)
    | st.binary(max_size=3)
    | st.sampled_from([np.int64(1), np.float32(1), np.bool_(True), np.str_("1"), bytearray(b"1")])
    | st.sampled_from([np.array([1, 0]), np.array([1.0, -0.0]), np.array([1, 0], "i1")])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2) | st.integers(0, 2), inner, max_size=3)
    ),
    max_leaves=6,
).filter(lambda value: value is not None)


@given(states=st.lists(values, min_size=2, max_size=8))
def test_states_are_equal_exactly_when_their_canonical_forms_are(states: list[Any]) -> None:
    forms = [reference.canonical(state) for state in states]
    keys = graphgpo.state_keys(states)
    nodes = node_ids(states)
    for i, form in enumerate(forms):
        for j, other in enumerate(forms):
            assert (nodes[i] == nodes[j]) == (form == other), (states[i], states[j])
            assert (keys[i] == keys[j]) == (form == other), (states[i], states[j])


DIFFERENT: list[Any] = [
    1,
    1.0,
    True,
    "1",
    b"1",
    [1],
    [1.0],
    [[1]],
    ["1"],
    [True],
    {"1": 1},
    {1: 1},
    {1: [1]},
    [],
    {},
    "",
    b"",
    [[]],
    [None],
    np.array([1]),
    np.array([1], np.int32),
    np.array([1.0]),
    np.array([[1]]),
    np.array(1),
    np.zeros((0, 1)),
    np.zeros((1, 0)),
    "\ud800",
    "\ud800".encode("utf-8", "surrogatepass"),
    "é",
    "e\u0301",  # no Unicode normalisation
    ["a", "b"],
    ["ab"],
    [["a"], "b"],
    2**64,
    -(2**64),
    str(2**64),
]


def test_different_values_are_different_states() -> None:
    assert node_ids(DIFFERENT) == [2 * i for i in range(len(DIFFERENT))]
    assert len(set(graphgpo.state_keys(DIFFERENT))) == len(DIFFERENT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.float32(0.5), 0.5),
        (np.float16(0.5), 0.5),
        (np.int8(1), 1),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(False), False),
        (0.0, -0.0),
        ([1, (2, "x")], (1, [2, "x"])),
        ({"a": 1, "b": [2]}, {"b": (2,), "a": 1}),
        (b"ab", memoryview(b"ab")),
        ({"k": np.array([1.0, -0.0])}, {"k": np.array([1.0, 0.0])}),
        (np.arange(6).reshape(2, 3).T, np.array([[0, 3], [1, 4], [2, 5]])),
        (np.arange(3, dtype=">i4"), np.arange(3, dtype="<i4")),
        (torch.arange(3), np.arange(3)),
    ],
)
def test_equal_values_are_one_state(one: Any, other: Any) -> None:
    assert graphgpo.state_key(one) == graphgpo.state_key(other)
    assert node_ids([one, other])[0] == node_ids([one, other])[1]


def test_enums_and_subclasses_are_what_they_derive_from() -> None:
    class Room(str, enum.Enum):
        HALL = "hall"

    class Size(enum.IntEnum):
        LARGE = 2**70

    class Point(NamedTuple):
        x: int
        y: int

    for value, plain in [
        (Room.HALL, "hall"),
        (Size.LARGE, 2**70),
        (Point(1, 2), [1, 2]),
        (collections.OrderedDict(b=1, a=2), {"a": 2, "b": 1}),
        (collections.Counter("a"), {"a": 1}),
        (np.float64(0.5), 0.5),
    ]:
        assert graphgpo.state_key(value) == graphgpo.state_key(plain)


def test_a_bool_is_one_of_two_whatever_byte_it_is_made_of() -> None:
    odd = np.array([[1, 0], [2, 0]], np.uint8).view(bool)
    assert len(set(graphgpo.state_keys(odd))) == 1
    assert len(set(graphgpo.state_keys(list(odd)))) == 1


def test_an_array_of_any_layout_is_its_values() -> None:
    values = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    packed = np.zeros(2, np.dtype({"names": ["x"], "formats": ["(3,4)f8"], "offsets": [1]}))
    packed["x"] = values
    assert not packed["x"].flags.aligned
    for other in (
        np.asfortranarray(values),
        values[::-1][::-1],
        values.astype(">f8"),
        packed["x"],
        np.lib.stride_tricks.as_strided(values, values.shape, values.strides),
    ):
        assert graphgpo.state_key(other) == graphgpo.state_key(values)
        assert list(graphgpo.state_keys(other)) == list(graphgpo.state_keys(values))


def test_the_text_encoder_agrees_with_python_at_every_width_and_length() -> None:
    for alphabet in ("ab", "aé", "aé厨", "a厨🍵", "é", "\ud800a\udfff"):
        for length in range(20):
            text = (alphabet * length)[:length]
            utf8 = text.encode("utf-8", "surrogatepass")
            as_arrow = graphgpo.state_keys(pa.array([utf8]).view(pa.string()))
            assert as_arrow.tolist() == [graphgpo.state_key(text)]
            assert graphgpo.state_keys(np.array([text])).tolist() == [graphgpo.state_key(text)]


class Uuid(uuid.UUID):
    """A class of somebody's own."""


# Two ids each; the others are written otherwise.
IDS_OF_A_KIND: list[list[Any]] = [
    [1, np.int8(1), torch.tensor(1), 2**70],
    ["1", np.str_("1"), str(uuid.UUID(int=1))],
    [b"1", np.bytes_(b"1"), b"2"],
    [uuid.UUID(int=1), Uuid(int=1), uuid.UUID(int=2)],
    [(0, "a"), (np.int64(0), np.str_("a")), (0, "b")],
]


@pytest.mark.parametrize("names", IDS_OF_A_KIND, ids=lambda names: type(names[0]).__name__)
def test_ids_are_ints_text_bytes_uuids_and_tuples(names: list[Any]) -> None:
    rows = len(names)
    result = graphgpo.compute_advantages(
        list(range(rows)), group_ids=names, trajectory_ids=names[::-1], success=[False] * rows
    )
    assert result.metrics["graphgpo/num_groups"] == 2


def test_ids_of_two_kinds_in_one_column_are_an_error() -> None:
    for one, *_ in IDS_OF_A_KIND:
        for other, *_ in IDS_OF_A_KIND:
            columns: dict[str, Any] = {"trajectory_ids": [0, 1], "success": [False] * 2}
            if one is other:
                continue
            with pytest.raises(TypeError, match="expected ids of one kind"):
                graphgpo.compute_advantages(["a", "b"], group_ids=[one, other], **columns)
