"""How a value stands among those of its peers: a function of the value, or None for "void".

Void are fewer than two peers, and peers whose values are all equal. Sums are exact before they are
rounded.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from graphgpo.blocks import FlooredStd, LeaveOneOut, Mean, MeanStd
from graphgpo.reference.sums import mean

Normal: TypeAlias = Callable[[float], float]


def normal(block: object, values: Sequence[float]) -> Normal | None:
    """What makes a standing of a value, from the values of all peers."""
    if len(values) < 2 or min(values) == max(values):
        return None
    return among(block, values)


@functools.singledispatch
def among(block: object, values: Sequence[float]) -> Normal | None:
    """The same, for values that differ."""
    raise TypeError(f"the reference knows no normaliser {type(block).__name__}")


@among.register
def _mean(block: Mean, values: Sequence[float]) -> Normal | None:
    centre = mean(values)
    return lambda x: x - centre


@among.register
def _mean_std(block: MeanStd, values: Sequence[float]) -> Normal | None:
    centre, spread = mean(values), variance(values, block.ddof)
    if block.inside:
        return lambda x: (x - centre) / math.sqrt(spread + block.epsilon)
    if math.sqrt(spread) < block.off_below:
        return None
    return lambda x: (x - centre) / (math.sqrt(spread) + block.epsilon)


@among.register
def _leave_one_out(block: LeaveOneOut, values: Sequence[float]) -> Normal | None:
    centre, n = mean(values), len(values)
    return lambda x: (x - centre) * n / (n - 1)


@among.register
def _floored_std(block: FlooredStd, values: Sequence[float]) -> Normal | None:
    centre, std = mean(values), math.sqrt(variance(values, block.ddof))
    return lambda x: (x - centre) / max(std, block.floor)


def variance(values: Sequence[float], ddof: int) -> float:
    """Of two passes: the mean first."""
    centre = mean(values)
    return math.fsum((x - centre) ** 2 for x in values) / (len(values) - ddof)
