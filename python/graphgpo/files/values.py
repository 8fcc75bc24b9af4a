"""Single values of records: outcomes, texts and ids, checked."""

from __future__ import annotations

import json
import math
from typing import Any

from .errors import FileError, quoted

_WORDS = {"true": True, "false": False, "yes": True, "no": False}


def as_outcome(value: Any, name: str, file: str, row: int | None) -> bool | float | None:
    """A bool, a number, or a text of one; None for null and NaN: not scored.

    Raises
    ------
    FileError
        If it is anything else.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        try:
            return None if math.isnan(value) else float(value)
        except OverflowError:  # an int beyond all floats
            raise FileError(f"{name} is {quoted(value)}, beyond any float", file, row) from None
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _WORDS:
            return _WORDS[text]
        try:
            number = float(text)
        except ValueError:
            if not text:
                return None
        else:
            return None if math.isnan(number) else number
    raise FileError(f"{name} is {quoted(value)}, expected a bool or a number", file, row)


def as_number(value: Any, name: str, file: str, row: int | None) -> float | None:
    """A float; None for null and NaN.

    Raises
    ------
    FileError
        If it is no number.
    """
    number = as_outcome(value, name, file, row)
    return None if number is None else float(number)


def as_step(value: Any, file: str, row: int | None) -> int:
    """A whole number of 64 bits.

    Raises
    ------
    FileError
        If it is none.
    """
    try:
        whole = int(value)
        if isinstance(value, bool) or (isinstance(value, float) and whole != value):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise FileError(f"step_id is {quoted(value)}, expected a whole number", file, row) from None
    if not -(2**63) <= whole < 2**63:
        raise FileError(
            f"step_id is {quoted(value)}, expected a whole number of 64 bits", file, row
        )
    return whole


def as_id(value: Any, name: str, file: str, row: int | None) -> str:
    """An id as text.

    Raises
    ------
    FileError
        If it is null, or NaN, which is how pandas writes null.
    """
    if value is None or value != value:
        raise FileError(f"{name} is null, expected an id", file, row)
    return value if isinstance(value, str) else as_text(value)


def as_text(value: Any) -> str:
    """A text as it is; anything else as compact JSON with sorted keys, equal for equal values."""
    if isinstance(value, str):
        return value
    if type(value) is int:  # as json writes it, and most ids that are no text
        return str(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True, default=str)


def optional_text(value: Any) -> str | None:
    """The same; None for null."""
    return None if value is None else as_text(value)
