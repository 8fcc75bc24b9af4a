"""Corpora whose groups each lie in one place: credited as they are read, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from graphgpo.files import Report, RowReader
from graphgpo.files.rows import completed, decoded

from .making import Making
from .totals import Totals
from .workers import Workers

PIECE_BYTES = 64 * 2**20
"""Rows of a piece, about: small, as memory that is used again costs less than new memory."""


@dataclass(frozen=True)
class Pieces:
    """A corpus in consecutive rows of whole groups, so that each can be credited apart."""

    readers: Sequence[RowReader]
    incomplete: frozenset[str]
    """As `graphgpo.files.batch.incomplete`, of all rows."""

    @classmethod
    def of(cls, reader: RowReader, count: int | None, num_workers: int) -> Pieces | None:
        """At most `count` of them, or, if that is None, as many as memory and workers want.

        None: the corpus is not one that can be cut so, or not so often.
        """
        ahead = reader.ahead()
        if ahead is None or not ahead.num_rows:
            return None
        if count is None:
            balanced = 1 if num_workers == 1 else 4 * num_workers
            count = max(-(-reader.text_bytes // PIECE_BYTES), balanced)
        ends = ahead.ends(count)
        return cls(reader.pieces(ahead, ends), ahead.incomplete) if ends else None


@dataclass(frozen=True)
class Piece:
    """A piece to be credited."""

    number: int
    reader: RowReader
    making: Making
    is_kept: bool
    """Whether its part is written: for another process, or another run."""


@dataclass(frozen=True)
class Credited:
    """A piece that is done."""

    report: Report
    totals: Totals
    table: pa.Table | None
    """None: the part is written."""


def credit_piece(task: Piece) -> Credited:
    """Read and credit; what an earlier run has credited is read alone, for the report."""
    tables = list(task.reader)
    report = task.reader.report
    if saved := task.making.space.saved_totals(task.number):
        return Credited(report, saved, None)
    rows = _whole(tables, report.of_whole_rollouts)
    if task.is_kept:
        return Credited(report, task.making.part(task.number, rows), None)
    table, totals = task.making.table(rows)
    return Credited(report, totals, table)


def _whole(tables: Sequence[pa.Table], of_whole_rollouts: Sequence[str]) -> pa.Table:
    is_coded_alike = all(table.schema == tables[0].schema for table in tables)
    if "next_state" in of_whole_rollouts or not is_coded_alike:
        tables = [decoded(table) for table in tables]
    return completed(pa.concat_tables(tables), of_whole_rollouts)


def in_order(workers: Workers, tasks: Sequence[Piece]) -> Iterator[tuple[int, Credited]]:
    """Pieces by number, each as soon as it and all before it are credited."""
    done: dict[int, Credited] = {}
    number = 0
    for place, answer in workers.run(credit_piece, tasks):
        done[place] = answer
        while number in done:
            yield number, done.pop(number)
            number += 1
