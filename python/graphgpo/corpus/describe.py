"""What a corpus is, without writing anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from graphgpo import estimators
from graphgpo.files import Report, RowReader
from graphgpo.files.batch import columns_of
from graphgpo.files.rows import completed, concatenated
from graphgpo.rollouts import Rollouts
from graphgpo.states.diagnose import Finding, diagnose
from graphgpo.states.merging import AS_GIVEN, Merging

from .credit import credited
from .job import Progress, StrictError, Summary, watched
from .totals import Totals

MERGED_ROWS = 200_000
"""Steps whose states are compared; of a larger corpus its first ones."""


@dataclass
class Description:
    """A corpus in numbers."""

    report: Report
    totals: Totals
    is_whole: bool
    """Whether `totals` and `findings` are of all steps."""

    first: dict[str, Any]
    """The first step."""

    findings: list[Finding] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            **self.report.as_dict(),
            "merged_steps": self.totals.counts["num_steps"],
            "metrics": self.totals.metrics(),
            "findings": [
                {"kind": one.kind, "words": one.words, "switch": one.switch}
                for one in self.findings
            ],
            "first_step": self.first,
        }


def describe(
    reader: RowReader, progress: Progress, *, merging: Merging = AS_GIVEN, strict: bool = False
) -> Description:
    """Read all of a corpus; merge and diagnose its first steps.

    Raises
    ------
    FileError
        For what cannot be read, or cannot be credited.
    StrictError
        With `strict`, where rollouts are left out or links broken.
    """
    (whole,) = reader.parts(1)
    kept: list[pa.Table] = []
    is_whole = True
    for table in watched(whole, progress):
        room = MERGED_ROWS - sum(one.num_rows for one in kept)
        is_whole &= table.num_rows <= room
        if room > 0:
            kept.append(table.slice(0, room))
    report = reader.report
    report.update(whole.report)
    report.check()
    rows = completed(concatenated(kept), report.of_whole_rollouts)
    if not is_whole:
        rows = _without_last_rollout(rows)
    _, totals = credited(rows, [estimators.make("graphgpo")], merging=merging)
    if strict and (problems := Summary(report, totals).problems()):
        raise StrictError("; ".join(problems))
    first = {name: rows[name][0].as_py() for name in rows.column_names}
    found = diagnose(Rollouts(**columns_of(rows), **merging.options))
    return Description(report, totals, is_whole, first, found)


def _without_last_rollout(rows: pa.Table) -> pa.Table:
    """The last one may have been cut in two."""
    is_last = [pc.equal(rows[name], rows[name][-1]) for name in ("group_id", "trajectory_id")]
    return rows.filter(pc.invert(pc.and_(*is_last)))
