"""`read_rows`: rollouts on disk, as tables of canonical rows."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from . import tables
from .ahead import Ahead, look_ahead
from .detect import Detected, detect, format_name, one_format
from .errors import FileError, naming
from .extract import Extract
from .formats import FORMATS, Context
from .mapping import Plan
from .paths import DOCUMENT_SUFFIXES, OTHER_SUFFIXES, Source, sources
from .report import SOLVED, Report
from .rows import RowTables, concatenated, one_outcome

_BY_NAME = {"rllm": ("episode_",), "atif": ("result.json",)}
"""How the files of a folder begin that a format takes."""


class RowReader:
    """Tables of rows, one after another, and what was read. Made by `read_rows`.

    Iterate once; every table is of `graphgpo.files.ROW_SCHEMA` and of one file, and no rollout of a
    chat is cut in two. Success and outcome are of the row; `table` makes them one of a rollout.
    `report` is complete when the last table has been taken.
    """

    def __init__(
        self,
        given: Sequence[Source],
        detected: Detected,
        report: Report,
        plan: Plan | None,
        extract: Extract,
        score: str | None,
        check: bool,
        fills_next_states: bool = True,
    ) -> None:
        self._sources = given
        self._detected = detected
        self._format = FORMATS[detected.format]
        self._plan = plan
        self._extract = extract
        self._check = check
        self._score = score
        self._fills_next_states = fills_next_states
        self.report = report
        report.format = detected.title

    @property
    def files(self) -> list[str]:
        """Names of the files, in the order they are read."""
        return [source.name for source in self._sources]

    @property
    def is_stream(self) -> bool:
        """Whether it reads what can be read once only, and in this process: stdin, or a frame."""
        return any(source.path is None for source in self._sources)

    @property
    def file_bytes(self) -> list[int]:
        """Size of each of the `files`."""
        return [source.num_bytes for source in self._sources]

    @property
    def text_bytes(self) -> int:
        """Bytes of memory that all rows take, roughly and without reading them."""
        return sum(map(tables.text_bytes, self._sources))

    def parts(self, count: int) -> list[RowReader]:
        """At most `count` readers of consecutive files of about as many bytes each.

        They are for other processes: none checks what only the whole corpus shows, and none fills
        in next states, as a rollout may go on in another's files. Their reports add up.
        """
        sizes = np.cumsum([max(size, 1) for size in self.file_bytes])
        numbers = (sizes - 1) * count // sizes[-1]
        parts = (np.flatnonzero(numbers == number).tolist() for number in np.unique(numbers))
        return [self._part([self._sources[place] for place in part]) for part in parts]

    def ahead(self) -> Ahead | None:
        """What can be known of the rows before they are read; None: not what pieces need.

        Raises
        ------
        FileError
            If a file is broken, a column missing, or a group's id null.
        """
        is_of_steps = self._detected.format == "steps"
        return look_ahead(self._sources, self._plan) if is_of_steps else None

    def pieces(self, ahead: Ahead, ends: Sequence[int]) -> list[RowReader]:
        """Readers of consecutive rows, each up to one of `ends`, such as `ahead.ends` gives.

        As `parts`, but of whole groups, and so of whole rollouts: what `Report.of_whole_rollouts`
        says of a piece, once it is read, is all it says of these rows. Their states may come as
        codes: `graphgpo.files.rows.decoded`.
        """
        self.report.num_files = len(self._sources)
        self.report.lacks_next_states = ahead.lacks_next_states
        return [
            self._part(
                [replace(self._sources[file], rows=rows) for file, rows in ahead.within(start, end)]
            )
            for start, end in itertools.pairwise([0, *ends])
        ]

    def _part(self, given: Sequence[Source]) -> RowReader:
        report = Report(self.report.success_at, lacks_next_states=self.report.lacks_next_states)
        return RowReader(
            given,
            self._detected,
            report,
            self._plan,
            self._extract,
            self._score,
            check=False,
            fills_next_states=False,
        )

    def __iter__(self) -> Iterator[pa.Table]:
        preset, fills = self._detected.preset, self._fills_next_states
        context = Context(self.report, self._plan, self._score, preset, fills)
        if self._plan is not None:
            self.report.mapping = dict(self._plan.texts)
        elif self._format.mapping:
            self.report.mapping = dict(self._format.mapping)
        for source in self._sources:
            self.report.num_files += source.rows is None
            with naming(source.name):
                for table in self._tables(source, context):
                    if table.num_rows:
                        self.report.num_rows += table.num_rows
                        yield self._extract.apply(table) if self._extract else table
        if self._check:
            self.report.check()

    def table(self) -> pa.Table:
        """All rows in one table; a rollout that any of its rows solves is solved on all."""
        rows = concatenated(self)
        return one_outcome(rows) if self.report.num_split else rows

    def _tables(self, source: Source, context: Context) -> Iterator[pa.Table]:
        collected = RowTables(source.name)
        for item in self._format.read(source, context):
            if isinstance(item, pa.Table):
                yield item
                continue
            verdict = self.report.verdict(item.outcome)
            self.report.tally.add(item.group_id, item.trajectory_id, verdict)
            collected.add(item, verdict == SOLVED)
            if collected.is_full:
                yield collected.take()
        yield collected.take()


def read_rows(
    paths: Any,
    *,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    success_at: float = 1.0,
    extract: Mapping[str, str] | None = None,
    score: str | None = None,
    check: bool = True,
) -> RowReader:
    r"""Read rollouts that a trainer, an evaluation or a data set left on disk.

    Parameters
    ----------
    paths : path, sequence of paths, or data frame
        Files, folders, globs and `-` (JSON Lines on stdin); or a polars or pandas frame, or an
        Arrow table.
    format : str, optional
        One of steps, messages, verl, rllm, verifiers, inspect, atif. None: by suffix, name and the
        keys of the first record.
    columns : mapping of str to str, optional
        The columns by the names of `compute_advantages`, each with the path of a record it comes
        from: `{"states": "obs.text", "group_ids": "task", "trajectory_ids": "episode", "success":
        "won"}`. `runs[].steps[].obs` goes through lists, a row being an item of the deepest;
        `@file`, `@row` and `=constant` stand for themselves; `messages` takes a chat.
    success_at : float
        A bool outcome is as it is; a number is a success from here on.
    extract : mapping of str to str, optional
        For states, next_states or actions a regular expression whose first group is kept, `.`
        matching newlines too.
    score : str, optional
        Which of several scores is the outcome: a reward column of TRL, a score of Inspect, a
        reward of Harbor.
    check : bool
        False: this is a part of a corpus, so that no rollouts, or one a task, are no error yet.
        Reports of parts add up with `Report.update`, and `Report.check` does the rest.

    Returns
    -------
    RowReader
        Iterable of Arrow tables of about 16,384 rows, with columns group_id, trajectory_id,
        step_id, state, next_state (null: unknown), action, success, outcome, reward, source_file,
        source_row; its `report` says what was taken and what was left out. Ids are text. A group
        never spans training steps.

    Raises
    ------
    FileError
        If a file is missing, broken, of no known format or of one that cannot be read, saying what
        to do; here, or while tables are taken.
    ValueError
        If an option is none.

    Examples
    --------
    >>> import pyarrow as pa
    >>> frame = pa.table({"task": ["a", "a"], "run": [0, 1], "obs": ["hall", "hall"],
    ...                   "won": [True, False]})
    >>> reader = read_rows(frame, columns={"states": "obs", "group_ids": "task",
    ...                                    "trajectory_ids": "run", "success": "won"})
    >>> reader.table().select(["state", "success", "outcome"]).to_pylist()[0]
    {'state': 'hall', 'success': True, 'outcome': 1.0}
    >>> reader.report.num_rollouts, reader.report.num_solved
    (2, 1)
    """
    patterns = Extract(extract)
    report = Report(success_at)
    plan = Plan(columns) if columns else None
    wanted = format_name(format) if format else None
    if plan is not None and wanted not in (None, "steps"):
        raise ValueError(f"columns is a mapping of steps; it does not go with format={format!r}")
    is_frame = not isinstance(paths, (str, os.PathLike)) and tables.is_frame(paths)
    given = [tables.frame_source(paths)] if is_frame else sources(paths)
    if plan is not None:
        given, detected = _mapped(given), Detected("steps")
    elif wanted is not None:
        given, detected = _of_format(given, wanted, report)
    else:
        given, detected = one_format([(source, detect(source)) for source in given], report)
    if detected.format == "verifiers":
        given = _without_subsets(given, report)
    return RowReader(given, detected, report, plan, patterns, score, check)


def _mapped(given: list[Source]) -> list[Source]:
    """Sources that a mapping can be applied to: all that were named, and data files besides."""
    readable = [s for s in given if s.is_named or s.suffix not in OTHER_SUFFIXES]
    lines_or_tables = [s for s in readable if s.is_named or s.suffix not in DOCUMENT_SUFFIXES]
    taken = lines_or_tables or readable
    if not taken:
        raise FileError("no file here is JSON or a table", given[0].name)
    return taken


def _without_subsets(given: list[Source], report: Report) -> list[Source]:
    """Without prime-rl's `effective` traces where `all` of the same step are read too."""
    every = {s.path.parent.parent for s in given if s.path and s.path.parent.name == "all"}
    taken = [
        s
        for s in given
        if not (s.path and s.path.parent.name == "effective" and s.path.parent.parent in every)
    ]
    if len(taken) < len(given):
        report.warn(
            f"{len(given) - len(taken)} files of effective traces were not read: all/ has them too"
        )
    return taken


def _of_format(given: list[Source], wanted: str, report: Report) -> tuple[list[Source], Detected]:
    """Sources that are read as the format the user named.

    What the user named is taken at his word; of what a folder or a glob has found, the files of
    that format, or, where none looks like it, all that could be.
    """
    if wanted in _BY_NAME:
        begins = _BY_NAME[wanted]
        could = [s for s in given if s.is_named or (s.path and s.path.name.startswith(begins))]
    elif wanted == "inspect":
        could = [s for s in given if s.is_named or s.suffix == ".eval"]
    else:
        could = _mapped(given)
    if not could:
        raise FileError(f"no file here is of format {wanted}", given[0].name)
    if wanted == "messages":  # which has presets to find
        found = [(source, detect(source)) for source in could]
        return one_format([(s, d) for s, d in found if d.format == wanted] or found, report)
    taken = [s for s in could if s.is_named or detect(s).format == wanted]
    return taken or could, Detected(wanted)
