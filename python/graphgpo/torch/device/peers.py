"""Which steps are compared: segments of steps, in none of which a step has no peers."""

from __future__ import annotations

import functools
from typing import Any

import torch

from graphgpo.blocks import (
    Batch,
    LastStates,
    PeerKeys,
    SameState,
    SameTransition,
    Task,
    Turn,
)
from graphgpo.torch.device.refusals import unknown_block
from graphgpo.torch.device.rollouts import Rollouts
from graphgpo.torch.device.segments import Segments, numbered

Tensor = torch.Tensor


def peers_of(block: Any, rollouts: Rollouts) -> Segments:
    """Steps with one key, found once a batch."""
    return rollouts.once("peers", block, lambda: _peers(block, rollouts))


def counted_once(block: Any, rollouts: Rollouts) -> Tensor:
    """Of each trajectory the first step with a key."""
    return rollouts.once("counted", block, lambda: _counted_once(block, rollouts))


def _counted_once(block: Any, rollouts: Rollouts) -> Tensor:
    peers = peers_of(block, rollouts)
    order = torch.argsort(rollouts.turn, stable=True)
    pairs = numbered(peers.ids[order], rollouts.trajectory.ids[order], by_appearance=False)
    is_first = torch.zeros_like(rollouts.is_last)
    is_first[order[pairs.first]] = True
    return is_first


@functools.singledispatch
def _peers(block: object, rollouts: Rollouts) -> Segments:
    raise unknown_block("peers", block)


@_peers.register
def _same_state(block: SameState, rollouts: Rollouts) -> Segments:
    return Segments(rollouts.source, rollouts.num_nodes)


@_peers.register
def _last_states(block: LastStates, rollouts: Rollouts) -> Segments:
    if block.count <= 1:
        return Segments(rollouts.source, rollouts.num_nodes)
    shorter = peers_of(LastStates(block.count - 1), rollouts)
    missing = rollouts.source.new_tensor([shorter.num])
    before = torch.cat([shorter.ids, missing])[_previous(rollouts)]
    pairs = numbered(before, rollouts.source, by_appearance=False)
    has_none = before == shorter.num
    return Segments(torch.where(has_none, pairs.num, pairs.ids), pairs.num)


def _previous(rollouts: Rollouts) -> Tensor:
    """The step before it; S: it is the first."""
    num_steps = rollouts.num_steps
    previous = torch.full_like(rollouts.turn, num_steps)
    goes_on = ~rollouts.is_last
    previous[rollouts.following[goes_on]] = goes_on.nonzero()[:, 0]
    return previous


@_peers.register
def _task(block: Task, rollouts: Rollouts) -> Segments:
    return rollouts.group


@_peers.register
def _turn(block: Turn, rollouts: Rollouts) -> Segments:
    return _segments(rollouts.group.ids, rollouts.turn)


@_peers.register
def _batch(block: Batch, rollouts: Rollouts) -> Segments:
    return Segments(torch.zeros_like(rollouts.turn), 1)


@_peers.register
def _peer_keys(block: PeerKeys, rollouts: Rollouts) -> Segments:
    return _segments(rollouts.group.ids, rollouts.keys("peer_keys"))


@_peers.register
def _same_transition(block: SameTransition, rollouts: Rollouts) -> Segments:
    done = numbered(rollouts.actions(), rollouts.target, by_appearance=False).ids
    padded = torch.cat([done, done.new_tensor([-1])])
    previous = _previous(rollouts)
    past = torch.zeros_like(done)  # what was done before: 0 is nothing
    for _ in range(block.history):
        earlier = torch.cat([past, past.new_zeros(1)])[previous]
        told = numbered(padded[previous], earlier, by_appearance=False).ids + 1
        past = torch.where(previous == rollouts.num_steps, 0, told)
    return _segments(rollouts.source, done, past)


def _segments(*keys: Tensor) -> Segments:
    found = numbered(*keys, by_appearance=False)
    return Segments(found.ids, found.num)
