"""Credit for a table of canonical rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa

from graphgpo.blocks import Batch, Block, Given, NobodyWon
from graphgpo.estimators import Estimator
from graphgpo.files import FileError
from graphgpo.files.batch import columns_of
from graphgpo.files.errors import place
from graphgpo.problems.warning import told_elsewhere
from graphgpo.rollouts import Rollouts
from graphgpo.states.merging import AS_GIVEN, Merging

from .totals import Totals

IDS = ("group_id", "trajectory_id", "step_id", "source_file", "source_row")
_ROW = re.compile(r"^(\w+)\[(\d+)\]|\brow (\d+)\b")


def credited(
    rows: pa.Table,
    estimators: Sequence[Estimator],
    *,
    keep: Sequence[str] = (),
    without: Collection[str] | None = None,
    merging: Merging = AS_GIVEN,
    num_threads: int | None = None,
) -> tuple[pa.Table, Totals]:
    """Ids, kept columns and a column `advantage_NAME` per estimator, and their totals.

    Parameters
    ----------
    rows
        A table of `graphgpo.files.ROW_SCHEMA`, whole groups.
    estimators
        Of two with one name the second's column is `advantage_NAME_2`.
    keep
        Further columns of `rows` to keep.
    without
        As `graphgpo.files.batch.columns_of` takes it.
    merging
        What counts as one state.

    Raises
    ------
    FileError
        For rollouts the method is not defined for, naming the file and the row.
    """
    if rows.num_rows == 0:
        return _table(rows, keep, {name: [] for name in column_names(estimators)}), Totals()
    try:
        columns = columns_of(rows, without)
        batch = Rollouts(**columns, **merging.options, num_threads=num_threads)
        with told_elsewhere():  # the summary says how many states are alone
            results = batch.compare(estimators)
    except ValueError as error:
        raise placed(error, rows) from None
    advantages = {
        column: result.advantages
        for column, result in zip(column_names(estimators), results.values(), strict=True)
    }
    return _table(rows, keep, advantages), Totals.of(results)


def column_names(estimators: Sequence[Estimator]) -> list[str]:
    """The columns of their credits."""
    names: list[str] = []
    for estimator in estimators:
        name = f"advantage_{estimator.name}"
        count = sum(other.name == estimator.name for other in estimators[: len(names)])
        names.append(name if count == 0 else f"{name}_{count + 1}")
    return names


def needs_whole_batch(estimator: Estimator) -> bool:
    """Whether a group's credit depends on the other groups of the batch.

    >>> from graphgpo import estimators
    >>> [name for name in ("grpo", "reinforce_pp") if needs_whole_batch(estimators.make(name))]
    ['reinforce_pp']
    """
    return any(_looks_beyond_its_group(term) for term in estimator.terms())


def _looks_beyond_its_group(value: Any) -> bool:
    if isinstance(value, (Batch, Given)) or (isinstance(value, NobodyWon) and value.times_share):
        return True
    if isinstance(value, (tuple, list)):
        return any(map(_looks_beyond_its_group, value))
    return isinstance(value, Block) and any(map(_looks_beyond_its_group, vars(value).values()))


def _table(rows: pa.Table, keep: Sequence[str], advantages: dict[str, Any]) -> pa.Table:
    names = [*IDS[:3], *(name for name in keep if name not in IDS), *IDS[3:]]
    table = rows.select(names)
    for name, values in advantages.items():
        table = table.append_column(name, pa.array(values, pa.float32()))
    return table


def placed(error: Exception, rows: pa.Table) -> FileError:
    """The core's error, whose rows are those of a table, by file and row."""
    file, first = "", None

    def named(match: re.Match[str]) -> str:
        nonlocal file, first
        row = int(match[2] or match[3])
        if row >= rows.num_rows:
            return match[0]
        where = (rows["source_file"][row].as_py(), rows["source_row"][row].as_py())
        if match[1] and not file:
            file, first = where
            return match[1]
        return place(*where) + ("" if where[0] == file else f" of {where[0]}")

    message = _ROW.sub(named, str(error))
    if message.startswith("episode_returns is"):
        message += "; what a step earned is no outcome: map it to rewards"
    return FileError(message, file, first)
