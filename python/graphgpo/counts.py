"""Counts that a caller gives: how many threads, states, batches."""

from __future__ import annotations

import operator
from typing import Any


def at_least_one(name: str, value: Any, *, instead: str = "") -> int:
    """`value`, an int >= 1; `instead`: what else the argument may be, for the message.

    >>> at_least_one("max_age", 3)
    3
    """
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if count < 1 or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; expected an int >= 1{instead}")
    return count
