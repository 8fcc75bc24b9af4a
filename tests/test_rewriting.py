"""Columns that another thread rewrites while a call runs: any numbers, or an error; never a crash.

Trainers refill a rollout buffer while `asyncio.to_thread(compute_advantages)` reads it. The quick
half runs always, the long one with `-m heavy`; both are worth most under AddressSanitizer.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import graphgpo
from graphgpo import _core

ROWS = 4500  # enough for two threads of the core

ESTIMATORS: list[Any] = ["graphgpo", "gigpo", "hgpo", "grpo", "tree_grpo", "rtmc", "reinforce_pp"]

Bytes = NDArray[np.uint8]


def buffers() -> dict[str, NDArray[Any]]:
    """A batch in memory that can be written to."""
    rng = np.random.default_rng(5)
    trajectories = np.arange(ROWS) // 9
    return {
        "states": rng.integers(0, 300, ROWS),
        "next_states": rng.integers(0, 300, ROWS),
        "group_ids": trajectories // 100,
        "trajectory_ids": trajectories,
        "step_ids": np.arange(ROWS) % 9,
        "success": trajectories % 3 == 0,
        "rewards": rng.random(ROWS),
        "episode_returns": (trajectories % 5).astype(float),
        "edge_costs": rng.random(ROWS) + 0.5,
        "action_valid": rng.random(ROWS) < 0.9,
        "mask": rng.random(ROWS) < 0.95,
        "actions": rng.integers(0, 5, ROWS),
        "peer_keys": rng.integers(0, 5, ROWS),
    }


COLUMNS = list(buffers())


@contextlib.contextmanager
def rewritten(memory: Bytes) -> Iterator[None]:
    """Meanwhile a thread writes garbage over `memory` and puts back what was there."""
    before = memory.copy()
    garbage = np.random.default_rng(9).integers(0, 256, memory.size, np.uint8)
    sparse = np.where(garbage[::-1] < 2, garbage, before)  # most rows stay as they are
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            for content in (sparse, garbage, before):
                np.copyto(memory, content)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        np.copyto(memory, before)


def call_while_rewritten(columns: dict[str, Any], memory: Bytes, calls: int) -> None:
    def ask() -> None:
        rollouts = graphgpo.Rollouts(**columns, num_threads=2)
        with contextlib.suppress(ValueError, TypeError):
            # Not `graph()`, whose states are shown as their container hands them out: that of
            # Arrow does not survive entries of a dictionary that are not there.
            rollouts.ask_core(_core.build_graph)
        for credit in rollouts.compare(ESTIMATORS).values():
            assert len(credit) == ROWS

    ask()
    with rewritten(memory):
        for _ in range(calls):
            with contextlib.suppress(ValueError, TypeError):
                ask()
    ask()


def as_text(values: NDArray[Any]) -> NDArray[Any]:
    return np.array([f"state {value}" for value in values.tolist()])


def as_bytes(values: NDArray[Any]) -> NDArray[Any]:
    return as_text(values).astype("S")


def as_rows(values: NDArray[Any]) -> NDArray[Any]:
    return np.stack([values, values // 7], axis=1).astype(np.float32)


def numpy_case(column: str, form: Callable[[NDArray[Any]], NDArray[Any]] | None) -> Any:
    columns: dict[str, Any] = buffers()
    if form is not None:
        for name in ("states", "next_states") if "states" in column else (column,):
            columns[name] = form(columns[name])
    return columns, columns[column].view(np.uint8).reshape(-1)


def torch_case(column: str) -> Any:
    torch = pytest.importorskip("torch")
    columns: dict[str, Any] = buffers()
    memory = columns[column].view(np.uint8)
    return {name: torch.from_numpy(values) for name, values in columns.items()}, memory


def arrow_case(column: str, part: str) -> Any:
    """Values, the bytes of texts, validity, or the entries of a dictionary."""
    pa = pytest.importorskip("pyarrow")
    columns: dict[str, Any] = buffers()
    values = columns[column]
    memory = values.view(np.uint8)
    array = pa.array(values)
    if part == "texts":
        array = pa.array(as_text(values).tolist())
        offsets, data = array.buffers()[1:]
        memory = np.frombuffer(data, np.uint8).copy()
        array = pa.Array.from_buffers(array.type, ROWS, [None, offsets, pa.py_buffer(memory)])
    elif part == "validity":
        memory = np.full(ROWS // 8 + 1, 255, np.uint8)
        array = pa.Array.from_buffers(array.type, ROWS, [pa.py_buffer(memory), array.buffers()[1]])
    elif part == "dictionary":
        entries = np.unique(values)
        indices = np.searchsorted(entries, values).astype(np.int32)
        memory = indices.view(np.uint8)
        array = pa.DictionaryArray.from_arrays(
            pa.Array.from_buffers(pa.int32(), ROWS, [None, pa.py_buffer(indices)]),
            pa.array([f"entry {value}" for value in entries.tolist()]),
            safe=False,
        )
        if column in ("states", "next_states"):
            others = {"states": "next_states", "next_states": "states"}[column]
            columns[others] = pa.array([f"entry {value}" for value in columns[others].tolist()])
    elif values.dtype == bool:
        memory = np.packbits(values, bitorder="little")
        array = pa.Array.from_buffers(pa.bool_(), ROWS, [None, pa.py_buffer(memory)])
    else:
        array = pa.Array.from_buffers(array.type, ROWS, [None, pa.py_buffer(memory)])
    if part == "texts" and column in ("states", "next_states"):
        others = {"states": "next_states", "next_states": "states"}[column]
        columns[others] = pa.array(as_text(columns[others]).tolist())
    return {**columns, column: array}, memory


KEYS = ["states", "next_states", "group_ids", "trajectory_ids", "actions", "peer_keys"]

CASES: dict[str, Callable[[], Any]] = {
    **{f"numpy {name}": partial(numpy_case, name, None) for name in COLUMNS},
    **{f"numpy text {name}": partial(numpy_case, name, as_text) for name in KEYS},
    **{f"numpy bytes {name}": partial(numpy_case, name, as_bytes) for name in KEYS},
    **{f"numpy rows {name}": partial(numpy_case, name, as_rows) for name in KEYS[:2]},
    **{f"torch {name}": partial(torch_case, name) for name in COLUMNS},
    **{f"arrow values {name}": partial(arrow_case, name, "values") for name in COLUMNS},
    **{f"arrow texts {name}": partial(arrow_case, name, "texts") for name in KEYS},
    **{f"arrow nulls {name}": partial(arrow_case, name, "validity") for name in KEYS},
    **{f"arrow entries {n}": partial(arrow_case, n, "dictionary") for n in KEYS},
}


@pytest.mark.parametrize("case", CASES)
def test_a_column_that_is_rewritten_during_a_call_gives_no_crash(case: str) -> None:
    columns, memory = CASES[case]()
    call_while_rewritten(columns, memory, calls=1)


@pytest.mark.heavy
@pytest.mark.parametrize("case", CASES)
def test_a_column_that_is_rewritten_during_many_calls_gives_no_crash(case: str) -> None:
    columns, memory = CASES[case]()
    call_while_rewritten(columns, memory, calls=200)


def test_a_number_that_rewrites_another_column_while_it_is_read_gives_no_crash() -> None:
    columns: dict[str, Any] = buffers()

    class Reward:
        """Its float overwrites the ids."""

        def __float__(self) -> float:
            for name in ("group_ids", "trajectory_ids", "step_ids", "states", "next_states"):
                columns[name][:] = np.arange(ROWS)[::-1]
            columns["mask"][:] = ~columns["mask"]
            return 1.0

    rewards = columns["rewards"].tolist()
    rewards[ROWS // 2] = Reward()
    columns["mask"][ROWS // 2] = True
    with contextlib.suppress(ValueError):
        assert len(graphgpo.compute_advantages(**{**columns, "rewards": rewards})) == ROWS


def test_offsets_of_texts_that_lie_outside_their_buffer_are_refused() -> None:
    pa = pytest.importorskip("pyarrow")
    for broken in ([0, 3, 2, 5], [0, -1, 3, 5], [0, 9, 3, 5]):
        offsets = pa.py_buffer(np.array(broken, np.int32))
        states = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"abcde")])
        message = r"states\[[01]\] lies outside the buffers of its Arrow column; expected a valid"
        with pytest.raises(ValueError, match=message):
            graphgpo.compute_advantages(
                states, group_ids=[0] * 3, trajectory_ids=[0] * 3, success=[True] * 3
            )


def test_views_of_texts_that_lie_outside_their_buffers_are_refused() -> None:
    pa = pytest.importorskip("pyarrow")
    text = b"a text of more than twelve bytes"
    for size, buffer, begin in ((-1, 0, 0), (32, 1, 0), (32, -1, 0), (32, 0, 1), (32, 0, -4)):
        fields = np.array([size, 0, buffer, begin], np.int32)
        states = pa.Array.from_buffers(
            pa.string_view(), 1, [None, pa.py_buffer(fields), pa.py_buffer(text)]
        )
        with pytest.raises(ValueError, match=r"states\[0\] lies outside the buffers"):
            graphgpo.compute_advantages(states, group_ids=[0], trajectory_ids=[0], success=[True])


def test_lists_that_lie_outside_their_values_are_refused() -> None:
    pa = pytest.importorskip("pyarrow")
    for kind, dtype in ((pa.list_, np.int32), (pa.large_list, np.int64)):
        for broken in ([0, 9], [2, 1], [-1, 2]):
            offsets = np.array([0, 3], dtype)
            buffers = [None, pa.py_buffer(offsets)]
            values = pa.array([1, 2, 3])
            states = pa.Array.from_buffers(kind(pa.int64()), 1, buffers, children=[values])
            offsets[:] = broken  # PyArrow refuses it if it sees it
            with pytest.raises(ValueError, match=r"states\[0\] lies outside the buffers"):
                graphgpo.compute_advantages(
                    states, group_ids=[0], trajectory_ids=[0], success=[True]
                )
