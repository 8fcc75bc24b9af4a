"""A factor per step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphgpo import blocks
from graphgpo.torch.device import arithmetic
from graphgpo.torch.device.dispatch import PerBlock
from graphgpo.torch.device.potentials import outcomes
from graphgpo.torch.device.rollouts import Rollouts
from graphgpo.torch.device.scores import score

factors = PerBlock[Tensor]("modifier")


@factors.register
def _failure_rate(block: blocks.FailureRate, rollouts: Rollouts) -> Tensor:
    rate = 1 - _share(rollouts, outcomes(rollouts) > 0)
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
    return rollouts.won if rollouts.has("success") else outcomes(rollouts) > 0


def _share(rollouts: Rollouts, holds: Tensor) -> Tensor:
    """(groups,) of the trajectories with a verdict those of which it holds; 0 without any."""
    judged = rollouts.trajectory_group.count(rollouts.judged)[:-1]
    number = rollouts.trajectory_group.count(holds & rollouts.judged)[:-1]
    return number / judged.clamp(min=1).to(torch.float64)


@factors.register
def _seen(block: blocks.Seen, rollouts: Rollouts) -> Tensor:
    pairs = rollouts.same_action if block.what == "actions" else rollouts.edge
    number = rollouts.state.only(pairs.first).sizes
    return (number >= block.at_least)[rollouts.source].to(torch.float64)


@factors.register
def _action_evidence(block: blocks.ActionEvidence, rollouts: Rollouts) -> Tensor:
    scores = score(block.score, rollouts)
    known = ~scores.isnan()
    actions, states = rollouts.same_action, rollouts.state
    q = actions.mean(scores, known)[actions.ids]
    m = states.mean(scores, known)[states.ids]
    between = states.mean((q - m) * (q - m), known)
    within = states.mean((scores - q) * (scores - q), known)
    n = states.sizes.to(torch.float64)
    tanh = 2 * arithmetic.logistic(2 * n / block.tau) - 1
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
