"""Which steps are compared: a key per step, None for a step that has no peers here."""

from __future__ import annotations

import functools
from collections.abc import Hashable
from typing import TypeAlias

from graphgpo.blocks import (
    Batch,
    LastStates,
    PeerKeys,
    SameState,
    SameTransition,
    Task,
    Turn,
)
from graphgpo.reference.rollouts import Rollouts

Keys: TypeAlias = list["Hashable | None"]


@functools.singledispatch
def peer_keys(block: object, rollouts: Rollouts) -> Keys:
    """The key of every step."""
    raise TypeError(f"the reference knows no peers {type(block).__name__}")


@peer_keys.register
def _same_state(block: SameState, rollouts: Rollouts) -> Keys:
    return [step.source for step in rollouts.steps]


@peer_keys.register
def _last_states(block: LastStates, rollouts: Rollouts) -> Keys:
    keys: Keys = [None] * len(rollouts.steps)
    for trajectory in rollouts.trajectories:
        sources = [step.source for step in trajectory.steps]
        for step in trajectory.steps[block.count - 1 :]:
            keys[step.index] = tuple(sources[step.turn + 1 - block.count : step.turn + 1])
    return keys


@peer_keys.register
def _task(block: Task, rollouts: Rollouts) -> Keys:
    return [step.group.index for step in rollouts.steps]


@peer_keys.register
def _turn(block: Turn, rollouts: Rollouts) -> Keys:
    return [(step.group.index, step.turn) for step in rollouts.steps]


@peer_keys.register
def _batch(block: Batch, rollouts: Rollouts) -> Keys:
    return ["batch"] * len(rollouts.steps)


@peer_keys.register
def _peer_keys(block: PeerKeys, rollouts: Rollouts) -> Keys:
    given = rollouts.keys("peer_keys")
    return [(step.group.index, key) for step, key in zip(rollouts.steps, given, strict=True)]


@peer_keys.register
def _same_transition(block: SameTransition, rollouts: Rollouts) -> Keys:
    actions = rollouts.actions()
    keys: Keys = [None] * len(rollouts.steps)
    for trajectory in rollouts.trajectories:
        done = [(actions[step.index], step.target) for step in trajectory.steps]
        for step in trajectory.steps:
            before = tuple(done[max(0, step.turn - block.history) : step.turn])
            keys[step.index] = (step.source, done[step.turn], before)
    return keys
