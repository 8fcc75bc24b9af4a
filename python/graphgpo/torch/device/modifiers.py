"""A factor per step."""

from __future__ import annotations

import functools
import math

import torch

from graphgpo.blocks import ActionEvidence, FailureRate, Live, NobodyWon, Polarised, Seen
from graphgpo.torch.device import arithmetic
from graphgpo.torch.device.potentials import outcomes
from graphgpo.torch.device.refusals import unknown_block
from graphgpo.torch.device.rollouts import Rollouts
from graphgpo.torch.device.scores import same_action, score
from graphgpo.torch.device.segments import Segments, numbered

Tensor = torch.Tensor


@functools.singledispatch
def factors(block: object, rollouts: Rollouts) -> Tensor:
    """The factor of every step."""
    raise unknown_block("modifier", block)


@factors.register
def _failure_rate(block: FailureRate, rollouts: Rollouts) -> Tensor:
    rate = 1 - _share(rollouts, outcomes(rollouts) > 0)
    return (block.beta * arithmetic.powers(rate, block.alpha))[rollouts.group.ids]


@factors.register
def _polarised(block: Polarised, rollouts: Rollouts) -> Tensor:
    b = block.span / (1 / (1 + math.exp(-1.0)) - 0.5)
    won = _won(rollouts)
    p = _share(rollouts, won)[rollouts.trajectory_group]
    x = torch.where(won, arithmetic.powers(1 - p, block.alpha), -arithmetic.powers(p, block.alpha))
    found = 1 + b * (arithmetic.logistic(x) - 0.5)
    return torch.where(rollouts.judged, found, 1.0)[rollouts.trajectory.ids]


def _won(rollouts: Rollouts) -> Tensor:
    """(trajectories,) success; without a column that says so, an outcome above 0."""
    return rollouts.won if rollouts.has("success") else outcomes(rollouts) > 0


def _share(rollouts: Rollouts, holds: Tensor) -> Tensor:
    """(groups,) of the trajectories with a verdict those of which it holds; 0 without any."""
    groups = Segments(rollouts.trajectory_group, rollouts.group.num)
    judged = groups.count(rollouts.judged)[:-1]
    return groups.count(holds & rollouts.judged)[:-1] / judged.clamp(min=1).to(torch.float64)


@factors.register
def _seen(block: Seen, rollouts: Rollouts) -> Tensor:
    kinds = rollouts.actions() if block.what == "actions" else rollouts.target
    pairs = numbered(rollouts.source, kinds, by_appearance=False)
    states = Segments(rollouts.source[pairs.first], rollouts.num_nodes)
    number = states.count(torch.ones_like(pairs.first))
    return (number >= block.at_least)[rollouts.source].to(torch.float64)


@factors.register
def _action_evidence(block: ActionEvidence, rollouts: Rollouts) -> Tensor:
    scores = score(block.score, rollouts)
    known = ~scores.isnan()
    actions, states = same_action(rollouts), Segments(rollouts.source, rollouts.num_nodes)
    q = actions.mean(scores, known)[actions.ids]
    m = states.mean(scores, known)[states.ids]
    between = states.mean((q - m) * (q - m), known)
    within = states.mean((scores - q) * (scores - q), known)
    n = states.count(torch.ones_like(known)).to(torch.float64)
    found = arithmetic.tanh(n / block.tau) * between / (between + within + block.epsilon)
    return torch.where(between.isnan(), 0.0, found)[states.ids]


def nobody_won(rollouts: Rollouts) -> Tensor:
    """(groups,) whether none of its rollouts succeeded."""
    groups = Segments(rollouts.trajectory_group, rollouts.group.num)
    return groups.count(_won(rollouts))[:-1] == 0


@factors.register
def _live(block: Live, rollouts: Rollouts) -> Tensor:
    live = (~nobody_won(rollouts)).sum().to(torch.float64)
    return ((live + 1) / (rollouts.group.num + 1)).expand(rollouts.num_steps)


@factors.register
def _nobody_won(block: NobodyWon, rollouts: Rollouts) -> Tensor:
    lost = nobody_won(rollouts).to(torch.float64)
    if block.times_share:
        lost = lost * (lost.sum() / max(rollouts.group.num, 1))
    return lost[rollouts.group.ids]
