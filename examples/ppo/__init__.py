"""What the training programs share: a small text policy, rollouts, PPO, logs and checkpoints.

An environment is anything with `reset` and `step` that shows scenes (`Scene`); train_textworld.py
and train_sokoban.py have one each and call `main`. What to copy for a loop of your own is `Run` in
run.py: `iterate` calls `graphgpo.compute_advantages` once, `update` calls
`graphgpo.torch.policy_loss`.

A run is a function of its options alone: every iteration draws from a generator of its own, made of
seed and iteration, and rollouts advance in lockstep. So the same command gives the same numbers bit
for bit, with any number of worker processes, and a checkpoint needs no generator's state.
"""

from __future__ import annotations

from ppo.environments import (
    SPAWN,
    Environment,
    Environments,
    LocalEnvironments,
    Scene,
    Seeded,
    Task,
    TaskOfChance,
    WorkerEnvironments,
)
from ppo.exploration import CachedEnvironment, Transitions, cached_transitions, explore
from ppo.files import cache_folder, write_atomically
from ppo.log import Log, as_csv
from ppo.policy import Policy, TextEncoder, words
from ppo.program import add_arguments, bar, interrupt_asks_to_stop, main, summary
from ppo.rollouts import Rollouts, collect, draw
from ppo.run import Options, Problem, Run
from ppo.stop import Stop
from ppo.training import environments_of, evaluate, train

__all__ = [
    "SPAWN",
    "CachedEnvironment",
    "Environment",
    "Environments",
    "LocalEnvironments",
    "Log",
    "Options",
    "Policy",
    "Problem",
    "Rollouts",
    "Run",
    "Scene",
    "Seeded",
    "Stop",
    "Task",
    "TaskOfChance",
    "TextEncoder",
    "Transitions",
    "WorkerEnvironments",
    "add_arguments",
    "as_csv",
    "bar",
    "cache_folder",
    "cached_transitions",
    "collect",
    "draw",
    "environments_of",
    "evaluate",
    "explore",
    "interrupt_asks_to_stop",
    "main",
    "summary",
    "train",
    "words",
    "write_atomically",
]
