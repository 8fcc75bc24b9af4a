"""One level of a term: every step's standing among the steps with its key."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch

from graphgpo.blocks import EdgeReturn, FlooredStd, LeaveOneOut, Mean, MeanStd, Raw
from graphgpo.reference.plan import SAME, Level
from graphgpo.reference.scores import is_iterated
from graphgpo.torch.device import arithmetic
from graphgpo.torch.device.peers import counted_once, peers_of
from graphgpo.torch.device.refusals import unknown_block
from graphgpo.torch.device.rollouts import Rollouts
from graphgpo.torch.device.scores import score
from graphgpo.torch.device.segments import Segments

Tensor = torch.Tensor


@dataclass(frozen=True, eq=False)
class Compared:
    """By step: its score, its standing, whether that is void, and how many peers it was among."""

    scores: Tensor
    standings: Tensor
    is_void: Tensor
    num_peers: Tensor


@dataclass(frozen=True, eq=False)
class Sample:
    """The values that enter the statistics, and which segment each is in."""

    segments: Segments
    values: Tensor
    counted: Tensor
    number: Tensor
    """(segments + 1,)"""

    @functools.cached_property
    def mean(self) -> Tensor:
        """(S,) of the step's segment."""
        return self.segments.mean(self.values, self.counted)[self.segments.ids]

    def std(self, ddof: int) -> Tensor:
        return self.variance(ddof).sqrt()

    def variance(self, ddof: int) -> Tensor:
        """(S,) in two passes, the mean first."""
        apart = torch.where(self.counted, self.values - self.mean, 0.0)
        squares = self.segments.sum(apart * apart)
        return (squares / (self.number - ddof).clamp(min=1))[self.segments.ids]


def compare(level: Level, rollouts: Rollouts) -> Compared:
    """Void, and 0, where a step has no key, where its score is unknown, where fewer than two known
    values are to be compared, and where these are all equal.
    """
    scores = score(level.score, rollouts)
    if isinstance(level.normaliser, Raw):
        raw = (scores - _penalty(level, rollouts)).nan_to_num(nan=0.0, posinf=None, neginf=None)
        raw = torch.where(scores.isnan(), 0.0, raw)
        none = torch.zeros_like(rollouts.turn)
        return Compared(scores, raw, none.to(torch.bool), none)
    segments = peers_of(level.peers, rollouts)
    counted = segments.is_in_one & ~scores.isnan()
    if level.unit == "trajectories":
        counted = counted & counted_once(level.peers, rollouts)
    values = _values(level, rollouts, segments, scores, counted)
    number = segments.count(counted)
    sample = Sample(segments, values, counted, number)
    low = segments.smallest(torch.where(counted, values, math.inf))
    high = segments.largest(torch.where(counted, values, -math.inf))
    is_compared = ((number >= 2) & (low < high))[segments.ids]
    is_void = ~is_compared | ~segments.is_in_one | values.isnan()
    is_void |= _teaches_nothing(level, rollouts)
    standings, is_off = _standings(level.normaliser, sample)
    is_void |= is_off
    num_peers = torch.where(segments.is_in_one, number[segments.ids], 0)
    return Compared(scores, torch.where(is_void, 0.0, standings), is_void, num_peers)


def _values(
    level: Level, rollouts: Rollouts, segments: Segments, scores: Tensor, counted: Tensor
) -> Tensor:
    """What is compared: scores, scaled if so, less the penalty for invalid actions."""
    values = scores
    if level.is_relative and isinstance(level.score, EdgeReturn):
        # Over the largest of them, which neither under- nor overflows. The kinds of exponent differ
        # by a constant per source state, which cancels.
        exponent = rollouts.distances_at(rollouts.target) + rollouts.cost
        least = segments.smallest(torch.where(counted, exponent, math.inf))[segments.ids]
        above = torch.where(least.isinf(), 0.0, exponent - least)
        values = arithmetic.power(level.score.omega, above)
    elif level.is_relative:
        largest = segments.largest(torch.where(counted, values.abs(), 0.0), 0.0)[segments.ids]
        values = torch.where(largest > 0, values / largest, values)
    values = values - _penalty(level, rollouts)
    if is_iterated(level.score):
        largest = segments.largest(torch.where(counted, values, -math.inf))[segments.ids]
        is_same = (largest - values).abs() <= SAME * largest.abs()
        values = torch.where(is_same & largest.isfinite(), largest, values)
    return values


def _penalty(level: Level, rollouts: Rollouts) -> Tensor:
    """What is taken from a step's score; at relative scale in groups with a success only."""
    takes = rollouts.is_invalid
    if level.is_relative:
        takes = takes & rollouts.has_goal[rollouts.group.ids]
    return level.penalty * takes.to(torch.float64)


def _teaches_nothing(level: Level, rollouts: Rollouts) -> Tensor:
    """An edge return in a group that nobody won, but for penalties at absolute scale."""
    is_lost = ~rollouts.has_goal[rollouts.group.ids]
    is_punished = level.penalty != 0 and rollouts.has("action_valid") and not level.is_relative
    if not isinstance(level.score, EdgeReturn) or is_punished:
        return torch.zeros_like(is_lost)
    return is_lost


# --- normalisers ----------------------------------------------------------------------------------


@functools.singledispatch
def _standings(block: object, sample: Sample) -> tuple[Tensor, Tensor]:
    """How values stand among those that differ, and where that is void all the same."""
    raise unknown_block("normaliser", block)


def _everywhere(sample: Sample, standings: Tensor) -> tuple[Tensor, Tensor]:
    return standings, torch.zeros_like(sample.counted)


@_standings.register
def _mean(block: Mean, sample: Sample) -> tuple[Tensor, Tensor]:
    return _everywhere(sample, sample.values - sample.mean)


@_standings.register
def _mean_std(block: MeanStd, sample: Sample) -> tuple[Tensor, Tensor]:
    apart, variance = sample.values - sample.mean, sample.variance(block.ddof)
    if block.inside:
        return _everywhere(sample, apart / (variance + block.epsilon).sqrt())
    std = variance.sqrt()
    return apart / (std + block.epsilon), std < block.off_below


@_standings.register
def _leave_one_out(block: LeaveOneOut, sample: Sample) -> tuple[Tensor, Tensor]:
    n = sample.number[sample.segments.ids]
    return _everywhere(sample, (sample.values - sample.mean) * n / (n - 1).clamp(min=1))


@_standings.register
def _floored_std(block: FlooredStd, sample: Sample) -> tuple[Tensor, Tensor]:
    std = sample.std(block.ddof).clamp(min=block.floor)
    return _everywhere(sample, (sample.values - sample.mean) / std)
