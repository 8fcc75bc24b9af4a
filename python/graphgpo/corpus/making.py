"""How rows of whole groups become a part of the output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from graphgpo.estimators import Estimator
from graphgpo.files import write_rows
from graphgpo.files.rows import decoded
from graphgpo.states.merging import Merging

from .credit import credited
from .totals import Totals
from .workspace import Workspace


@dataclass(frozen=True)
class Making:
    """What is the same for all parts."""

    space: Workspace
    suffix: str
    estimators: Sequence[Estimator] | None
    keep: Sequence[str]
    merging: Merging
    without: frozenset[str]
    metadata: Mapping[str, Any]
    num_threads: int | None
    made: Sequence[str] | None = None
    """Columns that are kept; None: all."""

    def table(self, rows: pa.Table) -> tuple[pa.Table, Totals]:
        """Credit rows, of which what is kept stays."""
        totals = Totals()
        if self.estimators is not None:
            rows, totals = credited(
                rows,
                self.estimators,
                keep=self.keep,
                without=self.without,
                merging=self.merging,
                num_threads=self.num_threads,
            )
        return decoded(rows if self.made is None else rows.select(self.made)), totals

    def part(self, number: int, rows: pa.Table) -> Totals:
        """Credit rows, write what is kept, and note that it is done."""
        rows, totals = self.table(rows)
        if rows.num_rows:
            path = self.space.part(number, self.suffix)
            write_rows(rows, path, metadata={**self.metadata, "partition": number}, overwrite=True)
        self.space.save_totals(number, totals)
        return totals
