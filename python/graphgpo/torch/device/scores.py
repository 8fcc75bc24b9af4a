"""A number per step; NaN where it is unknown."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphgpo import blocks
from graphgpo.reference.plan import Level
from graphgpo.reference.scores import edge_exponent
from graphgpo.torch.device import arithmetic
from graphgpo.torch.device.dispatch import PerBlock
from graphgpo.torch.device.potentials import numbers, potential, returns_to_go
from graphgpo.torch.device.rollouts import Rollouts
from graphgpo.torch.device.segments import Segments, numbered

score = PerBlock[Tensor]("score")
score.register(blocks.ReturnToGo, returns_to_go)
score.register(blocks.Outcome, lambda _, rollouts: rollouts.outcomes[rollouts.trajectory.ids])


@score.register
def _given(block: blocks.Given, rollouts: Rollouts) -> Tensor:
    return numbers(block, rollouts, rollouts.columns.num_rows)[rollouts.row]


@score.register
def _edge_return(block: blocks.EdgeReturn, rollouts: Rollouts) -> Tensor:
    before, after = rollouts.distances
    exponent = edge_exponent(block, before, after, rollouts.cost)
    found = block.success_reward * arithmetic.power(block.omega, exponent)
    rollouts.refuse(found.isinf())
    return found


@score.register
def _target(block: blocks.Target, rollouts: Rollouts) -> Tensor:
    return block.gamma * potential(block.potential, rollouts)[1]


@score.register
def _difference(block: blocks.Difference, rollouts: Rollouts) -> Tensor:
    before, after = potential(block.potential, rollouts)
    received = rollouts.rewards(block.success_reward) if block.rewards else 0.0
    return received + block.gamma * after - before


@score.register
def _trace(block: blocks.Trace, rollouts: Rollouts) -> Tensor:
    return rollouts.backwards(score(block.difference, rollouts), block.difference.gamma * block.lam)


@score.register
def _new_states(block: blocks.NewStates, rollouts: Rollouts) -> Tensor:
    trajectory = rollouts.trajectory
    visitor = torch.cat([trajectory.ids[rollouts.start], trajectory.ids])
    visited = numbered(visitor, torch.cat([rollouts.source[rollouts.start], rollouts.target]))
    is_new = visited.first >= trajectory.num  # the first are the starts themselves
    number = trajectory.only(visited.first[is_new] - trajectory.num).sizes
    return number[trajectory.ids].to(torch.float64) / rollouts.length


@score.register
def _surprisal(block: blocks.Surprisal, rollouts: Rollouts) -> Tensor:
    found = surprisals(rollouts.state, rollouts)
    return found - surprisals(rollouts.same_action, rollouts) if block.actions else found


def surprisals(peers: Segments, rollouts: Rollouts) -> Tensor:
    """ln(n / n(c)) among a step's peers, c its target; those that one step alone takes from its
    state are one target.
    """
    is_alone = rollouts.edge.sizes[rollouts.edge.ids] == 1
    pairs = numbered(peers.ids, torch.where(is_alone, -1, rollouts.target))
    leaving = peers.sizes[peers.ids].to(torch.float64)
    return arithmetic.log(leaving / pairs.sizes[pairs.ids])


@score.register
def _action_mean(block: blocks.ActionMean, rollouts: Rollouts) -> Tensor:
    scores, q, m = with_means(block.score, rollouts)
    if block.kappa == 0:
        return q
    actions = rollouts.same_action
    n = actions.count(~scores.isnan())[actions.ids].to(torch.float64)
    return torch.where(q == m, q, (n * q + block.kappa * m) / (n + block.kappa))


def with_means(block: Any, rollouts: Rollouts) -> tuple[Tensor, Tensor, Tensor]:
    """A score, and its means over the steps with one state and action, and with one state."""
    scores = score(block, rollouts)
    q, m = (peers.mean(scores)[peers.ids] for peers in (rollouts.same_action, rollouts.state))
    return scores, q, m


@score.register
def _standing(block: blocks.Standing, rollouts: Rollouts) -> Tensor:
    from graphgpo.torch.device.plan import compare

    level = compare(Level(block.score, block.peers, block.normaliser, block.unit), rollouts)
    return torch.where(level.scores.isnan(), math.nan, level.standings)
