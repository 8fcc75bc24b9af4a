"""Iterations of a run on its games, and its record on held-out ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import numpy as np

import graphgpo
from ppo.environments import (
    Environments,
    LocalEnvironments,
    Seeded,
    Task,
    TaskOfChance,
    WorkerEnvironments,
)
from ppo.exploration import CachedEnvironment, cached_transitions
from ppo.policy import Policy
from ppo.rollouts import Rollouts, collect
from ppo.run import Options, Run

EVALUATION = 2**32 - 1  # in place of an iteration where a generator is made


def environments_of(
    tasks: Sequence[Task], options: Options, *, cache: bool, workers: int
) -> Environments:
    """`options.group_size` environments of every task, next to each other."""
    played: list[Task] = []
    for task in tasks:
        for _ in range(options.group_size):
            if isinstance(task, TaskOfChance):
                played.append(Seeded(task, (options.seed, len(played))))
            else:
                played.append(task)
    if not cache:
        return WorkerEnvironments(played, workers)
    known = {
        task.name: cached_transitions(task, options.max_steps)
        for task in tasks
        if not isinstance(task, TaskOfChance)
    }
    return LocalEnvironments(
        [
            task.open() if isinstance(task, Seeded) else CachedEnvironment(known[task.name])
            for task in played
        ]
    )


def evaluate(policy: Policy, environments: Environments, options: Options) -> dict[str, float]:
    """Success and solution length of the policy as it is, drawing its actions."""
    generator = np.random.default_rng([options.seed, EVALUATION])
    rollouts = collect(policy, environments, options.group_size, options.max_steps, generator)
    return {"success": rollouts.success(), "solution_length": rollouts.solution_length()}


def train(
    run: Run,
    iterations: int,
    *,
    cache: bool = False,
    workers: int = 1,
    after: Callable[[Run, Rollouts, graphgpo.StepAdvantages], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, dict[str, float]]:
    """Iterate until `iterations` are done or `stopped()`; then how it does on held-out games.

    "held_out" is the trained policy's record, "untrained" that of the policy it started as; both
    are absent if the run was stopped.
    """

    def opened(tasks: Sequence[Task]) -> contextlib.closing[Environments]:
        return contextlib.closing(environments_of(tasks, run.options, cache=cache, workers=workers))

    if len(run.curve) < iterations:
        with opened(run.problem.tasks) as environments:
            while len(run.curve) < iterations and not stopped():
                rollouts, result = run.iterate(environments)
                if after:
                    after(run, rollouts, result)
    if len(run.curve) < iterations or not run.problem.held_out:
        return {}
    with opened(run.problem.held_out) as environments:
        return {
            "held_out": evaluate(run.policy, environments, run.options),
            "untrained": evaluate(run.start, environments, run.options),
        }
