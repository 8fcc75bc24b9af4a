"""Steps that a policy took, as columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ppo.environments import Environments, Scene
from ppo.policy import Policy


@dataclass
class Rollouts:
    """One row per step, in the order in which the steps were taken."""

    scenes: list[Scene] = field(default_factory=list)
    choices: list[int] = field(default_factory=list)
    """Position of the action among the scene's actions."""
    log_probs: list[float] = field(default_factory=list)
    next_states: list[str] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    trajectories: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    won: list[bool] = field(default_factory=list)
    """Whether the step won the game."""

    def columns(self) -> dict[str, Any]:
        """The arguments of `graphgpo.compute_advantages`."""
        return {
            "states": [scene.state for scene in self.scenes],
            "next_states": self.next_states,
            "group_ids": self.groups,
            "trajectory_ids": self.trajectories,
            "step_ids": self.steps,
            "success": self.won,
            "actions": [
                scene.actions[choice]
                for scene, choice in zip(self.scenes, self.choices, strict=True)
            ],
        }

    def of_dead_groups(self) -> NDArray[np.bool_]:
        """(N,) whether no rollout of the step's group won."""
        groups = np.array(self.groups)
        return ~np.isin(groups, groups[np.array(self.won)])

    def surprise(self, rows: NDArray[np.bool_]) -> float:
        """Mean of -log p over the actions taken in these rows: the policy's entropy there."""
        return float(-np.array(self.log_probs)[rows].mean()) if rows.any() else float("nan")

    def success(self) -> float:
        """Share of rollouts that won."""
        return sum(self.won) / self.steps.count(0)

    def solution_length(self) -> float:
        """Mean number of steps of the rollouts that won, NaN without one."""
        lengths = [step + 1 for step, won in zip(self.steps, self.won, strict=True) if won]
        return float(np.mean(lengths)) if lengths else float("nan")


def collect(
    policy: Policy,
    environments: Environments,
    group_size: int,
    max_steps: int,
    generator: np.random.Generator,
) -> Rollouts:
    """Play one rollout in every environment, all in lockstep; i // group_size is the i-th's group.

    The policy is fixed meanwhile, so a scene met again costs no second forward pass.
    """
    scenes = dict(enumerate(environments.reset()))
    draws = generator.random((max_steps, len(scenes)))
    log_probs: dict[Scene, NDArray[np.float32]] = {}
    cumulative: dict[Scene, NDArray[np.float64]] = {}
    rollouts = Rollouts()
    for step in range(max_steps):
        live = [i for i, scene in scenes.items() if scene.actions]
        if not live:
            break
        new = list(dict.fromkeys(scenes[i] for i in live if scenes[i] not in log_probs))
        if new:
            with torch.no_grad():
                fresh = policy(new).numpy()
            log_probs.update(zip(new, fresh, strict=True))
            cumulative.update(zip(new, np.exp(fresh).cumsum(axis=1, dtype=float), strict=True))
        choices = {i: draw(cumulative[scenes[i]], draws[step, i]) for i in live}
        reached = environments.step({i: scenes[i].actions[choices[i]] for i in live})
        for i in live:
            rollouts.scenes.append(scenes[i])
            rollouts.choices.append(choices[i])
            rollouts.log_probs.append(float(log_probs[scenes[i]][choices[i]]))
            rollouts.next_states.append(reached[i].state)
            rollouts.groups.append(i // group_size)
            rollouts.trajectories.append(i % group_size)
            rollouts.steps.append(step)
            rollouts.won.append(reached[i].won)
        scenes |= reached
    return rollouts


def draw(cumulative: NDArray[np.float64], uniform: float) -> int:
    """The action at this quantile of the distribution, whose total may be a rounding off 1."""
    return int(cumulative.searchsorted(uniform * cumulative[-1], side="right"))
