"""Games made harder for credit: noise in what is seen, and goals out of reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import ppo
from ppo import CachedEnvironment, Environment, Scene, Task

NOISE = " | noise "


class Noisy:
    """A game that shows noise after every action that changed nothing.

    `texts`: of so many, or None: of numbers that never come again.
    """

    def __init__(self, game: Environment, texts: int | None, seed: Sequence[int]) -> None:
        self.game, self.texts = game, texts
        self.generator = np.random.default_rng(list(seed))
        self.scene = game.reset()

    def reset(self) -> Scene:
        self.scene = self.game.reset()
        return self.scene

    def step(self, action: str) -> Scene:
        before, self.scene = self.scene, self.game.step(action)
        if self.scene != before:
            return self.scene
        text = self.generator.integers(2**62 if self.texts is None else self.texts)
        return self.scene._replace(state=f"{self.scene.state}{NOISE}{text}")


class Hopeless:
    """A game whose last action is in vain: what would win it changes nothing."""

    def __init__(self, game: Environment) -> None:
        self.game, self.path = game, list[str]()
        self.scene = game.reset()

    def reset(self) -> Scene:
        self.path.clear()
        self.scene = self.game.reset()
        return self.scene

    def step(self, action: str) -> Scene:
        scene = self.game.step(action)
        if not scene.won:
            self.path.append(action)
            self.scene = scene
            return scene
        self.game.reset()  # back to where it was
        for done in self.path:
            self.game.step(done)
        return self.scene


@dataclass(frozen=True)
class NoisyTask:
    task: Task
    texts: int | None
    max_steps: int

    @property
    def name(self) -> str:
        return f"{self.task.name}_noise"

    def open(self) -> Noisy:
        return self.open_seeded((0,))

    def open_seeded(self, seed: Sequence[int]) -> Noisy:
        known = ppo.cached_transitions(self.task, self.max_steps)
        return Noisy(CachedEnvironment(known), self.texts, seed)


@dataclass(frozen=True)
class HopelessTask:
    task: Task

    @property
    def name(self) -> str:
        return f"{self.task.name}_hopeless"

    def open(self) -> Hopeless:
        return Hopeless(self.task.open())


def noisy(problem: ppo.Problem, texts: int | None, *, read: bool, max_steps: int) -> ppo.Problem:
    """Every game to train on; `read`: the policy sees the noise, too."""
    words = problem.state_words
    return ppo.Problem(
        [NoisyTask(task, texts, max_steps) for task in problem.tasks],
        problem.held_out,
        words if read else lambda state: words(state.partition(NOISE)[0]),
    )


def hopeless(problem: ppo.Problem, how_many: int) -> ppo.Problem:
    """The last games to train on."""
    tasks = list(problem.tasks)
    for i in range(len(tasks) - how_many, len(tasks)):
        tasks[i] = HopelessTask(tasks[i])
    return ppo.Problem(tasks, problem.held_out, problem.state_words)
