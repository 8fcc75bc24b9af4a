"""Threads, forks and workers: every place a trainer may call from."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import graphgpo
from test_determinism import digest, random_walks


def work(_: int = 0) -> str:
    return digest(graphgpo.compute_advantages(**random_walks(20_000)))


def test_many_python_threads_may_call_at_once() -> None:
    expected = work()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(24))) == {expected}


def test_a_list_that_another_thread_changes_is_read_as_it_was() -> None:
    batch = random_walks(20_000)
    states = list(batch["states"])
    expected = digest(graphgpo.compute_advantages(**batch))
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            states[:] = [f"room {i}" for i in range(12)] * 2000
            states.clear()
            states[:] = list(batch["states"])

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(20):
            # The other thread changes the list between two lengths at most: then an error says so.
            with contextlib.suppress(ValueError):
                result = graphgpo.compute_advantages(**{**batch, "states": states})
                assert len(result) == 20_000
    finally:
        stop.set()
        thread.join()
    assert digest(graphgpo.compute_advantages(**batch)) == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_after_use_works() -> None:
    expected = work()
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writable, work().encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        assert pipe.read() == expected
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_multiprocessing_workers_work(method: str) -> None:
    expected = work()
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(work, range(2)) == [expected, expected]


def test_a_call_that_fails_leaves_nothing_behind() -> None:
    class Trap:
        """A state without an equality, deep in the column."""

    states: list[object] = [f"a state of some length {i}" for i in range(2000)]
    states[1999] = Trap()
    columns: dict[str, Any] = {
        "group_ids": np.zeros(2000, np.int64),
        "trajectory_ids": np.zeros(2000, np.int64),
        "success": np.zeros(2000, bool),
    }

    def fail() -> None:
        with pytest.raises(TypeError, match=r"states\[1999\]"):
            graphgpo.compute_advantages(states, **columns)

    fail()
    gc.collect()
    references = sys.getrefcount(states[0])
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(50):
        fail()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    references_after = sys.getrefcount(states[0])
    assert references_after == references
    assert grown < 20_000  # a leak of one column would be 50 x 2000 x 8 bytes
    states[1999] = "a state"
    assert len(graphgpo.compute_advantages(states, **columns)) == 2000


def test_memory_outside_python_is_given_back() -> None:
    resource = pytest.importorskip("resource")
    batch = random_walks(40_000)
    for _ in range(3):
        graphgpo.compute_advantages(**batch)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(40):
        graphgpo.compute_advantages(**batch)
    # A result is 2 MB; keeping any of it 40 times would show.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000
