"""Columns of states, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphgpo import _core
from graphgpo.columns import is_null
from graphgpo.ingest import key_column, plain_column


def elements(name: str, values: Any) -> list[Any] | tuple[Any, ...] | None:
    """The column's values as Python objects; None where its kind has no texts.

    >>> elements("states", np.array(["hall", "bath"]))
    ['hall', 'bath']
    >>> elements("states", np.zeros((2, 3))) is None
    True
    """
    column = plain_column(name, values)
    if isinstance(column, (list, tuple)):
        return _with_none(name, column)
    if not isinstance(column, np.ndarray):
        return _core.texts_of_column(column=key_column(name, column, None))
    if column.dtype.kind not in "UTO":
        return None
    if column.ndim != 1:
        raise ValueError(f"{name} has shape {column.shape}; expected (N,), one value per step")
    return _with_none(name, column.tolist())


def element_list(name: str, values: Any) -> list[Any]:
    """The column's values as Python objects, whatever its kind.

    >>> element_list("group_ids", np.array([3, 4]))
    [3, 4]
    """
    column = elements(name, values)
    if column is not None:
        return list(column)
    plain = plain_column(name, values)
    if isinstance(plain, np.ndarray):
        return list(_with_none(name, plain.tolist())) if plain.ndim == 1 else list(plain)
    return _arrow_values(name, plain)


def _with_none(name: str, values: list[Any] | tuple[Any, ...]) -> list[Any] | tuple[Any, ...]:
    if name != "next_states":
        return values
    return [None if is_null(name, value) else value for value in values]


def _arrow_values(name: str, values: Any) -> list[Any]:
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(values, method):
            return list(getattr(values, method)())
    raise TypeError(f"{name} is a {type(values).__name__}; expected texts, or a list of values")
