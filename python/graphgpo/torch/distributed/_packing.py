"""Columns as int64, and back: keys, the bits of a float, and all flags of a row in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphgpo import _core
from graphgpo.columns import COLUMNS, of_kind

Integers = NDArray[np.int64]

OPTIONAL = tuple(name for name, column in COLUMNS.items() if not column.is_required)

_KEYS = of_kind("state", "id", "key")
_FLAGS = of_kind("verdict", "flag")
_NULLABLE = tuple(
    name
    for name, column in COLUMNS.items()
    if column.kind in ("key", "verdict") or (column.kind == "state" and not column.is_required)
)
# A row's flags travel as one integer: which are set, and which values are null.
_SET = {name: 1 << bit for bit, name in enumerate(_FLAGS)}
_NULL = {name: 1 << bit for bit, name in enumerate(_NULLABLE, len(_FLAGS))}
_NO_VERDICT = 2  # as the core writes it


def packed(read: Mapping[str, Any]) -> dict[str, Integers]:
    """Every column but flags under its name, and "flags", from columns as the core reads them."""
    num_rows = len(read["states"])
    is_row = read.get("mask", np.ones(num_rows, dtype=np.bool_))
    result: dict[str, Integers] = {}
    flags = np.zeros(num_rows, dtype=np.int64)
    for name, values in {**read, "mask": is_row}.items():
        kind = COLUMNS[name].kind
        if name in _KEYS:
            result[name], is_null = _core.nullable_stable_keys(column=values)
            if name in _NULL:
                flags |= (is_null & is_row) * _NULL[name]
                continue
            for row in np.flatnonzero(is_null & is_row)[:1]:
                raise ValueError(f"{name}[{row}] is null; expected a value")
        elif kind == "verdict":
            flags |= (values == 1) * _SET[name] | (values == _NO_VERDICT) * _NULL[name]
        elif kind == "flag":
            flags |= values * _SET[name]
        else:
            result[name] = values.view(np.int64)
    return result | {"flags": flags}


def has_value(rows: Mapping[str, Integers], name: str) -> NDArray[np.bool_]:
    """(N,) rows that exist and whose value of a column is not null."""
    known: NDArray[np.bool_] = (rows["flags"] & (_SET["mask"] | _NULL.get(name, 0))) == _SET["mask"]
    return known


def columns_that_travel(present: frozenset[str]) -> list[str]:
    """What `packed` holds of columns that are required or present, in order."""
    apart = [name for name in COLUMNS if name not in _FLAGS]
    return [*(n for n in apart if COLUMNS[n].is_required or n in present), "flags"]


def unpacked(rows: Mapping[str, Integers], present: frozenset[str]) -> dict[str, Any]:
    """The columns of `Rollouts`, those not present None."""
    columns: dict[str, Any] = dict.fromkeys(COLUMNS)
    for name in COLUMNS:
        if name in _FLAGS:
            if name in present:
                columns[name] = rows["flags"] & _SET[name] != 0
        elif name in rows:
            is_real = COLUMNS[name].kind == "real"
            columns[name] = rows[name].view(np.float64) if is_real else rows[name]
        if columns[name] is not None and name in _NULL:
            columns[name] = _with_nulls(columns[name], rows["flags"] & _NULL[name] != 0)
    return columns


def _with_nulls(values: NDArray[Any], is_null: NDArray[np.bool_]) -> Any:
    unknown = np.flatnonzero(is_null).tolist()
    if not unknown:
        return values
    listed = values.tolist()
    for row in unknown:
        listed[row] = None
    return listed
