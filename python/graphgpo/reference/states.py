"""When two states are equal: by type and value."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import numpy as np


def canonical(value: Any, depth: int = 0) -> Hashable | None:
    """A hashable form in which two states are equal by type and value; None for None.

    >>> canonical([1, "a"]) == canonical((np.int64(1), np.str_("a")))
    True
    >>> len({canonical(state) for state in (1, 1.0, True, "1", b"1")})
    5
    """
    value = plain(value)
    if value is None:
        return None
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, int):
        return ("int", int(value))
    if isinstance(value, float):
        if math.isnan(value):
            raise ValueError("holds NaN; expected a number: NaN equals nothing")
        return ("float", value)  # -0.0 equals 0.0
    if isinstance(value, str):
        return ("str", str(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return ("bytes", bytes(value))
    if isinstance(value, (list, tuple, dict)) and depth == 100:
        raise ValueError("is nested deeper than 100 levels (or contains itself)")
    if isinstance(value, (list, tuple)):
        return ("sequence", tuple(canonical(element, depth + 1) for element in value))
    if isinstance(value, dict):
        entries = (
            (canonical(key, depth + 1), canonical(entry, depth + 1)) for key, entry in value.items()
        )
        return ("mapping", frozenset(entries))
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        if value.dtype.kind == "f" and np.isnan(value).any():
            raise ValueError("holds NaN; expected numbers: NaN equals nothing")
        native = value.astype(value.dtype.newbyteorder("="))
        if value.dtype.kind == "f":
            native = native + np.zeros((), native.dtype)  # -0.0 is 0.0
        return ("array", native.dtype.str, native.shape, native.tobytes())
    raise TypeError(
        f"holds a {type(value).__name__}; expected str, bytes, int, float, bool, a numeric array, "
        "or a list, tuple or dict of these"
    )


def plain(value: Any) -> Any:
    """The Python value of a NumPy scalar that has one, anything else as it is."""
    if isinstance(value, np.generic) and value.dtype.kind in "biufUS":
        return value.item()
    return value
