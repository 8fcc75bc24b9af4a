"""A factor per step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphgpo import blocks
from graphgpo.torch.device import arithmetic
from graphgpo.torch.device.dispatch import PerBlock
from graphgpo.torch.device.rollouts import Rollouts
from graphgpo.torch.device.scores import with_means

factors = PerBlock[Tensor]("modifier")


@factors.register
def _failure_rate(block: blocks.FailureRate, rollouts: Rollouts) -> Tensor:
    rate = 1 - _share(rollouts, rollouts.outcomes > 0)
    return (block.beta * arithmetic.power(rate, block.alpha))[rollouts.group.ids]


@factors.register
def _polarised(block: blocks.Polarised, rollouts: Rollouts) -> Tensor:
    b = block.span / (1 / (1 + math.exp(-1.0)) - 0.5)
    won = _won(rollouts)
    p = _share(rollouts, won)[rollouts.trajectory_group.ids]
    x = torch.where(won, arithmetic.power(1 - p, block.alpha), -arithmetic.power(p, block.alpha))
    found = 1 + b * (arithmetic.logistic(x) - 0.5)
    return torch.where(rollouts.judged, found, 1.0)[rollouts.trajectory.ids]


def _won(rollouts: Rollouts) -> Tensor:
    """(trajectories,) success; without a column that says so, an outcome above 0."""
    return rollouts.won if rollouts.has("success") else rollouts.outcomes > 0


def _share(rollouts: Rollouts, holds: Tensor) -> Tensor:
    """(groups,) of the trajectories with a verdict those of which it holds; 0 without any."""
    share = rollouts.trajectory_group.mean(holds.to(torch.float64), rollouts.judged)
    return share[:-1].nan_to_num(nan=0.0)


@factors.register
def _seen(block: blocks.Seen, rollouts: Rollouts) -> Tensor:
    pairs = rollouts.same_action if block.what == "actions" else rollouts.edge
    number = rollouts.state.only(pairs.first).sizes
    return (number >= block.at_least)[rollouts.source].to(torch.float64)


@factors.register
def _action_evidence(block: blocks.ActionEvidence, rollouts: Rollouts) -> Tensor:
    scores, q, m = with_means(block.score, rollouts)
    states, known = rollouts.state, ~scores.isnan()
    between, within = (states.mean(apart * apart, known) for apart in (q - m, scores - q))
    tanh = 2 * arithmetic.logistic(2 * states.sizes.to(torch.float64) / block.tau) - 1
    found = tanh * between / (between + within + block.epsilon)
    return torch.where(between.isnan(), 0.0, found)[states.ids]


def nobody_won(rollouts: Rollouts) -> Tensor:
    """(groups,) whether none of its rollouts succeeded."""
    return rollouts.trajectory_group.count(_won(rollouts))[:-1] == 0


@factors.register
def _live(block: blocks.Live, rollouts: Rollouts) -> Tensor:
    live = (~nobody_won(rollouts)).sum().to(torch.float64)
    return ((live + 1) / (rollouts.group.num + 1)).expand(rollouts.num_steps)


@factors.register
def _nobody_won(block: blocks.NobodyWon, rollouts: Rollouts) -> Tensor:
    lost = nobody_won(rollouts).to(torch.float64)
    if block.times_share:
        lost = lost * (lost.sum() / max(rollouts.group.num, 1))
    return lost[rollouts.group.ids]
