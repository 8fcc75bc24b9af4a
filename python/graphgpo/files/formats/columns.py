"""Rows as columns: from the columns of a table, and from there to the rows that are yielded."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from .. import tables
from ..errors import FileError
from ..mapping import Origin, Path, Place, Plan
from ..paths import Source
from ..report import FAILED, PARTIAL, SOLVED
from ..rows import CODED, ROW_SCHEMA, TARGET_ROWS, best_of_rollouts, in_slices, run_starts
from ..values import as_number, as_outcome, as_step, as_text
from .context import UNSCORED, Context

RAW_SCHEMA = pa.schema([field.with_nullable(True) for field in ROW_SCHEMA])
"""Rows before their outcome is judged: `success` or `outcome` or both may be null."""

_ROWS_OF_PART = 1 << 17
_BY_CONVERTING = {"success": as_outcome, "outcome": as_outcome, "reward": as_number}


def raw_rows(source: Source, plan: Plan) -> Iterator[pa.Table]:
    """Raw rows of a table whose mapping goes through no list.

    Tables of a part of a file, which is held as a whole anyway, are larger: they cost less.

    Raises
    ------
    FileError
        If a path is not among the columns, or a value is not of its column's type.
    """
    counted: dict[tuple[str, str], int] = {}
    size = TARGET_ROWS if source.rows is None else min(len(source.rows), _ROWS_OF_PART)
    for first, num_rows, raw in raw_columns(source, plan, rows=size):
        if "step_id" not in raw:
            raw["step_id"] = positions(raw["group_id"], raw["trajectory_id"], counted)
        success = raw.get("success")
        if success is not None and not pt.is_boolean(success.type):
            outcome = raw.get("outcome", pa.nulls(num_rows, pa.float64()))
            raw["outcome"] = pc.coalesce(raw.pop("success").cast(pa.float64()), outcome)
        raw["source_file"] = pa.repeat(pa.scalar(source.name), num_rows)
        raw["source_row"] = pa.array(np.arange(first, first + num_rows))
        columns = [raw.get(field.name, pa.nulls(num_rows)) for field in RAW_SCHEMA]
        table = pa.table(columns, RAW_SCHEMA.names)
        yield table.cast(_with_codes(RAW_SCHEMA, table))


def _with_codes(schema: pa.Schema, table: pa.Table) -> pa.Schema:
    """`schema`, but codes of `table` stay."""
    kinds = {name: table.schema.field(name).type for name in schema.names}
    return pa.schema(
        [field.with_type(CODED) if kinds[field.name] == CODED else field for field in schema]
    )


def raw_columns(
    source: Source, plan: Plan, wanted: Collection[str] | None = None, rows: int = TARGET_ROWS
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Of every `rows` rows the number of the first, how many they are, and their columns by name.

    `wanted`: these columns alone; None: all of the mapping.
    """
    for first, batch in stored_columns(source, plan, wanted, rows):
        yield first, batch.num_rows, converted(batch, source, plan, wanted, first)


def stored_columns(
    source: Source, plan: Plan, wanted: Collection[str] | None, rows: int
) -> Iterator[tuple[int, pa.Table]]:
    """Of every `rows` rows the number of the first, and what `wanted` is made of."""
    names = tables.schema(source).names
    origins = _origins(plan, wanted).values()
    read = [name for name in names if any(_reads(origin, name) for origin in origins)]
    return tables.batches(source, read or names[:1], rows)


def converted(
    batch: pa.Table, source: Source, plan: Plan, wanted: Collection[str] | None, first: int
) -> dict[str, Any]:
    """Columns of the rows, made of stored ones. Groups are those of a training step."""
    for name, value in source.hive.items():
        if name not in batch.column_names:
            batch = batch.append_column(name, pa.array([value] * batch.num_rows, pa.string()))
    raw = {
        column: _column(batch, column, origin, plan, source, first)
        for column, origin in _origins(plan, wanted).items()
    }
    training_step = raw.pop("training_step", None)
    if training_step is None and source.training_step is not None:
        training_step = pa.array([str(source.training_step)] * batch.num_rows)
    if training_step is not None and "group_id" in raw:
        raw["group_id"] = _with_step(raw["group_id"], training_step)
    return raw


def _origins(plan: Plan, wanted: Collection[str] | None) -> dict[str, Origin]:
    return {c: o for c, o in plan.origins.items() if wanted is None or c in wanted}


def positions(groups: Any, trajectories: Any, counted: dict[tuple[str, str], int]) -> Any:
    """The place of each row within its rollout, by the order of rows; `counted` is kept between."""
    places = []
    for key in zip(groups.to_pylist(), trajectories.to_pylist(), strict=True):
        counted[key] = counted.get(key, -1) + 1
        places.append(counted[key])
    return pa.array(places, pa.int64())


def _reads(origin: Origin, name: str) -> bool:
    return isinstance(origin, Path) and (origin.text == name or origin.hops[0][:1] == (name,))


def _column(
    batch: pa.Table, column: str, origin: Origin, plan: Plan, source: Source, first: int
) -> Any:
    """A raw column: texts, a bool, or a number."""
    file = source.name
    if isinstance(origin, Path):
        values = _found(batch, origin)
        if values is None:
            raise plan.missing(column, origin, _record_of(source), file)
    elif isinstance(origin, Place):
        place = [file] if origin.name == "@file" else []
        values = pa.array(place * batch.num_rows or range(first, first + batch.num_rows))
    else:
        values = pa.array([origin.value] * batch.num_rows)
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    if column in _BY_CONVERTING:
        return _numbers(values, column, file, first)
    if column == "step_id":
        return _steps(values, file, first)
    is_coded = column in ("state", "next_state") and values.type == CODED
    texts = values if source.rows is not None and is_coded else _texts(values, column, file)
    if column not in ("next_state", "action") and texts.null_count:
        row = first + pc.index(texts.is_null(), True).as_py()
        raise FileError(f"{column} is null", file, row)
    return texts


def _found(batch: pa.Table, path: Path) -> Any:
    if path.text in batch.column_names:
        return batch[path.text]
    head, *rest = path.hops[0]
    if head not in batch.column_names:
        return None
    values = batch[head]
    for key in rest:
        if not pt.is_struct(values.type) or values.type.get_field_index(key) < 0:
            return None
        values = pc.struct_field(values, key)
    return values


def _record_of(source: Source) -> dict[str, Any]:
    _, batch = next(tables.batches(source, rows=1))
    return {**source.hive, **batch.slice(0, 1).to_pylist()[0]}


def _texts(values: Any, column: str, file: str) -> Any:
    kind = values.type
    if pt.is_dictionary(kind):
        values, kind = values.dictionary_decode(), kind.value_type
    if pt.is_floating(kind):  # pandas writes null as NaN
        values = pc.if_else(pc.is_nan(values), None, values)
    if pt.is_nested(kind) or pt.is_floating(kind) or pt.is_boolean(kind):
        # Rare: by JSON, as it would come from a JSON file.
        texts = [None if value is None else as_text(value) for value in values.to_pylist()]
        return pa.array(texts, pa.string())
    if pt.is_integer(kind) and not values.null_count:
        return _texts_of_integers(values)
    try:
        return values.cast(pa.string())
    except pa.ArrowException as error:
        raise FileError(
            f"{column} is of type {kind} and no text: {error}; store it as text, such as hex", file
        ) from None


def _texts_of_integers(values: Any) -> Any:
    """Ids mostly, which come in runs: a run is converted once."""
    starts = run_starts(values.to_numpy())
    if 2 * len(starts) >= len(values):
        return values.cast(pa.string())
    texts = values.take(pa.array(starts)).cast(pa.string())
    ends = pa.array(np.append(starts[1:], len(values)).astype(np.int32))
    return pc.run_end_decode(pa.RunEndEncodedArray.from_arrays(ends, texts))


def _numbers(values: Any, column: str, file: str, first: int) -> Any:
    """Bools and float64 as they are; anything else value by value."""
    if pt.is_boolean(values.type):
        return values if column == "success" else values.cast(pa.float64())
    if pt.is_integer(values.type) or pt.is_floating(values.type) or pt.is_decimal(values.type):
        numbers = values.cast(pa.float64(), safe=False)
        return pc.if_else(pc.is_nan(numbers), None, numbers)
    convert = _BY_CONVERTING[column]
    converted = [
        convert(value, column, file, first + row) for row, value in enumerate(values.to_pylist())
    ]
    is_verdict = column == "success" and bool(converted)
    if is_verdict and all(value is None or isinstance(value, bool) for value in converted):
        return pa.array(converted, pa.bool_())
    return pa.array([None if v is None else float(v) for v in converted], pa.float64())


def _steps(values: Any, file: str, first: int) -> Any:
    if pt.is_integer(values.type) and not values.null_count:
        with contextlib.suppress(pa.ArrowInvalid):  # beyond 64 bits: which one is said below
            return values.cast(pa.int64())
    whole = [as_step(value, file, first + row) for row, value in enumerate(values.to_pylist())]
    return pa.array(whole, pa.int64())


def _with_step(group_ids: Any, training_steps: Any) -> Any:
    """`group_key` for a column."""
    escaped = pc.replace_substring(pc.replace_substring(group_ids, "%", "%25"), "|", "%7C")
    prefix = pc.binary_join_element_wise("step", training_steps, "=")
    return pc.binary_join_element_wise(prefix, escaped, "|")


def with_outcomes(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Raw rows, those without an outcome with the best one of their rollout's other rows."""
    for table in tables:
        if not pc.any(_is_unscored(table)).as_py():
            yield table
            continue
        whole = pa.concat_tables([table, *tables])
        unscored = _is_unscored(whole)
        for name in ("success", "outcome"):
            values = whole[name].cast(pa.float64()).fill_null(np.nan).to_numpy()
            best = pa.array(best_of_rollouts(whole, values), from_pandas=True)  # NaN is null
            filled = pc.if_else(unscored, best.cast(whole[name].type), whole[name])
            index = whole.schema.get_field_index(name)
            whole = whole.set_column(index, RAW_SCHEMA.field(name), filled)
        yield from in_slices(whole)


def _is_unscored(rows: pa.Table) -> Any:
    return pc.and_(rows["success"].is_null(), rows["outcome"].is_null())


class Judge:
    """Raw rows to the rows that are yielded: outcomes judged, rollouts counted."""

    def __init__(self, source: Source, context: Context) -> None:
        self._file = source.name
        self._context = context
        self._unscored: set[tuple[str, str]] = set()

    def __call__(self, raw: pa.Table) -> pa.Table:
        """The rows that have an outcome."""
        report = self._context.report
        success, outcome = raw["success"], raw["outcome"]
        by_rule = success.is_null()
        success = pc.coalesce(success, pc.greater_equal(outcome, report.success_at))
        outcome = pc.coalesce(outcome, success.cast(pa.float64()))
        judged = raw.set_column(6, "success", success).set_column(7, "outcome", outcome)
        judged = judged.append_column("by_rule", by_rule)
        if success.null_count:
            self._leave_out(judged.filter(success.is_null()))
            judged = judged.filter(success.is_valid())
        self._count(judged)
        return judged.drop_columns("by_rule").cast(_with_codes(ROW_SCHEMA, judged))

    def _leave_out(self, rows: pa.Table) -> None:
        for key in _distinct(rows):
            if key not in self._unscored:
                self._unscored.add(key)
                self._context.leave_out(UNSCORED)

    def _count(self, rows: pa.Table) -> None:
        is_solved, by_rule = rows["success"], rows["by_rule"]
        is_partial = pc.and_(by_rule, pc.greater(rows["outcome"], 0.0))
        verdicts = pc.if_else(is_solved, SOLVED, pc.if_else(is_partial, PARTIAL, FAILED))
        self._context.report.tally.add_rows(
            rows["group_id"], rows["trajectory_id"], verdicts.to_numpy().astype(np.uint8)
        )


def _distinct(rows: pa.Table) -> list[tuple[str, str]]:
    keys = rows.group_by(["group_id", "trajectory_id"]).aggregate([])
    columns = (keys["group_id"].to_pylist(), keys["trajectory_id"].to_pylist())
    return list(zip(*columns, strict=True))
