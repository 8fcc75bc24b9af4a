"""A number per node, as each step meets it: before it, and after it. NaN: unknown."""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor

from graphgpo import blocks
from graphgpo.torch.device import arithmetic
from graphgpo.torch.device.columns import RefusedError
from graphgpo.torch.device.dispatch import PerBlock
from graphgpo.torch.device.rollouts import Rollouts
from graphgpo.torch.device.segments import numbered, settled, with_last

BeforeAndAfter: TypeAlias = tuple[Tensor, Tensor]

_GRID = 58
"""A Bellman mean is a multiple of 2**-58."""

potential = PerBlock[BeforeAndAfter]("potential")


@potential.register
def _log(block: blocks.Log, rollouts: Rollouts) -> BeforeAndAfter:
    before, after = (v.clamp(min=block.floor) for v in potential(block.potential, rollouts))
    return arithmetic.log(before), arithmetic.log(after)


@potential.register
def _reach_value(block: blocks.ReachValue, rollouts: Rollouts) -> BeforeAndAfter:
    is_reached = rollouts.distance.isfinite()
    distance = torch.where(is_reached, rollouts.distance, 0.0)
    values = block.success_reward * arithmetic.power(block.gamma, distance)
    return _at_nodes(torch.where(is_reached, values, 0.0), rollouts)


@potential.register
def _given(block: blocks.Given, rollouts: Rollouts) -> BeforeAndAfter:
    return _at_nodes(numbers(block, rollouts, rollouts.num_nodes), rollouts)


def _at_nodes(values: Tensor, rollouts: Rollouts) -> BeforeAndAfter:
    return values[rollouts.source], values[rollouts.target]


# --- mean return ----------------------------------------------------------------------------------


@potential.register
def _mean_return(block: blocks.MeanReturn, rollouts: Rollouts) -> BeforeAndAfter:
    outcome = rollouts.outcomes[rollouts.trajectory.ids]
    if block.of == "rewards":
        returns = returns_to_go(block, rollouts)
    else:
        left = (rollouts.length - rollouts.turn).to(torch.float64)
        returns = arithmetic.power(block.gamma, left) * outcome
    penalty = block.penalty * rollouts.is_invalid.to(torch.float64)
    returns = returns - penalty
    before = rollouts.state.mean(returns)[rollouts.source]
    end = torch.zeros_like(before)
    if block.end == "outcome":
        end = outcome - penalty
    elif block.end == "success":
        end = rollouts.at_success(block.success_reward, rollouts.is_last)
    after = with_last(before, 0.0)[rollouts.following]
    return before, torch.where(rollouts.is_last, end, after)


def returns_to_go(block: blocks.ReturnToGo | blocks.MeanReturn, rollouts: Rollouts) -> Tensor:
    """What a step receives, and gamma times the same of the following step."""
    return rollouts.backwards(rollouts.rewards(block.success_reward), block.gamma)


# --- Bellman mean ---------------------------------------------------------------------------------


@potential.register
def _bellman_mean(block: blocks.BellmanMean, rollouts: Rollouts) -> BeforeAndAfter:
    ends = _ends(block, rollouts)
    values = _fixed_point(block.gamma, rollouts, ends)
    after = torch.where(ends.isnan(), values[rollouts.target], ends)
    return values[rollouts.source], after


def _ends(block: blocks.BellmanMean, rollouts: Rollouts) -> Tensor:
    """What a step leads to where that is no node with ways on, else NaN."""
    if block.boundary is not None:
        by_row = numbers(block.boundary, rollouts, rollouts.columns.num_rows)
        is_masked = rollouts.step_of_row == rollouts.num_steps
        ends = by_row[rollouts.row]
        agree = ends == ends[rollouts.end][rollouts.trajectory.ids]  # one value per trajectory
        if not bool(((by_row >= 0) & (by_row <= 1) | is_masked).all() & agree.all()):
            raise RefusedError
    else:
        ends = rollouts.is_won.to(torch.float64)
        if block.failed_end == "state":
            ends = torch.where(rollouts.is_won, ends, math.nan)
    return torch.where(rollouts.is_last, ends, math.nan)


def _fixed_point(gamma: float, rollouts: Rollouts, ends: Tensor) -> Tensor:
    """(nodes + 1,) V(u) = gamma * mean of what its steps lead to, on a grid of 2**-58.

    From 0 upwards: every sweep rounds a growing function of whole numbers, so it ends at the least
    of its fixed points exactly, however many sweeps are taken between two looks, and whatever else
    is in the batch. Off the mean by no more than 2**-58 / (1 - gamma). Loops of one step are
    solved, not iterated. O(edges) a sweep, log(2**-58) / log(gamma) sweeps at most.
    """
    leaving, goes_on = rollouts.state, ends.isnan()
    steps, stays = leaving.sizes, goes_on & (rollouts.source == rollouts.target)
    earned = leaving.sum(torch.where(goes_on, 0.0, ends))
    start = torch.where(steps > 0, earned * 2.0**_GRID, 0.0)
    factor = gamma / (steps - gamma * leaving.count(stays).to(torch.float64))
    taken = (goes_on & ~stays & (steps[rollouts.target] > 0)).nonzero()[:, 0]
    edges = numbered(rollouts.source[taken], rollouts.target[taken])
    one_each = taken[edges.first]
    outgoing, target, times = leaving.only(one_each), rollouts.target[one_each], edges.sizes[:-1]
    half = _GRID // 2

    def sweep(values: Tensor) -> Tensor:
        # In two halves, each of which adds up in int64.
        reached = values[target]
        high = outgoing.total((reached >> half) * times).to(torch.float64)
        low = outgoing.total((reached & ((1 << half) - 1)) * times).to(torch.float64)
        led_to = (high * 2.0**half + low) + start
        grown = torch.where(steps > 0, led_to * factor, 0.0)
        return grown.round().to(torch.int64)

    values = settled(sweep, torch.zeros_like(steps), every=32)
    return values.to(torch.float64) * 2.0**-_GRID


# --- numbers of the user's own --------------------------------------------------------------------


def numbers(given: blocks.Given, rollouts: Rollouts, length: int) -> Tensor:
    """The values of a `Given`; a function makes them of the rollouts in host memory."""
    values = given.resolved(rollouts.host())
    found = torch.as_tensor(values, dtype=torch.float64, device=rollouts.columns.device)
    if found.shape != (length,):
        raise RefusedError
    return found.detach()
