"""What a column holds is held while it is used, and let go."""

from __future__ import annotations

import ctypes
import gc
import sys
import weakref
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import graphgpo
from graphgpo import _core
from graphgpo.ingest import key_column, real_column
from test_ingest import node_ids


def test_arrow_memory_is_let_go() -> None:
    column = pa.array([f"state {i}" for i in range(1000)])
    before = pa.total_allocated_bytes()
    del column
    freed = before - pa.total_allocated_bytes()
    assert freed > 0
    column = pa.array([f"state {i}" for i in range(1000)])
    node_ids(column)
    node_ids(pa.chunked_array([column, column]))
    del column
    gc.collect()
    assert pa.total_allocated_bytes() <= before - freed


def test_objects_are_let_go() -> None:
    class State(str):
        __slots__ = ("__weakref__",)

    states = [State(f"state {i}") for i in range(100)]
    references = [weakref.ref(state) for state in states]
    node_ids(states)
    graphgpo.build_graph(
        states, group_ids=[0] * 100, trajectory_ids=range(100), success=[False] * 100
    )
    del states
    gc.collect()
    assert all(reference() is None for reference in references)


def test_a_call_takes_no_reference_for_good() -> None:
    text, number, board = "a state " * 4, 2**70, np.zeros(3)
    columns: dict[str, Any] = {
        "group_ids": [text, text + "!"] * 50,
        "trajectory_ids": [number, 1] * 50,
        "rewards": np.array([1.5] * 100, object),
        "success": [False] * 100,
    }
    held = (text, number, board, True, False, None, str, int, dict, np.ndarray)

    def use() -> None:
        graphgpo.compute_advantages([[text, board, {text: number}], text] * 50, **columns)
        with pytest.raises(TypeError):
            graphgpo.compute_advantages([text, board] * 49 + [number, {1}], **columns)

    use()
    before = [sys.getrefcount(value) for value in held]
    for _ in range(20):
        use()
    after = [sys.getrefcount(value) for value in held]
    # Other code may hold a few more of the singletons; a leak would be 20 at the least.
    assert all(now - then < 20 for then, now in zip(before, after, strict=True))


class Schema(ctypes.Structure):
    """ArrowSchema of the Arrow C data interface."""

    _fields_ = (
        ("format", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("metadata", ctypes.c_char_p),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class Array(ctypes.Structure):
    """ArrowArray of the Arrow C data interface."""

    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.c_void_p),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class CountedColumn:
    """Int64 values behind hand-made Arrow structs that count how often they are released."""

    def __init__(self, values: list[int], *, format: bytes = b"l") -> None:
        self.released = {"schema": 0, "array": 0}
        self.values = (ctypes.c_int64 * len(values))(*values)
        self.buffers = (ctypes.c_void_p * 2)(None, ctypes.addressof(self.values))
        on_release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        self.callbacks = {
            "schema": on_release(lambda at: self.release("schema", Schema.from_address(at))),
            "array": on_release(lambda at: self.release("array", Array.from_address(at))),
        }
        self.schema = Schema(format=format, release=self.address("schema"))
        self.array = Array(
            length=len(values),
            n_buffers=2,
            buffers=ctypes.addressof(self.buffers),
            release=self.address("array"),
        )

    def address(self, name: str) -> int | None:
        return ctypes.cast(self.callbacks[name], ctypes.c_void_p).value

    def release(self, name: str, struct: Any) -> None:
        self.released[name] += 1
        struct.release = None

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[Any, Any]:
        new = ctypes.pythonapi.PyCapsule_New
        new.restype = ctypes.py_object
        new.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
        return (
            new(ctypes.addressof(self.schema), b"arrow_schema", None),
            new(ctypes.addressof(self.array), b"arrow_array", None),
        )


def test_an_arrow_column_is_released_once_and_not_before_it_has_been_used() -> None:
    column = CountedColumn([5, 6, 5])
    keys = key_column("states", column, None)
    assert column.released == {"schema": 0, "array": 0}
    assert _core.stable_keys(column=keys, name="states").tolist() == [
        graphgpo.state_key(value) for value in (5, 6, 5)
    ]
    del keys
    assert column.released == {"schema": 1, "array": 1}


def test_an_arrow_column_that_is_refused_is_released_too() -> None:
    column = CountedColumn([5, 6, 5], format=b"tdD")
    with pytest.raises(TypeError, match="states is an Arrow column of format 'tdD'"):
        graphgpo.state_keys(column)
    assert column.released == {"schema": 1, "array": 1}
    numbers = CountedColumn([5, 6, 5])
    assert real_column("rewards", numbers, None) is not None
    assert numbers.released == {"schema": 1, "array": 1}


def test_a_capsule_is_not_read_twice() -> None:
    column = CountedColumn([5, 6, 5])
    graphgpo.state_keys(column)
    with pytest.raises(ValueError, match="states is an Arrow column whose capsule was used before"):
        graphgpo.state_keys(column)  # the same structs again
    assert column.released == {"schema": 1, "array": 1}


def test_int64_in_arrow_is_viewed_where_it_lies() -> None:
    column = CountedColumn([5, 6, 5])
    keys = key_column("states", column, None)
    column.values[1] = 5
    assert len(set(_core.stable_keys(column=keys, name="states"))) == 1
