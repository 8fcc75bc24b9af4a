"""Which steps are compared: segments of steps, in none of which a step has no peers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphgpo import blocks
from graphgpo.torch.device.dispatch import PerBlock
from graphgpo.torch.device.rollouts import Rollouts
from graphgpo.torch.device.segments import Segments, numbered, with_last

peers_of = PerBlock[Segments]("peers")
"""Steps with one key."""
peers_of.register(blocks.SameState, lambda _, rollouts: rollouts.state)
peers_of.register(blocks.Task, lambda _, rollouts: rollouts.group)
peers_of.register(blocks.Turn, lambda _, rollouts: numbered(rollouts.group.ids, rollouts.turn))
peers_of.register(blocks.Batch, lambda _, rollouts: Segments.of_all(rollouts.turn))
peers_of.register(
    blocks.PeerKeys, lambda _, rollouts: numbered(rollouts.group.ids, rollouts.keys("peer_keys"))
)


def counted_once(block: Any, rollouts: Rollouts) -> Tensor:
    """Of each trajectory the first step with a key."""
    pairs = numbered(peers_of(block, rollouts).ids, rollouts.trajectory.ids)
    return rollouts.turn == pairs.smallest(rollouts.turn, rollouts.num_steps)[pairs.ids]


@peers_of.register
def _last_states(block: blocks.LastStates, rollouts: Rollouts) -> Segments:
    if block.count <= 1:
        return rollouts.state
    shorter = peers_of(blocks.LastStates(block.count - 1), rollouts)
    before = with_last(shorter.ids, shorter.num)[rollouts.previous]
    pairs = numbered(before, rollouts.source)
    return Segments(torch.where(before == shorter.num, pairs.num, pairs.ids), pairs.num)


@peers_of.register
def _same_transition(block: blocks.SameTransition, rollouts: Rollouts) -> Segments:
    done = numbered(rollouts.actions, rollouts.target).ids
    previous = rollouts.previous
    past = torch.zeros_like(done)  # what was done before: 0 is nothing
    for _ in range(block.history):
        told = numbered(with_last(done, -1)[previous], with_last(past, 0)[previous]).ids + 1
        past = torch.where(previous == rollouts.num_steps, 0, told)
    return numbered(rollouts.source, done, past)
