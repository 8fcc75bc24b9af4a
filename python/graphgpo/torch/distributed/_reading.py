"""One rank's rows: read and checked, and what to tell the others about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphgpo import _core, estimators
from graphgpo.columns import MERGING
from graphgpo.estimators import Estimator
from graphgpo.ingest import (
    check_lengths,
    check_row_types,
    plain_column,
    plain_columns,
    read_columns,
    row_type,
)
from graphgpo.memory import check_memory, task_keys
from graphgpo.rollouts import check_tasks_are_read, thread_limit
from graphgpo.states.merging import Merging, merged
from graphgpo.torch.distributed._agreement import COMPARED, Kind, Report
from graphgpo.torch.distributed._packing import OPTIONAL, Integers, has_value, packed


def read(
    given: Mapping[str, Any], settings: Mapping[str, Any] | None
) -> tuple[dict[str, Integers], Report, Estimator | None]:
    """The columns that travel, what to say of them, and the estimator, if settings name one."""
    chosen = None
    merging = Merging()
    remembers = False
    if settings is not None:
        merging = _merging(settings["merging"])
        thread_limit(settings["num_threads"])
        chosen = estimators.make(settings["estimator"], settings["options"])
        check_tasks_are_read(settings["task_ids"], settings["memory"])
        remembers = settings["memory"] is not None
        if remembers:
            check_memory(settings["memory"], given, settings["task_ids"], merging)
    plain = merged(plain_columns(given), merging).columns
    columns = {
        name: column
        for name, column in read_columns(plain, stable=True).items()
        if column is not None
    }
    check_lengths(columns)
    if "next_states" in plain:
        check_row_types(plain["states"], plain["next_states"])
    rows = packed(columns)
    if remembers and settings is not None:
        tasks = plain_column("task_ids", settings["task_ids"])
        check_lengths({"states": plain["states"], "task_ids": tasks})
        rows["task_ids"] = task_keys(tasks, columns.get("mask"))
    kinds = {
        name: _kinds(columns[name])
        for name in COMPARED
        if name in columns and has_value(rows, name).any()
    }
    report = Report(
        num_rows=len(rows["flags"]),
        options={} if chosen is None else _told(chosen) | _told_of(merging, remembers),
        columns=tuple(name for name in OPTIONAL if name in columns),
        row_type=_described(row_type(plain["states"])),
        kinds=tuple(kinds.get(name, 0) for name in COMPARED),
    )
    return rows, report, chosen


def _told(estimator: Estimator) -> dict[str, str]:
    """Options as text: numbers and words by value, anything else of the user's own by its type."""
    options = {"estimator": estimator.name, **estimator.options()}
    return {
        name: repr(value)
        if isinstance(value, (bool, int, float, str, type(None)))
        else f"<{type(value).__name__}>"
        for name, value in options.items()
    }


def _merging(given: Mapping[str, Any]) -> Merging:
    merging = Merging.of(*(given.get(name, default) for name, default in MERGING.items()))
    if merging.similar is not None:
        raise ValueError(
            f"similar is {merging.similar}; expected None: near-duplicates are found among the "
            "texts of all ranks, and only keys travel. Use normalise"
        )
    return merging


def _told_of(merging: Merging, remembers: bool) -> dict[str, str]:
    """Only what is no default: batches without any of it say what they always said."""
    return {
        name: repr(value)
        for name, value in (
            ("normalise", merging.normaliser),
            ("node_history", merging.node_history),
        )
        if value not in (None, 1)
    } | ({"memory": "a GraphMemory"} if remembers else {})


def _kinds(column: _core.KeyColumn) -> int:
    if column.is_rows:
        return Kind.ARRAY
    if column.has_integers_only:
        return Kind.INTEGER
    if column.has_text_only:
        return Kind.TEXT
    return Kind.ANY_BUT_ARRAY if column.lacks_arrays else Kind.ANY


def _described(found: tuple[Any, ...] | None) -> str:
    """Rows of a numeric array in words; "" for none."""
    if found is None:
        return ""
    name = {"b": "bool", "i": "int", "u": "uint", "f": "float"}[found[0]]
    if len(found) == 1:
        return f"{name}s"
    _, size, shape = found
    return f"{name}{'' if name == 'bool' else 8 * size} rows of shape {shape}"


def without_type(error: Exception) -> Exception:
    """As a built-in exception, which every rank can name."""
    for known in (TypeError, ValueError):
        if isinstance(error, known):
            return known(str(error))
    return RuntimeError(f"{type(error).__name__}: {error}")
