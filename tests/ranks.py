"""Four processes with gloo groups of 1, 2 and 4 of them, which run the same call each on its rows.

They start once for a file of tests: importing torch takes longer than all its calls.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import multiprocessing
import multiprocessing.connection
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import distributed as dist

import graphgpo
from graphgpo.torch.distributed import compute_advantages_across_ranks, gather_groups

SIZES = (1, 2, 4)
START_LIMIT_S = 300  # importing torch four times, on a machine under load
LIMIT_S = 60
IMPATIENT_S = 4


@dataclass(frozen=True)
class Failure:
    """How a call ended that raised."""

    type: str
    text: str
    cause: str | None
    trace: str


@dataclass(frozen=True)
class Ranks:
    connections: list[multiprocessing.connection.Connection]
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def call(self, name: str, calls: list[dict[str, Any]]) -> list[Any]:
        """What the function returns on each rank, or a `Failure`; as many ranks as `calls`."""
        number = next(self.numbers)
        for connection, arguments in zip(self.connections, calls, strict=False):
            connection.send((number, name, len(calls), arguments))
        return [self.answer(rank, number) for rank in range(len(calls))]

    def answer(self, rank: int, number: int, limit_s: float = LIMIT_S) -> Any:
        """What a rank says to call `number`; late answers to calls before it are thrown away."""
        stop = time.monotonic() + limit_s
        while self.connections[rank].poll(max(0.0, stop - time.monotonic())):
            answered, answer = self.connections[rank].recv()
            if answered == number:
                return answer
        raise TimeoutError(f"rank {rank} does not come back from call {number}")

    def results(self, calls: list[dict[str, Any]]) -> list[Any]:
        """`compute_advantages_across_ranks` on each rank; a failure fails the test."""
        results = self.call("advantages", calls)
        for rank, result in enumerate(results):
            assert not isinstance(result, Failure), f"rank {rank}: {result.trace}"
        return results

    def failure(self, calls: list[dict[str, Any]], name: str = "advantages") -> tuple[str, str]:
        """Type and text of the exception, which must be the same on every rank."""
        failures = self.call(name, calls)
        assert all(isinstance(failure, Failure) for failure in failures), failures
        told = {(failure.type, failure.text) for failure in failures}
        assert len(told) == 1, told
        return told.pop()


@contextmanager
def running(folder: Path) -> Iterator[Ranks]:
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(max(SIZES))]
    processes = [
        context.Process(target=_serve, args=(rank, folder / "store", theirs), daemon=True)
        for rank, (_, theirs) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    ranks = Ranks([ours for ours, _ in pipes])
    try:
        for rank in range(len(pipes)):
            ranks.answer(rank, 0, START_LIMIT_S)
        yield ranks
    finally:
        for ours, _ in pipes:
            ours.send(None)
        for process in processes:
            process.join(LIMIT_S)
            process.kill()


def _serve(rank: int, store: Path, connection: multiprocessing.connection.Connection) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=max(SIZES),
        timeout=timedelta(seconds=START_LIMIT_S),
    )
    groups = {size: dist.new_group(list(range(size))) for size in SIZES}
    impatient = dist.new_group([0, 1], timeout=timedelta(seconds=IMPATIENT_S))
    jobs = _JOBS | {"absent": functools.partial(_absent, impatient=impatient)}
    connection.send((0, "ready"))
    while (job := connection.recv()) is not None:
        number, name, size, arguments = job
        try:
            connection.send((number, jobs[name](process_group=groups[size], **arguments)))
        except Exception as error:
            cause = None if error.__cause__ is None else str(error.__cause__)
            trace = traceback.format_exc()
            failure = Failure(type(error).__name__, str(error), cause, trace)
            connection.send((number, failure))
    dist.destroy_process_group()


def _traffic(**arguments: Any) -> tuple[list[tuple[torch.dtype, tuple[int, ...]]], int]:
    """Tensors this rank sends, and how many Python objects."""
    with (
        mock.patch.object(dist, "all_gather", wraps=dist.all_gather) as tensors,
        mock.patch.object(dist, "all_gather_object", wraps=dist.all_gather_object) as objects,
        contextlib.suppress(TypeError),
    ):
        compute_advantages_across_ranks(**arguments)
    sent = [call.args[1] for call in tensors.call_args_list]
    return [(tensor.dtype, tuple(tensor.shape)) for tensor in sent], objects.call_count


def _outside(process_group: dist.ProcessGroup, **arguments: Any) -> Any:
    """A call for a group this process is not in."""
    others = dist.new_group([0])  # every process of the default group makes it
    return compute_advantages_across_ranks(process_group=others, **arguments)


def _absent(
    process_group: dist.ProcessGroup,
    impatient: dist.ProcessGroup,
    is_absent: bool,
    **arguments: Any,
) -> Any:
    """A call that one rank never makes, in a group that waits IMPATIENT_S: seconds and error."""
    start = time.monotonic()
    if is_absent:
        return None
    try:
        return compute_advantages_across_ranks(process_group=impatient, **arguments)
    except RuntimeError as error:
        return time.monotonic() - start, str(error)


def _remembered(process_group: dist.ProcessGroup, batches: list[dict[str, Any]]) -> Any:
    """Results of several batches with one memory, and what it remembers in the end."""
    memory = graphgpo.GraphMemory()
    results = [
        compute_advantages_across_ranks(**batch, memory=memory, process_group=process_group)
        for batch in batches
    ]
    return results, memory.state_dict()


def _slow(process_group: dist.ProcessGroup, seconds: float) -> float:
    time.sleep(seconds)
    return seconds


_JOBS: dict[str, Callable[..., Any]] = {
    "advantages": compute_advantages_across_ranks,
    "gather": gather_groups,
    "traffic": _traffic,
    "outside": _outside,
    "remembered": _remembered,
    "slow": _slow,
}
