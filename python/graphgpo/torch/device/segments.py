"""Elements in segments, and what is computed over each.

A segment's result depends on nothing but the multiset of its values: not on their order, on other
segments, or on the device. Whole numbers are added by atomics, which cannot round; sums of floats
are sums of whole numbers (`Segments.sum`); the rest is minima and maxima.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Segments:
    """Which segment each of (n,) elements is in. Results have one more entry: for those in none."""

    ids: Tensor
    """(n,) int64 in 0..num; `num`: in none."""
    num: int

    @staticmethod
    def of_all(elements: Tensor) -> Segments:
        """One segment, all elements in it."""
        return Segments(torch.zeros_like(elements, dtype=torch.int64), 1)

    @property
    def is_in_one(self) -> Tensor:
        return self.ids < self.num

    def only(self, elements: Tensor) -> Segments:
        """The segments of some of the elements."""
        return Segments(self.ids[elements], self.num)

    @functools.cached_property
    def sizes(self) -> Tensor:
        """(num + 1,) elements."""
        return self.total(torch.ones_like(self.ids))

    def count(self, holds: Tensor) -> Tensor:
        """(num + 1,) elements of which it holds."""
        return self.total(holds.to(torch.int64))

    def total(self, values: Tensor) -> Tensor:
        """(num + 1,) sums of whole numbers: int64, or float64 that stay below 2**53."""
        return self._filled(0, values).index_add_(0, self.ids, values)

    def largest(self, values: Tensor, empty: float = -math.inf) -> Tensor:
        """(num + 1,) maxima."""
        return self._filled(empty, values).scatter_reduce_(0, self.ids, values, "amax")

    def smallest(self, values: Tensor, empty: float = math.inf) -> Tensor:
        """(num + 1,) minima."""
        return self._filled(empty, values).scatter_reduce_(0, self.ids, values, "amin")

    def bounds(self, values: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """(num + 1,) minima and maxima of known values: inf and -inf where there are none."""
        low = self.smallest(torch.where(known, values, math.inf))
        return low, self.largest(torch.where(known, values, -math.inf))

    def _filled(self, value: float, like: Tensor) -> Tensor:
        return torch.full((self.num + 1,), value, dtype=like.dtype, device=like.device)

    def sum(self, values: Tensor) -> Tensor:
        """(num + 1,) sums of float64, rounded once.

        Every value is cut into two whole numbers, in units of 2**-b and 2**-2b of a power of two
        above the segment's largest, b so small that the sums of each are exact. That is 53 bits
        less those of the number of elements: 2b is 96 for 30 elements, 64 for a million.
        """
        bits = 53 - _exponent(self.sizes.clamp(min=1).to(torch.float64))
        top = self.largest(_exponent(values), -960)
        scaled = values * power_of_two(bits - top)[self.ids]
        whole = scaled.trunc()
        rest = ((scaled - whole) * power_of_two(bits)[self.ids]).round()
        total = self.total(whole) + self.total(rest) * power_of_two(-bits)
        return torch.where(top > 1024, math.inf, total * power_of_two(top - bits))

    def mean(self, values: Tensor, known: Tensor | None = None) -> Tensor:
        """(num + 1,) means of known values, exactly their value where they are equal; NaN of none.

        What is not known may be anything, NaN too; it is what is NaN, if nothing else is said.
        """
        known = ~values.isnan() if known is None else known
        number = self.count(known)
        low, high = self.bounds(values, known)
        total = self.sum(torch.where(known, values, 0.0))
        found = torch.where(low == high, low, total / number)
        return torch.where(number > 0, found, math.nan)


@dataclass(frozen=True, eq=False)
class Numbering(Segments):
    """Equal values as segments."""

    first: Tensor
    """(num,) where each value appears first."""

    def is_mixed(self, values: Tensor) -> Tensor:
        """(num + 1,) whether a segment has several values of these."""
        return self.count(values != values[self.first][self.ids]) > 0


def numbered(*columns: Tensor, by_appearance: bool = False) -> Numbering:
    """The rows of int64 columns, numbered: equal rows have equal numbers.

    In ascending order, or `by_appearance`, which takes another sort.
    """
    values, ids = torch.unique(functools.reduce(_paired, columns), return_inverse=True)
    places = torch.arange(len(ids), device=ids.device)
    first = Segments(ids, len(values)).smallest(places, len(ids))[:-1]
    if by_appearance:
        order = torch.argsort(first)
        first, ids = first[order], inverse_of(order)[ids]
    return Numbering(ids, len(first), first)


def _paired(one: Tensor, other: Tensor) -> Tensor:
    """Pairs as whole numbers in their order: of numbers, where those of values do not fit."""
    if len(one) == 0:
        return one
    low, high, least, most = torch.stack([*one.aminmax(), *other.aminmax()]).tolist()
    width = most - least + 1
    if (high - low + 1) * width >= 1 << 62:
        return _paired(numbered(one).ids, numbered(other).ids)
    pairs: Tensor = (one - low) * width + (other - least)
    return pairs


def inverse_of(permutation: Tensor) -> Tensor:
    """Where each element went."""
    inverse = torch.empty_like(permutation)
    inverse[permutation] = torch.arange(len(permutation), device=permutation.device)
    return inverse


def with_last(values: Tensor, last: float) -> Tensor:
    """One element more: for an index that stands for none."""
    return torch.cat([values, values.new_tensor([last])])


def settled(sweep: Callable[[Tensor], Tensor], found: Tensor, *, every: int) -> Tensor:
    """What a sweep no longer changes. The host waits for a look only `every` so many sweeps."""
    while True:
        before = found
        for _ in range(every):
            found = sweep(found)
        if torch.equal(found, before):
            return found


def _exponent(values: Tensor) -> Tensor:
    """The least e with abs(value) < 2**e, of normal numbers."""
    bits: Tensor = values.view(torch.int64)
    return ((bits >> 52) & 0x7FF) - 1022


def power_of_two(exponent: Tensor) -> Tensor:
    """2.0**exponent for int64 in [-1022, 1023], by its bits."""
    return ((exponent + 1023) << 52).view(torch.float64)
