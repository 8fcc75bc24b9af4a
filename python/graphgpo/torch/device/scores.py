"""A number per step; NaN where it is unknown."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch

from graphgpo.blocks import (
    ActionMean,
    Block,
    Difference,
    EdgeReturn,
    Given,
    NewStates,
    Outcome,
    ReturnToGo,
    Standing,
    Surprisal,
    Target,
    Trace,
)
from graphgpo.reference.plan import Level
from graphgpo.torch.device import arithmetic
from graphgpo.torch.device.potentials import (
    outcomes,
    potential,
    returns_to_go,
    rewards,
    step_numbers,
)
from graphgpo.torch.device.refusals import unknown_block
from graphgpo.torch.device.rollouts import Rollouts
from graphgpo.torch.device.segments import Segments, numbered

Tensor = torch.Tensor


def score(block: Any, rollouts: Rollouts) -> Tensor:
    """The score of every step, computed once a batch."""
    return rollouts.once("score", block, lambda: _score(block, rollouts))


@functools.singledispatch
def _score(block: object, rollouts: Rollouts) -> Tensor:
    raise unknown_block("score", block)


@_score.register
def _given(block: Given, rollouts: Rollouts) -> Tensor:
    return step_numbers(block, rollouts)


@_score.register
def _edge_return(block: EdgeReturn, rollouts: Rollouts) -> Tensor:
    before = rollouts.distances_at(rollouts.source)
    after = rollouts.distances_at(rollouts.target)
    exponent = {
        "paper": after + rollouts.cost,
        "recipe": after + rollouts.cost - 1,
        "progress": (after - before) + rollouts.cost,
    }[block.exponent]
    return block.success_reward * arithmetic.power(block.omega, exponent)


@_score.register
def _target(block: Target, rollouts: Rollouts) -> Tensor:
    return block.gamma * potential(block.potential, rollouts)[1]


@_score.register
def _difference(block: Difference, rollouts: Rollouts) -> Tensor:
    before, after = potential(block.potential, rollouts)
    if not block.rewards:
        return block.gamma * after - before
    return rewards(rollouts, block.success_reward) + block.gamma * after - before


@_score.register
def _trace(block: Trace, rollouts: Rollouts) -> Tensor:
    return rollouts.backwards(score(block.difference, rollouts), block.difference.gamma * block.lam)


@_score.register
def _return_to_go(block: ReturnToGo, rollouts: Rollouts) -> Tensor:
    return returns_to_go(rollouts, block.gamma, block.success_reward)


@_score.register
def _outcome(block: Outcome, rollouts: Rollouts) -> Tensor:
    return outcomes(rollouts)[rollouts.trajectory.ids]


@_score.register
def _new_states(block: NewStates, rollouts: Rollouts) -> Tensor:
    start = rollouts.per_trajectory(rollouts.source)
    trajectory = rollouts.trajectory
    visitor = torch.cat([torch.arange(trajectory.num, device=start.device), trajectory.ids])
    visited = numbered(visitor, torch.cat([start, rollouts.target]))
    new = visited.first[trajectory.num :] - trajectory.num  # the first are the starts themselves
    number = Segments(trajectory.ids[new], trajectory.num).count(torch.ones_like(new))
    return number[trajectory.ids].to(torch.float64) / rollouts.length


@_score.register
def _surprisal(block: Surprisal, rollouts: Rollouts) -> Tensor:
    found = surprisals(rollouts)
    return found - surprisals_given_action(rollouts) if block.actions else found


def surprisals(rollouts: Rollouts) -> Tensor:
    """ln(n(s) / n(s, c)), c the target; those that one step alone takes from s are one target."""
    return _surprisals_among(Segments(rollouts.source, rollouts.num_nodes), rollouts)


def surprisals_given_action(rollouts: Rollouts) -> Tensor:
    """The same among the steps with one state and action."""
    return _surprisals_among(same_action(rollouts), rollouts)


def _surprisals_among(keys: Segments, rollouts: Rollouts) -> Tensor:
    edges = numbered(rollouts.source, rollouts.target, by_appearance=False)
    times = torch.bincount(edges.ids, minlength=edges.num)[edges.ids]
    pooled = torch.where(times > 1, rollouts.target, -1)
    pairs = numbered(keys.ids, pooled, by_appearance=False)
    going = torch.bincount(pairs.ids, minlength=pairs.num)[pairs.ids]
    leaving = keys.count(torch.ones_like(times))[keys.ids]
    return arithmetic.log(leaving.to(torch.float64) / going)


@_score.register
def _action_mean(block: ActionMean, rollouts: Rollouts) -> Tensor:
    scores = score(block.score, rollouts)
    known = ~scores.isnan()
    actions, states = same_action(rollouts), Segments(rollouts.source, rollouts.num_nodes)
    q, m = actions.mean(scores, known)[actions.ids], states.mean(scores, known)[states.ids]
    if block.kappa == 0:
        return q
    n = actions.count(known)[actions.ids].to(torch.float64)
    return torch.where(q == m, q, (n * q + block.kappa * m) / (n + block.kappa))


def same_action(rollouts: Rollouts) -> Segments:
    """Steps with one state and action."""

    def found() -> Segments:
        pairs = numbered(rollouts.source, rollouts.actions(), by_appearance=False)
        return Segments(pairs.ids, pairs.num)

    return rollouts.once("same_action", Block(), found)


@_score.register
def _standing(block: Standing, rollouts: Rollouts) -> Tensor:
    from graphgpo.torch.device.comparison import compare

    scores = score(block.score, rollouts)
    level = compare(Level(block.score, block.peers, block.normaliser, block.unit), rollouts)
    return torch.where(scores.isnan(), math.nan, level.standings)
