"""An estimator's terms, interpreted: every step compared with its peers, and summed up."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphgpo import blocks
from graphgpo.estimators import Estimator
from graphgpo.reference.plan import SAME, Compared, Credit, Level, summed
from graphgpo.reference.scores import is_iterated
from graphgpo.torch.device import arithmetic
from graphgpo.torch.device.dispatch import PerBlock
from graphgpo.torch.device.modifiers import factors
from graphgpo.torch.device.peers import counted_once, peers_of
from graphgpo.torch.device.rollouts import Rollouts
from graphgpo.torch.device.scores import score
from graphgpo.torch.device.segments import Segments


def interpret(estimator: Estimator, rollouts: Rollouts) -> Credit:
    """What an estimator makes of a batch, by step."""
    return summed(
        estimator,
        lambda level: compare(level, rollouts),
        lambda term, levels: _term(term, levels, rollouts),
        torch.zeros_like(rollouts.cost),
    )


def _term(term: blocks.Term, levels: Sequence[Compared], rollouts: Rollouts) -> Tensor:
    """A term, without its weight: the weighted mean of its levels, averaged and modified."""
    weighted = total = torch.zeros_like(rollouts.cost)
    for weight, level in zip(term.peer_weights, levels, strict=True):
        spoken = weight * (~level.is_void).to(torch.float64)
        weighted, total = weighted + spoken * level.standings, total + spoken
    result = torch.where(total == 0, 0.0, weighted / total)
    if term.average is not None:
        peers = peers_of(term.average, rollouts)
        average = peers.mean(result, torch.ones_like(rollouts.is_last))[peers.ids]
        result = torch.where(peers.is_in_one, average, result)
    for modifier in term.modifiers:
        result = result * factors(modifier, rollouts)
    return result


# --- one level ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Sample:
    """The values that enter the statistics, and which segment each is in. (S,)"""

    segments: Segments
    values: Tensor
    counted: Tensor
    known: dict[Any, Any] = field(default_factory=dict)

    @functools.cached_property
    def number(self) -> Tensor:
        """Of what is counted in the step's segment."""
        return self.segments.count(self.counted)[self.segments.ids]

    @functools.cached_property
    def apart(self) -> Tensor:
        """Each value from the mean of its segment."""
        return self.values - self.segments.mean(self.values, self.counted)[self.segments.ids]

    @functools.cached_property
    def squares(self) -> Tensor:
        """The sum of those of its segment."""
        apart = torch.where(self.counted, self.apart, 0.0)
        return self.segments.sum(apart * apart)[self.segments.ids]

    def variance(self, ddof: int) -> Tensor:
        """In two passes, the mean first."""
        return self.squares / (self.number - ddof).clamp(min=1)


def compare(level: Level, rollouts: Rollouts) -> Compared:
    """Void, and 0, where a step has no key, where its score is unknown, where fewer than two known
    values are to be compared, and where these are all equal.
    """
    scores = score(level.score, rollouts)
    if isinstance(level.normaliser, blocks.Raw):
        raw = torch.where(scores.isnan(), 0.0, scores - _penalty(level, rollouts))
        none = torch.zeros_like(rollouts.turn)
        return Compared(scores, raw, none.to(torch.bool), none)
    segments = peers_of(level.peers, rollouts)
    counted = segments.is_in_one & ~scores.isnan()
    if level.unit == "trajectories":
        counted = counted & counted_once(level.peers, rollouts)
    values = _values(level, rollouts, segments, scores, counted)
    sample = Sample(segments, values, counted)
    rollouts.refuse(~sample.squares.isfinite())
    low, high = segments.bounds(values, counted)
    is_compared = (sample.number >= 2) & (low < high)[segments.ids]
    standings, is_off = _standings(level.normaliser, sample)
    is_void = ~is_compared | ~segments.is_in_one | is_off | values.isnan()
    if level.is_for_winners(rollouts.has("action_valid")):
        is_void |= ~rollouts.is_of_winners
    num_peers = torch.where(segments.is_in_one, sample.number, 0)
    return Compared(scores, torch.where(is_void, 0.0, standings), is_void, num_peers)


def _values(
    level: Level, rollouts: Rollouts, segments: Segments, scores: Tensor, counted: Tensor
) -> Tensor:
    """What is compared: scores, scaled if so, less the penalty for invalid actions."""
    values = scores
    if level.is_relative and isinstance(level.score, blocks.EdgeReturn):
        # Over the largest of them, which neither under- nor overflows. The kinds of exponent differ
        # by a constant per source state, which cancels.
        exponent = rollouts.distances[1] + rollouts.cost
        least = segments.smallest(torch.where(counted, exponent, math.inf))[segments.ids]
        values = arithmetic.power(level.score.omega, exponent - least)
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
    is_taken = rollouts.is_invalid & (rollouts.is_of_winners | (not level.is_relative))
    return level.penalty * is_taken.to(torch.float64)


# --- normalisers ----------------------------------------------------------------------------------

Standings: TypeAlias = "tuple[Tensor, Tensor | bool]"
"""How values stand among those that differ, and where that is void all the same."""

_standings = PerBlock[Standings]("normaliser")
_standings.register(blocks.Mean, lambda _, sample: (sample.apart, False))


@_standings.register
def _mean_std(block: blocks.MeanStd, sample: Sample) -> Standings:
    variance = sample.variance(block.ddof)
    if block.inside:
        return sample.apart / (variance + block.epsilon).sqrt(), False
    std = variance.sqrt()
    return sample.apart / (std + block.epsilon), std < block.off_below


@_standings.register
def _leave_one_out(block: blocks.LeaveOneOut, sample: Sample) -> Standings:
    return sample.apart * sample.number / (sample.number - 1).clamp(min=1), False


@_standings.register
def _floored_std(block: blocks.FlooredStd, sample: Sample) -> Standings:
    return sample.apart / sample.variance(block.ddof).sqrt().clamp(min=block.floor), False
