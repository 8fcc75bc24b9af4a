"""steps: a row per step, under the names of the rows or under a mapping's."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypedDict

import pyarrow as pa

from .. import tables
from ..errors import FileError
from ..jsonl import records, records_of_document
from ..mapping import COLUMNS, Plan
from ..paths import DOCUMENT_SUFFIXES, LINE_SUFFIXES, Source
from ..report import Report
from ..rows import TARGET_ROWS, Rollout, fill_next_states, group_key, in_slices
from ..values import as_id, as_number, as_outcome, as_step, as_text, optional_text
from .chats import rollout_of, to_messages
from .columns import RAW_SCHEMA, Judge, raw_rows, with_outcomes
from .context import Context

_typed_dict: Any = TypedDict  # made of names that no type checker can know
_MAY_BE_ABSENT = ("next_state", "action", "success", "outcome", "reward")
_HIVE_STEPS = ("step", "global_step")


def default_plan(names: Sequence[str], *, may_lack: Collection[str] = ()) -> Plan:
    """The mapping of a file whose columns have the names of the rows, singular or plural.

    `may_lack`: columns that the file may have though `names`, of one record, do not.

    Raises
    ------
    ValueError
        If a required one is missing.
    """
    found = {}
    for plural, singular in COLUMNS.items():
        either = (plural, singular) if "states" in names else (singular, plural)
        lacking = either[0] if singular in may_lack else None
        name = next((name for name in either if name in names), lacking)
        if name is not None and singular != "messages":
            found[plural] = name
    return Plan(found)


def read(source: Source, context: Context) -> Iterator[pa.Table | Rollout]:
    """Rows of one file.

    Where a file has no next states they are those of the following step; rows without an outcome
    have that of their rollout's other rows. Both hold the file in memory: the latter from the first
    such row on.

    Raises
    ------
    FileError
        If a column is missing, or a value is not of its column's type.
    """
    plan = context.plan or plan_of(source)
    if not context.report.mapping:
        context.report.mapping = dict(plan.texts)
    if plan.has_messages:
        yield from _chats(source, plan, context)
        return
    is_flat = tables.is_table(source) and not plan.depth
    raw = raw_rows(source, plan) if is_flat else _raw_of_records(source, plan, context)
    judge = Judge(source, context)
    first = next(raw, None)
    if first is None:
        return
    is_whole = source.rows is None  # of a part whoever cut it knows
    lacks_next_states = is_whole and first["next_state"].null_count == first.num_rows
    context.report.lacks_next_states |= lacks_next_states
    if lacks_next_states and context.fills_next_states:
        raw = in_slices(fill_next_states(pa.concat_tables([first, *raw])))
    else:
        raw = itertools.chain([first], raw)
    yield from (judge(table) for table in with_outcomes(raw))


def plan_of(source: Source) -> Plan:
    """The mapping of a file of which the user gave none.

    Raises
    ------
    FileError
        If a column is missing.
    """
    may_lack: Collection[str] = ()
    if tables.is_table(source):
        names = tables.schema(source).names
    else:
        _, record = next(_records(source, Report()), (0, {}))
        names = list(record)
        may_lack = _MAY_BE_ABSENT  # a JSON writer may leave out what is null
    try:
        return default_plan([*names, *source.hive], may_lack=may_lack)
    except ValueError as error:
        raise FileError(str(error), source.name) from None


def _records(
    source: Source, report: Report, heads: Sequence[str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every record of a file as a dict, with those of its folders' names.

    `heads`: decode these keys only, unless the file is one document.
    """
    hive = source.hive
    if tables.is_table(source):
        rows: Iterator[tuple[int, dict[str, Any]]] = (
            (first + place, row)
            for first, batch in tables.batches(source, heads, rows=1024)
            for place, row in enumerate(batch.to_pylist())
        )
    elif source.suffix in DOCUMENT_SUFFIXES:
        rows = enumerate(records_of_document(source))
    elif heads is not None:
        # A dict of these keys alone: the decoder skips all others.
        rows = records(
            source, _typed_dict("narrow", dict.fromkeys(heads, Any), total=False), report
        )
    else:
        rows = records(source, dict[str, Any], report)
    return ((row, {**hive, **record}) for row, record in rows) if hive else rows


def _rows(
    source: Source, plan: Plan, context: Context
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Number of the record, place of the row in it, and the row."""
    whole: dict[str, Any] = {}
    if tables.is_table(source) or (source.path is not None and source.suffix in LINE_SUFFIXES):
        # A path that is nowhere shows in the first record, read in full for the nearest one. Of
        # the others only what a path begins with is decoded: token ids cost what skipping costs.
        _, whole = next(_records(source, Report()), (0, {}))
        list(plan.rows(whole, source.name, 0) if whole else ())
        every = _records(source, context.report, plan.heads())
    else:
        every = _records(source, context.report)
    for row, record in every:
        whole = whole or record
        for place, values in enumerate(plan.rows(record, source.name, row)):
            yield row, place, values
    if whole and context.plan:
        plan.check_seen(whole, source.name)


def _ids(values: Mapping[str, Any], source: Source, row: int, default: str) -> tuple[str, str]:
    group = as_id(values["group_id"], "group_id", source.name, row)
    training_step = values.get("training_step", source.training_step)
    if training_step is not None:
        group = group_key(group, training_step=training_step)
    if "trajectory_id" not in values:
        return group, default
    return group, as_id(values["trajectory_id"], "trajectory_id", source.name, row)


def _outcome(values: Mapping[str, Any], source: Source, row: int) -> bool | float | None:
    success = as_outcome(values.get("success"), "success", source.name, row)
    if success is not None:
        return success
    return as_outcome(values.get("outcome"), "outcome", source.name, row)


def _raw_of_records(source: Source, plan: Plan, context: Context) -> Iterator[pa.Table]:
    """Raw rows of records, each of which may be a step or hold many."""
    counted: dict[tuple[str, str], int] = {}
    columns: dict[str, list[Any]] = {name: [] for name in RAW_SCHEMA.names}
    for row, _, values in _rows(source, plan, context):
        file = source.name
        group, trajectory = _ids(values, source, row, f"{file}:{row}")
        place = counted[group, trajectory] = counted.get((group, trajectory), -1) + 1
        if values["state"] is None:
            raise FileError("state is null", file, row)
        success = as_outcome(values.get("success"), "success", file, row)
        outcome = as_number(values.get("outcome"), "outcome", file, row)
        if success is not None and not isinstance(success, bool):
            success, outcome = None, success
        one = {
            "group_id": group,
            "trajectory_id": trajectory,
            "step_id": as_step(values["step_id"], file, row) if "step_id" in values else place,
            "state": as_text(values["state"]),
            "next_state": optional_text(values.get("next_state")),
            "action": optional_text(values.get("action")),
            "success": success,
            "outcome": outcome,
            "reward": as_number(values.get("reward"), "reward", file, row),
            "source_file": file,
            "source_row": row,
        }
        for name, value in one.items():
            columns[name].append(value)
        if len(columns["state"]) >= TARGET_ROWS:
            yield pa.table(columns, schema=RAW_SCHEMA)
            columns = {name: [] for name in RAW_SCHEMA.names}
    if columns["state"]:
        yield pa.table(columns, schema=RAW_SCHEMA)


def _chats(source: Source, plan: Plan, context: Context) -> Iterator[Rollout]:
    for row, place, values in _rows(source, plan, context):
        group, trajectory = _ids(values, source, row, f"{source.name}:{row}:{place}")
        rollout = rollout_of(
            to_messages(values["messages"], "messages", source.name, row),
            _outcome(values, source, row),
            group_id=group,
            trajectory_id=trajectory,
            row=row,
            context=context,
        )
        if rollout is not None:
            yield rollout
