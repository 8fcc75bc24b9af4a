"""Canonical rows as the columns of `compute_advantages`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pyarrow as pa

from graphgpo.columns import COLUMNS as OF_STEPS

from .mapping import COLUMNS as OF_ROWS

COLUMNS = {name: source for name, source in OF_ROWS.items() if name in OF_STEPS}
"""Arguments of `compute_advantages`, and the columns of the rows they come from."""

OPTIONAL = ("action", "reward")
"""Columns of which a corpus has all values, or none that can be used."""


def incomplete(table: pa.Table) -> set[str]:
    """Optional columns in which a value is missing."""
    return {name for name in OPTIONAL if table[name].null_count}


def columns_of(table: pa.Table, without: Collection[str] | None = None) -> dict[str, Any]:
    """Arguments of `compute_advantages` for a table of `ROW_SCHEMA`.

    `without`: optional columns to leave out, where `table` is a part of a corpus in which they are
    incomplete; None: those that are so here.
    """
    without = incomplete(table) if without is None else without
    return {name: table[source] for name, source in COLUMNS.items() if source not in without}
