"""One run over a corpus: what it reads, what it makes of it, and where that goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from graphgpo.aside import is_there
from graphgpo.estimators import Estimator
from graphgpo.files import ROW_SCHEMA, Report, RowReader, write_rows
from graphgpo.files.batch import incomplete
from graphgpo.files.rows import completed, concatenated
from graphgpo.files.writer import SUFFIXES, WITH_METADATA
from graphgpo.states.merging import AS_GIVEN, Merging

from .credit import credited, needs_whole_batch
from .making import Making
from .partitions import MOST_PARTITIONS, Spill, in_input_order, read_partition
from .pieces import Piece, Pieces, in_order
from .totals import Totals
from .workers import Serial, Workers, one_ahead
from .workspace import Workspace, put_folder, workspace

PARTITION_BYTES = 256 * 2**20
"""Rows of a partition, about: several times as much memory is needed to credit them."""

_FOR_STREAMS = 16  # partitions: nobody knows what is yet to come

Progress = Callable[[str, float], None]
"""Called with the pass, "reading", "crediting" or "writing", and the share of it that is done."""


@dataclass(frozen=True)
class Job:
    """What is to be made of a corpus."""

    out: Path
    """A file by its suffix, or a folder, which gets a Parquet file per partition."""

    estimators: Sequence[Estimator] | None = None
    """Credits by these; None: the rows themselves."""

    keep: Sequence[str] = ()
    """Columns of the rows that are kept beside the credits."""

    merging: Merging = AS_GIVEN
    """What counts as one state, to the estimators."""

    partitions: int | None = None
    """None: as many as memory wants."""

    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    """Kept in Parquet and Arrow files."""

    overwrite: bool = False
    resume: bool = False
    """Partitions that are done outlive a failure, and are taken up again."""

    strict: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether `out` is a folder."""
        return self.out.suffix.lower() not in SUFFIXES


@dataclass
class Summary:
    """What was read, credited and written."""

    report: Report
    totals: Totals = field(default_factory=Totals)
    num_rows: int = 0
    num_partitions: int = 1

    def problems(self) -> list[str]:
        """What `--strict` does not let pass."""
        found = []
        if skipped := sum(self.report.left_out.values()):
            found.append(f"{skipped} rollouts were left out")
        if broken := self.totals.counts["broken_links"]:
            found.append(f"{broken} steps do not start where the step before them ended")
        found += [f"{name} credits no step" for name in self.totals.inert]
        return found


class StrictError(ValueError):
    """`Job.strict`, and something is wrong."""


def run_job(
    reader: RowReader, job: Job, workers: Workers | None = None, progress: Progress | None = None
) -> Summary:
    """Read a corpus, credit it, write the output: whole or not at all.

    Parameters
    ----------
    reader
        Of `read_rows`, not yet iterated.
    job
        What to make of it.
    workers
        Who does it; None: this process.
    progress
        Told what share of a pass is done.

    Raises
    ------
    FileExistsError
        If the output is there and is not to be overwritten.
    FileError
        For what cannot be read or credited, naming the file and the row.
    StrictError
        With `job.strict`, where rollouts are left out, links broken, or no step has credit.
    ValueError
        If an estimator compares steps across groups and more than one partition is asked for.
    """
    if job.out.exists() and not job.overwrite:
        raise is_there(job.out)
    workers = workers or Serial()
    progress = progress or (lambda _, __: None)
    count = _num_partitions(reader, job, workers)
    if count == 1 and not job.is_folder and not job.resume and workers.num_workers == 1:
        return _in_memory(reader, job, progress)
    workers.start()
    progress("reading", 0.0)
    pieces = Pieces.of(reader, job.partitions, workers.num_workers) if count > 1 else None
    count = len(pieces.readers) if pieces else count
    cut = {"partitions": count, "in_pieces": bool(pieces), "suffix": job.out.suffix}
    job.out.parent.mkdir(parents=True, exist_ok=True)
    with workspace(job.out, {**job.fingerprint, **cut}, resume=job.resume) as space:
        if pieces:
            return _in_pieces(reader, pieces, job, workers, progress, space)
        return _in_partitions(reader, job, count, workers, progress, space)


def _num_partitions(reader: RowReader, job: Job, workers: Workers) -> int:
    beyond = [one.name for one in job.estimators or () if needs_whole_batch(one)]
    if beyond:
        if (job.partitions or 1) > 1:
            raise ValueError(
                f"{beyond[0]} compares steps across groups, so the corpus is one partition; "
                f"expected --partitions 1, got {job.partitions}"
            )
        return 1
    if job.partitions is not None:
        return job.partitions
    needed = _FOR_STREAMS if reader.is_stream else -(-reader.text_bytes // PARTITION_BYTES)
    balanced = 1 if workers.num_workers == 1 else 4 * workers.num_workers
    return max(1, min(MOST_PARTITIONS, max(needed, balanced)))


def _in_memory(reader: RowReader, job: Job, progress: Progress) -> Summary:
    summary = Summary(reader.report)
    (whole,) = reader.parts(1)
    rows = concatenated(watched(whole, progress))
    reader.report.update(whole.report)
    reader.report.check()
    rows = completed(rows, reader.report.of_whole_rollouts)
    if job.estimators is not None:
        progress("crediting", 0.0)
        rows, summary.totals = credited(rows, job.estimators, keep=job.keep, merging=job.merging)
    _check_strict(summary, job)
    progress("writing", 0.0)
    summary.num_rows = write_rows(rows, job.out, metadata=_metadata(job), overwrite=job.overwrite)
    return summary


def _metadata(job: Job) -> dict[str, Any] | None:
    has_room = job.out.suffix.lower() in WITH_METADATA
    return dict(job.fingerprint) if has_room and job.fingerprint else None


def _check_strict(summary: Summary, job: Job) -> None:
    if job.strict and (problems := summary.problems()):
        raise StrictError("; ".join(problems))


def watched(reader: RowReader, progress: Progress) -> Iterator[pa.Table]:
    """Tables of a reader, whose share of the bytes `progress` is told."""
    sizes = dict(zip(reader.files, reader.file_bytes, strict=True))
    total, done, last = max(1, sum(sizes.values())), 0, None
    for table in reader:
        file = table["source_file"][0].as_py()
        if last is not None and file != last:
            done += sizes.get(last, 0)
        last = file
        progress("reading", done / total)
        yield table


# --- pass 1 ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reading:
    """Files whose rows are put into partitions."""

    reader: RowReader
    spill: Path
    part: int
    partitions: int
    wanted: frozenset[int]
    in_order: Sequence[str]


@dataclass(frozen=True)
class _Read:
    report: Report
    incomplete: frozenset[str]


def _spill(task: _Reading) -> _Read:
    missing: set[str] = set()
    spill = Spill(task.spill, task.part, task.partitions, task.wanted, task.in_order)
    try:
        for table in task.reader:
            missing |= incomplete(table)
            spill.add(table)
    finally:
        spill.close()
    return _Read(task.reader.report, frozenset(missing))


# --- pass 2 ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Crediting:
    """A partition."""

    number: int
    num_parts: int
    of_whole_rollouts: Sequence[str]
    making: Making


def _credit(task: _Crediting) -> Totals:
    rows = read_partition(task.making.space.spill, task.num_parts, task.number)
    return task.making.part(task.number, completed(rows, task.of_whole_rollouts))


def _in_partitions(
    reader: RowReader,
    job: Job,
    count: int,
    workers: Workers,
    progress: Progress,
    space: Workspace,
) -> Summary:
    summary = Summary(reader.report, num_partitions=count)
    done = {number: space.saved_totals(number) for number in range(count)}
    left = [number for number, totals in done.items() if totals is None]
    for totals in filter(None, done.values()):
        summary.totals.update(totals)

    # What can be read once only is read here, in one piece.
    parts = reader.parts(1 if reader.is_stream else 4 * workers.num_workers)
    in_order = [] if job.is_folder else [name for name in _schema(job).names if _is_read(name)]
    tasks_of_pass_1 = [
        _Reading(part, space.spill, place, count, frozenset(left), in_order)
        for place, part in enumerate(parts)
    ]
    read = _read_all(tasks_of_pass_1, reader, workers, progress)
    without = frozenset().union(*(one.incomplete for one in read))
    summary.num_rows = reader.report.num_rows

    of_whole = reader.report.of_whole_rollouts
    made = None if job.is_folder else _made(job, of_whole)
    making = _making(job, space, workers, count, without, made)
    tasks = [_Crediting(number, len(parts), of_whole, making) for number in left if made != []]
    for finished, (_, totals) in enumerate(workers.run(_credit, tasks)):
        summary.totals.update(totals)
        progress("crediting", (finished + 1) / len(tasks))
    _check_strict(summary, job)
    if job.is_folder:
        put_folder(space.parts, job.out, overwrite=job.overwrite)
    else:
        _put_file(summary, job, count, len(parts), progress, space)
    return summary


def _making(
    job: Job,
    space: Workspace,
    workers: Workers,
    count: int,
    without: frozenset[str],
    made: Sequence[str] | None = None,
) -> Making:
    return Making(
        space,
        ".parquet" if job.is_folder else ".arrow",
        job.estimators,
        job.keep,
        job.merging,
        without,
        {**job.fingerprint, "partitions": count},
        workers.num_threads,
        made,
    )


def _is_read(name: str) -> bool:
    """Whether a column is of the rows as they are read."""
    return name in ROW_SCHEMA.names


def _made(job: Job, of_whole_rollouts: Sequence[str]) -> list[str]:
    """Columns of the output that pass 2 makes; all others are in the order of the input already."""
    names = _schema(job).names
    return [name for name in names if not _is_read(name) or name in of_whole_rollouts]


def _read_all(
    tasks: Sequence[_Reading], reader: RowReader, workers: Workers, progress: Progress
) -> list[_Read]:
    """Pass 1. The reports of the parts become the reader's."""
    progress("reading", 0.0)
    workers = Serial() if reader.is_stream else workers
    sizes = [sum(task.reader.file_bytes) for task in tasks]
    read: list[_Read | None] = [None] * len(tasks)
    num_bytes = 0
    for place, answer in workers.run(_spill, tasks):
        read[place] = answer
        num_bytes += sizes[place]
        progress("reading", num_bytes / max(1, sum(sizes)))
    answers = [answer for answer in read if answer is not None]
    for answer in answers:  # in order, so that what is said does not depend on who was first
        reader.report.update(answer.report)
    reader.report.check()
    return answers


def _put_file(
    summary: Summary,
    job: Job,
    count: int,
    num_parts: int,
    progress: Progress,
    space: Workspace,
) -> None:
    """All partitions in the order of the input, as one file."""
    paths = (space.part(number, ".arrow") for number in range(count))
    tables = [_mapped(path) if path.exists() else None for path in paths]
    schema = _schema(job)

    def watched() -> Iterator[pa.Table]:
        written = 0
        for table in in_input_order(space.spill, num_parts, tables, schema):
            written += table.num_rows
            yield table
            progress("writing", written / max(1, summary.num_rows))

    write_rows(watched(), job.out, metadata=_metadata(job), overwrite=job.overwrite)


def _schema(job: Job) -> pa.Schema:
    if job.estimators is None:
        return ROW_SCHEMA
    return credited(ROW_SCHEMA.empty_table(), job.estimators, keep=job.keep)[0].schema


def _mapped(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all().replace_schema_metadata()


# --- pieces ---------------------------------------------------------------------------------------


def _in_pieces(
    reader: RowReader,
    pieces: Pieces,
    job: Job,
    workers: Workers,
    progress: Progress,
    space: Workspace,
) -> Summary:
    count = len(pieces.readers)
    summary = Summary(reader.report, num_partitions=count)
    making = _making(job, space, workers, count, pieces.incomplete)
    is_kept = job.is_folder or job.resume or not isinstance(workers, Serial)
    tasks = [Piece(number, part, making, is_kept) for number, part in enumerate(pieces.readers)]

    def tables() -> Generator[pa.Table | None, None, None]:
        for number, answer in in_order(workers, tasks):
            summary.report.update(answer.report)
            summary.totals.update(answer.totals)
            summary.num_rows = summary.report.num_rows
            progress("crediting", (number + 1) / count)
            is_elsewhere = answer.table is None and not job.is_folder
            yield _mapped(space.part(number, making.suffix)) if is_elsewhere else answer.table
        summary.report.check()
        _check_strict(summary, job)

    if job.is_folder:
        deque(tables(), 0)
        put_folder(space.parts, job.out, overwrite=job.overwrite)
    else:
        # Closed before the workspace is, whatever fails: nothing is made in it any more.
        with closing(one_ahead(tables()) if isinstance(workers, Serial) else tables()) as made:
            write_rows(made, job.out, metadata=_metadata(job), overwrite=job.overwrite)
    return summary
