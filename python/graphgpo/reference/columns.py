"""Reading the columns, a value at a time, and refusing what they must not hold."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from graphgpo.columns import COLUMNS, Kind, is_null, of_kind
from graphgpo.reference.states import canonical, plain


def check_columns(columns: Mapping[str, Any]) -> None:
    """Every column is one, of as many rows as `states`; what is in them is read row by row."""
    for name, values in columns.items():
        if values is None and not COLUMNS[name].is_required:
            continue
        is_array = isinstance(values, np.ndarray) and values.ndim > 0
        if not is_array and not isinstance(values, (list, tuple)):
            raise TypeError(
                f"{name} is a {type(values).__name__}; expected a list, a tuple or a NumPy array, "
                "one value per step"
            )
        if len(values) != len(columns["states"]):
            raise ValueError(
                f"states has {len(columns['states'])} rows but {name} has {len(values)}; "
                "every column needs one value per step"
            )
        may_have_rows = COLUMNS[name].kind in ("state", "key") and _is_numeric(values)
        if is_array and values.ndim > 1 and not may_have_rows:
            raise ValueError(f"{name} has shape {values.shape}; expected (N,), one value per step")


def check_ids(columns: Mapping[str, Any], rows: Sequence[int]) -> None:
    """The ids of a column are of one kind: 0 and "0" would be two tasks."""
    for name in of_kind("id"):
        kinds = [_id_kind(columns[name][row]) for row in rows]
        for row, kind in zip(rows, kinds, strict=True):
            if kind != kinds[0]:
                raise TypeError(
                    f"{name}[{row}] is {_quoted(columns[name][row])} but {name}[{rows[0]}] is "
                    f"{_quoted(columns[name][rows[0]])}; expected ids of one kind"
                )


def _id_kind(value: object) -> str:
    kinds = (str, (int, np.integer), uuid.UUID, tuple)
    return next((str(kind) for kind in kinds if isinstance(value, kind)), "bytes")


def _quoted(value: object) -> str:
    value = plain(value)
    return f"{value!r} ({type(value).__name__})"


def check_kinds(columns: Mapping[str, Any], forms: tuple[list[Any], list[Any]]) -> None:
    """Both columns hold states of a kind, so that a state of one can be a state of the other."""
    pair = columns["states"], columns["next_states"]
    kinds = tuple({form[0] for form in column if isinstance(form, tuple)} for column in forms)
    if sorted(kinds, key=sorted) == [{"int"}, {"str"}]:
        raise TypeError("one of states and next_states holds integers, the other text")
    if not any(kinds):
        return  # there is no row to read

    if all(_is_numeric(column) for column in pair):
        if _row_type(pair[0]) != _row_type(pair[1]):
            raise ValueError("the rows of states and next_states differ in dtype or shape")
        return
    for column, others in zip(pair, reversed(kinds), strict=True):
        if _is_numeric(column) and column.ndim > 1 and others and "array" not in others:
            raise TypeError("only one of states and next_states holds arrays")


def _is_numeric(column: Any) -> bool:
    return isinstance(column, np.ndarray) and column.dtype.kind in "biuf"


def _row_type(column: Any) -> Hashable:
    if column.ndim == 1:  # Python's bool, int or float, whatever its width
        return "i" if column.dtype.kind == "u" else column.dtype.kind
    return (column.dtype.newbyteorder("="), column.shape[1:])


# --- one value ------------------------------------------------------------------------------------


def read(name: str, column: Any, row: int) -> Any:
    """A value of a column, in the form that the column's kind says; None for null."""
    return _READERS[COLUMNS[name].kind](name, column, row)


def _state(name: str, column: Any, row: int) -> Hashable | None:
    value = plain(column[row])
    if is_null(name, value):
        return None
    try:
        return canonical(value)
    except (TypeError, ValueError) as problem:
        raise type(problem)(f"{name}[{row}] {problem}") from None


def _key(name: str, column: Any, row: int) -> Hashable | None:
    value = column[row]
    return ("uuid", value.bytes) if isinstance(value, uuid.UUID) else _state(name, column, row)


def _identifier(name: str, column: Any, row: int) -> Hashable:
    return _identifier_form(name, row, plain(column[row]))


def _identifier_form(name: str, row: int, value: Any) -> Hashable:
    if value is None:
        raise ValueError(f"{name}[{row}] is None; expected a value")
    if isinstance(value, uuid.UUID):
        return ("uuid", value.bytes)
    if isinstance(value, tuple):
        return ("tuple", *(_identifier_form(name, row, plain(part)) for part in value))
    if isinstance(value, bool) or not isinstance(value, (int, str, bytes, bytearray, memoryview)):
        raise _misfit(TypeError, name, row, value, "int, str, bytes, UUID or a tuple of these")
    return canonical(value)


def _flag(name: str, column: Any, row: int) -> bool:
    value = plain(column[row])
    if not isinstance(value, (bool, int, float)):
        raise _misfit(TypeError, name, row, value, "a bool, or exactly 0 or 1")
    if value not in (0, 1):
        raise _misfit(ValueError, name, row, value, "a bool, or exactly 0 or 1")
    return bool(value)


def _verdict(name: str, column: Any, row: int) -> bool | None:
    return None if plain(column[row]) is None else _flag(name, column, row)


def _integer(name: str, column: Any, row: int) -> int:
    value = plain(column[row])
    if isinstance(value, bool) or not isinstance(value, int):
        raise _misfit(TypeError, name, row, value, "an int")
    if not -(2**63) <= value < 2**63:
        raise _misfit(ValueError, name, row, value, "an int an int64 can hold")
    return value


def _real(name: str, column: Any, row: int) -> float:
    value = plain(column[row])
    if value is None:
        raise _misfit(ValueError, name, row, value, "a finite number")
    if not isinstance(value, (int, float)):
        raise _misfit(TypeError, name, row, value, "a number")
    if not abs(value) <= sys.float_info.max:
        raise _misfit(ValueError, name, row, value, "a finite number")
    return float(value)


def is_unknown(column: Any, row: int) -> bool:
    """Whether a number is null or NaN, which the return of a rollout without a verdict may be."""
    value = plain(column[row])
    return value is None or value != value


def _misfit(error: type[Exception], name: str, row: int, value: object, expected: str) -> Exception:
    return error(f"{name}[{row}] is {_quoted(value)}; expected {expected}")


_READERS: dict[Kind, Any] = {
    "state": _state,
    "id": _identifier,
    "key": _key,
    "flag": _flag,
    "verdict": _verdict,
    "integer": _integer,
    "real": _real,
}
