"""Who runs the tasks of a pass: this process, several, or a Ray cluster."""

from __future__ import annotations

import importlib
import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar, cast

import pyarrow as pa

Task = TypeVar("Task")
Answer = TypeVar("Answer")
Item = TypeVar("Item")

ATTEMPTS = 3
"""How often a task is tried whose worker dies: out of memory, mostly, or killed."""


class WorkerDiedError(RuntimeError):
    """Workers died again and again."""


class Workers(Protocol):
    """Runs a function on every task. A task must leave the same whenever it is run again."""

    num_workers: int
    """Tasks that run at a time, as far as known."""
    num_threads: int | None
    """Of a task; None: as many as this machine has cores."""

    def start(self) -> None:
        """Begin to start what `run` needs, and do not wait for it."""
        ...

    def run(
        self, function: Callable[[Task], Answer], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Answer]]:
        """Place and answer of every task, as they are done.

        Raises
        ------
        WorkerDiedError
            If a worker dies `ATTEMPTS` times over what is left.
        """
        ...

    def close(self) -> None:
        """End what was started for them."""
        ...


class Serial(Workers):
    """One task after another, in this process."""

    num_workers = 1
    num_threads = None

    def start(self) -> None:
        """Nothing to start."""

    def close(self) -> None:
        """Nothing to end."""

    def run(
        self, function: Callable[[Task], Answer], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Answer]]:
        return ((place, function(task)) for place, task in enumerate(tasks))


def one_ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The same; while one is used, a thread makes the next. Closing waits for that."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield cast(Item, item)


class Processes(Workers):
    """`count` processes of this machine, started once for all passes."""

    num_threads = 1

    def __init__(self, count: int) -> None:
        self.num_workers = count
        self._pool: ProcessPoolExecutor | None = None

    def start(self) -> None:
        """They take a second, mostly to import Arrow."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # Arrow's threads do not survive a fork
            self._pool = ProcessPoolExecutor(self.num_workers, context, initializer=_as_worker)
            self._pool.submit(_nothing)  # the first task starts all processes

    def run(
        self, function: Callable[[Task], Answer], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Answer]]:
        left = set(range(len(tasks)))
        for _ in range(ATTEMPTS):
            try:
                for place, answer in self._attempt(function, tasks, sorted(left)):
                    left.discard(place)
                    yield place, answer
            except BrokenProcessPool:
                continue
            return
        raise WorkerDiedError(
            f"a worker process died {ATTEMPTS} times, out of memory perhaps; more partitions need "
            "less memory each, and fewer jobs less at a time"
        )

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown()

    def _attempt(
        self, function: Callable[[Task], Answer], tasks: Sequence[Task], places: Sequence[int]
    ) -> Iterator[tuple[int, Answer]]:
        self.start()
        assert self._pool is not None
        try:
            waiting: dict[Future[Answer], int] = {
                self._pool.submit(function, tasks[place]): place for place in places
            }
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield waiting.pop(future), future.result()
        except BaseException:
            _stop(self._pool)
            self._pool = None
            raise


def _as_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that waits for us says it
    pa.set_cpu_count(1)


def _nothing() -> None:
    pass


def _stop(pool: ProcessPoolExecutor) -> None:
    """At once: what a task has left half done is thrown away by whoever waits."""
    processes = dict(getattr(pool, "_processes", None) or {})
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes.values():
        process.terminate()
    for process in processes.values():
        process.join()


class RayTasks(Workers):
    """Tasks of a Ray cluster, which all see the folders of input and output.

    Parameters
    ----------
    address
        "local" starts Ray on this machine; "auto", "ray://host:10001" and the like join one.
    count
        How many cores a local start may use; None: all.
    """

    num_threads = 1  # which is what it reserves

    def __init__(self, address: str = "local", count: int | None = None) -> None:
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise ImportError("--ray needs ray: pip install ray", name="ray") from error
        self._starts = not self._ray.is_initialized()
        if self._starts:
            is_local = address == "local"
            self._ray.init(
                address=address,
                num_cpus=count if is_local else None,
                include_dashboard=False if is_local else None,
                log_to_driver=False,
                logging_level="ERROR",
            )
        self.num_workers = max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def start(self) -> None:
        """Ray's workers import Arrow meanwhile, which takes a second."""
        remote = self._ray.remote(num_cpus=self.num_threads)(_nothing)
        for _ in range(self.num_workers):
            remote.remote()

    def run(
        self, function: Callable[[Task], Answer], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Answer]]:
        ray = self._ray
        # Tried again if a worker dies.
        remote = ray.remote(num_cpus=self.num_threads, max_retries=ATTEMPTS - 1)(function)
        waiting = {remote.remote(task): place for place, task in enumerate(tasks)}
        try:
            while waiting:
                done, _ = ray.wait(list(waiting), num_returns=1)
                for reference in done:
                    yield waiting.pop(reference), ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.WorkerCrashedError as error:
            raise WorkerDiedError(f"a Ray worker died {ATTEMPTS} times: {error}") from None
        finally:
            for reference in waiting:
                ray.cancel(reference, force=True)

    def close(self) -> None:
        """Leave the cluster, or end the one that was started."""
        if self._starts:
            self._ray.shutdown()
