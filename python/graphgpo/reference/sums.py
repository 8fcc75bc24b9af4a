"""Sums that are exact before they are rounded, so that the order of their terms does not matter."""

from __future__ import annotations

import math
from collections.abc import Iterable


def mean(values: Iterable[float]) -> float:
    """The mean of those that are known, exactly their value where they are equal; NaN of none."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return math.nan
    return known[0] if min(known) == max(known) else math.fsum(known) / len(known)
