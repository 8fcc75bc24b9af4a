"""What a rollout loop fills in by hand, each field as the columns of a batch take it."""

from __future__ import annotations

import math
import numbers
import operator
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np


def flag(name: str, value: Any, *, unknown: str) -> bool | None:
    """A bool, or exactly 0 or 1; None, if `unknown` is what it says."""
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    expected = f"expected a bool, 0 or 1, or None ({unknown})"
    if not isinstance(value, numbers.Real):
        raise TypeError(_wrong(name, value, expected))
    if value not in (0, 1):
        raise ValueError(_wrong(name, value, expected))
    return bool(value)


def reward(name: str, value: Any) -> float | None:
    if value is None:
        return None
    expected = "expected a finite number, or None on every step of the batch"
    if not isinstance(value, numbers.Real | np.bool_):
        raise TypeError(_wrong(name, value, expected))
    try:
        number = float(value)
    except OverflowError:  # an int may be more than a float holds
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(_wrong(name, value, expected))
    return number


def state(name: str, value: Any, *, may_be_unknown: bool = False) -> Any:
    """Anything but None and what waits to be called; the rest is judged where states are read."""
    expected = "expected what the environment shows"
    if value is None and not may_be_unknown:
        raise ValueError(_wrong(name, value, expected))
    if callable(value):
        raise TypeError(_wrong(name, value, expected))
    return value


def position(name: str, value: Any, *, at_least: int = 0) -> int:
    """An int, such as a token's place in the response or a step's in its rollout."""
    expected = f"expected an int >= {at_least}"
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(_wrong(name, value, expected)) from None
    if number < at_least:
        raise ValueError(_wrong(name, value, expected))
    if number >= 2**63:
        raise ValueError(_wrong(name, value, f"{expected} and below 2**63"))
    return number


def column(name: str, values: Any) -> list[Any]:
    """A value per step: anything with a length and an order, but a text or a mapping."""
    is_one = isinstance(values, (Sequence, np.ndarray)) or hasattr(values, "tolist")
    if not is_one or isinstance(values, (str, bytes)) or getattr(values, "ndim", 1) == 0:
        raise TypeError(_wrong(name, values, "expected a list, one value per step"))
    return list(values)


def identity(name: str, value: Any) -> Any:
    """What ids are made of: int, str, bytes, UUID or a tuple of these."""
    parts = value if isinstance(value, tuple) and value else (value,)
    for part in parts:
        is_flag = isinstance(part, bool | np.bool_)
        if is_flag or not isinstance(part, int | np.integer | str | bytes | uuid.UUID):
            raise TypeError(
                _wrong(name, value, "expected an int, str, bytes, UUID or a tuple of these")
            )
    return value


def _wrong(name: str, value: Any, expected: str) -> str:
    text = f"{name} is {value!r} ({type(value).__name__}); {expected}"
    if callable(value):
        owner = getattr(value, "__self__", None)
        prefix = "" if owner is None else f"{type(owner).__name__.lower()}."
        return f"{text}; did you mean {prefix}{getattr(value, '__name__', 'its result')}()?"
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return f"{text}; did you mean its .item()?"
    return text
