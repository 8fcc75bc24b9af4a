"""Games, one per rollout: in this process, or spread over worker processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import NamedTuple, Protocol, runtime_checkable

from ppo.stop import Stop

SPAWN = multiprocessing.get_context("spawn")  # no thread of torch is forked


class Scene(NamedTuple):
    """What an environment shows before a step."""

    state: str
    """Equal texts are the same situation."""
    actions: tuple[str, ...]
    """What can be done here; empty once the game is over."""
    won: bool


class Environment(Protocol):
    def reset(self) -> Scene: ...
    def step(self, action: str) -> Scene: ...


class Task(Protocol):
    """One game, sent to worker processes and opened there."""

    @property
    def name(self) -> str:
        """Names its file in the cache of transitions."""

    def open(self) -> Environment: ...


@runtime_checkable
class TaskOfChance(Task, Protocol):
    """One that draws: its transitions are never cached, and every rollout draws for itself."""

    def open_seeded(self, seed: Sequence[int]) -> Environment: ...


@dataclass(frozen=True)
class Seeded:
    """A task of chance as one rollout plays it."""

    task: TaskOfChance
    seed: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.task.name

    def open(self) -> Environment:
        return self.task.open_seeded(self.seed)


class LocalEnvironments:
    """One environment per rollout, in this process."""

    def __init__(self, environments: Sequence[Environment]) -> None:
        self.environments = environments

    def reset(self) -> list[Scene]:
        return [environment.reset() for environment in self.environments]

    def step(self, actions: Mapping[int, str]) -> dict[int, Scene]:
        """The next scene of every rollout that acts."""
        return {i: self.environments[i].step(action) for i, action in actions.items()}

    def close(self) -> None:
        pass


class WorkerEnvironments:
    """One environment per rollout, spread over processes. Rollout i lives in process i % n."""

    def __init__(self, tasks: Sequence[Task], num_workers: int) -> None:
        self.num_rollouts = len(tasks)
        self.pipes: list[Connection] = []
        self.processes = []
        for worker in range(num_workers):
            ours, theirs = SPAWN.Pipe()
            process = SPAWN.Process(
                target=_work, args=(theirs, list(tasks[worker::num_workers])), daemon=True
            )
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)

    def reset(self) -> list[Scene]:
        scenes = self._ask([None] * len(self.pipes))
        return [scenes[i] for i in range(self.num_rollouts)]

    def step(self, actions: Mapping[int, str]) -> dict[int, Scene]:
        n = len(self.pipes)
        shares: list[dict[int, str] | None] = [
            {i // n: action for i, action in actions.items() if i % n == worker}
            for worker in range(n)
        ]
        return self._ask(shares)

    def _ask(self, shares: Sequence[dict[int, str] | None]) -> dict[int, Scene]:
        n = len(self.pipes)
        try:
            for pipe, share in zip(self.pipes, shares, strict=True):
                pipe.send(share)
            answers = [pipe.recv() for pipe in self.pipes]
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise Stop("a worker process died; its own message is above, if it left one") from error
        scenes: dict[int, Scene] = {}
        for worker, answer in enumerate(answers):
            if isinstance(answer, BaseException):
                raise answer
            scenes |= {i * n + worker: scene for i, scene in answer.items()}
        return scenes

    def close(self) -> None:
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.join(timeout=5)
            process.kill()


def _work(pipe: Connection, tasks: Sequence[Task]) -> None:
    """A worker's life: open the games, answer until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    environments: LocalEnvironments | None = None
    while True:
        try:
            actions = pipe.recv()
        except EOFError:
            return
        try:
            if environments is None:
                environments = LocalEnvironments([task.open() for task in tasks])
            if actions is None:
                pipe.send(dict(enumerate(environments.reset())))
            else:
                pipe.send(environments.step(actions))
        except (Exception, Stop) as error:
            pipe.send(error)


Environments = LocalEnvironments | WorkerEnvironments
