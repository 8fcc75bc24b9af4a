"""Ctrl-C: a long call stops, its result is discarded, and a handler of the caller's may do as it
likes.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import graphgpo
from graphgpo import _core
from test_determinism import digest, random_walks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals as Linux has them")

# Seconds until a call has stopped: on a machine of one's own, as heavy tests have, and any other.
LATEST = 0.2
LATEST_WHILE_BUSY = 2.0
PATIENCE = 10.0


@pytest.fixture(autouse=True)
def python_hears_ctrl_c() -> Iterator[None]:
    """A background job inherits that SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
    # No test's alarm rings in the next one.
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


class CtrlC:
    """Pressed from outside, because no thread of this process runs while a call has the GIL."""

    def __init__(self, after: float) -> None:
        program = (
            f"import os, time; time.sleep({after}); print(time.perf_counter(), flush=True); "
            f"os.kill({os.getpid()}, 2)"
        )
        command = [sys.executable, "-S", "-c", program]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def pressed_at(self) -> float:
        """By `time.perf_counter`, which all processes of Linux share."""
        return float(self._process.communicate()[0])

    def leave(self) -> None:
        """Nobody presses any more."""
        self._process.kill()
        self._process.communicate()


def stopped_within(call: Callable[[], object], after: float) -> float | None:
    """Seconds from Ctrl-C to KeyboardInterrupt; None: the call was over before."""
    pressed = CtrlC(after)
    try:
        call()
    except KeyboardInterrupt:
        stopped = time.perf_counter()
        return stopped - pressed.pressed_at()
    except Exception:
        pressed.leave()
        raise
    try:
        pressed.leave()
    except KeyboardInterrupt:  # just now
        pressed.leave()
    return None


def seconds_until_stopped(call: Callable[[], object], after: float = 0.3) -> float:
    """The same of a call that is long enough."""
    seconds = stopped_within(call, after)
    if seconds is None:
        pytest.fail("the call was over before anybody pressed Ctrl-C")
    return seconds


ROWS = 400_000


def one_long_rollout(rows: int = ROWS) -> graphgpo.Rollouts:
    return graphgpo.Rollouts(
        states=np.random.default_rng(1).integers(0, 40, rows),
        group_ids=np.zeros(rows, np.int64),
        trajectory_ids=np.zeros(rows, np.int64),
        success=np.ones(rows, bool),
        actions=np.zeros(rows, np.int64),
    )


def endless() -> Any:
    """An estimator that takes seconds: it goes back a thousand turns, one by one."""
    return graphgpo.estimators.make("salt", {"history": 1000})


# Texts over two letters, which only a comparison letter by letter tells apart.
AMBIGUOUS = [
    "".join(row)
    for row in np.array(["a", "b"])[np.random.default_rng(3).integers(0, 2, (3000, 1500))]
]

CALLS: dict[str, Callable[[], object]] = {
    "advantages": lambda: one_long_rollout().advantages(endless()),
    "compare": lambda: one_long_rollout().compare(["grpo", endless(), "gigpo"]),
    "compute_advantages": lambda: graphgpo.compute_advantages(
        **{**one_long_rollout().columns}, estimator="salt", history=1000
    ),
    "on two threads": lambda: graphgpo.compute_advantages(
        **{
            **one_long_rollout().columns,
            "group_ids": np.arange(ROWS) // (ROWS // 2),
            "trajectory_ids": np.arange(ROWS) // (ROWS // 2),
        },
        estimator="salt",
        history=1000,
        num_threads=2,
    ),
    "similar": lambda: _core.similar_components(
        texts=AMBIGUOUS, groups=np.zeros(len(AMBIGUOUS), np.int32), threshold=0.93
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_stops_a_long_call(call: str) -> None:
    assert seconds_until_stopped(CALLS[call]) <= LATEST_WHILE_BUSY


@pytest.mark.heavy
@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_stops_a_long_call_in_a_fifth_of_a_second(call: str) -> None:
    assert min(seconds_until_stopped(CALLS[call]) for _ in range(5)) <= LATEST


def test_a_call_that_was_stopped_leaves_nothing_behind() -> None:
    rollouts = one_long_rollout()
    expected = digest(rollouts.advantages("hgpo"))
    columns = rollouts.columns
    references = [sys.getrefcount(columns[name]) for name in columns]
    seconds_until_stopped(lambda: rollouts.advantages(endless()), after=0.05)
    gc.collect()
    assert [sys.getrefcount(columns[name]) for name in columns] == references
    assert digest(rollouts.advantages("hgpo")) == expected


def test_a_handler_that_raises_something_else_stops_it_too() -> None:
    class EnoughError(Exception):
        """What the handler raises."""

    def handler(*_: object) -> None:
        raise EnoughError

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    with pytest.raises(EnoughError):
        one_long_rollout().advantages(endless())


def test_a_handler_that_returns_stops_nothing_and_may_call_the_library() -> None:
    rollouts, small = one_long_rollout(), random_walks(1000)
    slow = graphgpo.estimators.make("salt", {"history": 50})  # longer than `Stoppable::interval`
    expected = digest(rollouts.advantages(slow))
    inside = digest(graphgpo.compute_advantages(**small))
    found: list[str] = []

    def handler(*_: object) -> None:
        found.append(digest(graphgpo.compute_advantages(**small)))
        signal.setitimer(signal.ITIMER_REAL, 0.01)

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        result = digest(rollouts.advantages(slow))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert result == expected
    assert set(found) == {inside}


def test_a_handler_of_ctrl_c_that_returns_stops_nothing_while_lists_are_numbered() -> None:
    batch = random_walks(60_000)
    batch["states"] = [f"{state}, {row}" for row, state in enumerate(batch["states"])]
    expected = digest(graphgpo.compute_advantages(**batch))
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    presses = [CtrlC(0.05 * n) for n in range(1, 5)]
    results = {digest(graphgpo.compute_advantages(**batch)) for _ in range(2)}
    for press in presses:
        press.pressed_at()
    assert results == {expected}
    assert pressed


def test_in_another_thread_a_call_runs_to_its_end() -> None:
    batch = random_walks(100_000)
    expected = digest(graphgpo.compute_advantages(**batch))
    results: list[str] = []
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            results.append(digest(graphgpo.compute_advantages(**batch)))

    thread = threading.Thread(target=work)
    thread.start()
    pressed = CtrlC(after=0.5)  # by then this thread sleeps: half a thread must not be left behind
    try:
        time.sleep(PATIENCE)
        pytest.fail("nobody pressed Ctrl-C")
    except KeyboardInterrupt:
        pass
    finally:
        is_over.set()
        thread.join()
    pressed.pressed_at()
    assert {*results} == {expected}


MANY = 3_000_000


@pytest.mark.heavy
@pytest.mark.parametrize("share", [0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
@pytest.mark.parametrize("kind", ["costs", "texts", "compare", "graph"])
def test_ctrl_c_stops_three_million_rows_at_any_time(kind: str, share: float) -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, MANY // 3, MANY)
    columns: dict[str, Any] = {
        "states": [f"room {room} of the house" for room in ids.tolist()]
        if kind == "texts"
        else ids,
        "group_ids": np.zeros(MANY, np.int64),
        "trajectory_ids": np.arange(MANY) // 30,
        "success": np.arange(MANY) // 30 % 7 == 0,
    }
    if kind in ("costs", "graph"):
        columns["edge_costs"] = rng.random(MANY) + 0.5

    def call() -> object:
        if kind in ("costs", "texts"):
            return graphgpo.compute_advantages(**columns)
        rollouts = graphgpo.Rollouts(**columns)
        return rollouts.graph() if kind == "graph" else rollouts.compare(["graphgpo", "hgpo"])

    call()  # the first takes longer
    for _ in range(5):  # how long the next one takes is a guess
        start = time.perf_counter()
        call()
        seconds = stopped_within(call, after=share * (time.perf_counter() - start))
        if seconds is not None:
            assert seconds <= LATEST
            return
    pytest.fail("the call was over before anybody pressed Ctrl-C, five times")
