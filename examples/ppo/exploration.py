"""Every transition of a game, found once by trying all actions, and played from then on."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ppo.environments import Environment, Scene, Task
from ppo.files import cache_folder, write_atomically
from ppo.stop import Stop

NUM_CHECKING_WALKS = 8


@dataclass(frozen=True)
class Transitions:
    """Every transition of a game whose scenes say everything: exact, and a thousand times faster.

    Stands in for the game in sweeps (`--cache`).
    """

    scenes: list[Scene]
    """The first is the start."""
    targets: list[list[int]]
    """Scene that each action of a scene leads to; none where no rollout has a step left."""

    @property
    def start(self) -> Scene:
        return self.scenes[0]

    @functools.cached_property
    def next_scene(self) -> dict[tuple[Scene, str], Scene]:
        return {
            (scene, action): self.scenes[target]
            for scene, row in zip(self.scenes, self.targets, strict=True)
            for action, target in zip(scene.actions, row, strict=False)
        }

    def shortest_solution(self) -> float:
        """Fewest steps from start to a won scene; infinity if there is none."""
        depth, seen = {0: 0}, [0]
        for scene in seen:  # grows as scenes are found
            if self.scenes[scene].won:
                return depth[scene]
            for target in self.targets[scene]:
                if target not in depth:
                    depth[target] = depth[scene] + 1
                    seen.append(target)
        return float("inf")


class CachedEnvironment:
    """Plays a game from its transitions."""

    def __init__(self, transitions: Transitions) -> None:
        self.transitions = transitions
        self.scene = transitions.start

    def reset(self) -> Scene:
        self.scene = self.transitions.start
        return self.scene

    def step(self, action: str) -> Scene:
        self.scene = self.transitions.next_scene[self.scene, action]
        return self.scene


def explore(environment: Environment, max_steps: int) -> Transitions:
    """Try every action of every scene within `max_steps` of the start, breadth first.

    A scene is reached from the start again for each action, and must look the same every time;
    random walks through the game are then compared with the transitions. So a game with hidden
    state is refused.
    """

    def reach(path: Sequence[str]) -> Scene:
        scene = environment.reset()
        for action in path:
            scene = environment.step(action)
        return scene

    scenes = [reach([])]
    index = {scenes[0]: 0}
    paths: list[list[str]] = [[]]
    targets: list[list[int]] = []
    for here, scene in enumerate(scenes):  # grows as scenes are found
        targets.append([])
        for action in scene.actions if len(paths[here]) < max_steps else ():
            if reach(paths[here]) != scene:
                raise Stop(
                    f"{paths[here]} does not always lead to {scene.state!r}: no cache for it"
                )
            target = environment.step(action)
            if target not in index:
                index[target] = len(scenes)
                scenes.append(target)
                paths.append([*paths[here], action])
            targets[here].append(index[target])
    transitions = Transitions(scenes, targets)

    generator = np.random.default_rng(0)
    cached = CachedEnvironment(transitions)
    for _ in range(NUM_CHECKING_WALKS):
        real, known = environment.reset(), cached.reset()
        for _ in range(max_steps):
            if real != known:
                raise Stop(f"{real.state!r} differs from its cached transition: no cache for it")
            if not real.actions:
                break
            action = real.actions[generator.integers(len(real.actions))]
            real, known = environment.step(action), cached.step(action)
    return transitions


def cached_transitions(task: Task, max_steps: int) -> Transitions:
    """From the cache, or explored now and written there."""
    file = cache_folder() / "transitions" / f"{task.name}_{max_steps}_steps.json"
    if not file.exists():
        transitions = explore(task.open(), max_steps)
        write_atomically(file, json.dumps([transitions.scenes, transitions.targets]).encode())
    scenes, targets = json.loads(file.read_text())
    return Transitions([Scene(s, tuple(a), won) for s, a, won in scenes], targets)
