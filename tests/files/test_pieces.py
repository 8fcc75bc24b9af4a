"""Corpora whose groups each lie in one place, credited as they are read: the bits of any other way.

Where a group turns up again, or an outcome is that of other rows, rows go into partitions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphgpo import estimators
from graphgpo.corpus import Job, Processes, Serial, Summary, Workers, run_job
from graphgpo.corpus.job import StrictError
from graphgpo.corpus.pieces import PIECE_BYTES, Pieces, credit_piece
from graphgpo.corpus.workers import one_ahead
from graphgpo.files import FileError, RowReader, read_rows
from graphgpo.files.rows import CODED as CODES
from graphgpo.states.merging import Merging

TWO = [estimators.make("graphgpo"), estimators.make("gigpo")]
OF_ROWS = ("state", "next_state", "outcome", "reward", "success")
COUNT = 5
AS_TEXT, CODED = 10, 48
"""Rows of a row group: states take less room as codes, or do not."""

Row = dict[str, Any]
Files = Sequence[Sequence[Row]]


def group(name: int | str, *, rollouts: int = 4, **more: Any) -> list[Row]:
    """A task whose first rollout wins."""
    return [
        {
            "group_id": f"task {name}",
            "trajectory_id": f"{rollout}",
            "step_id": step,
            "state": f"room {(len(str(name)) + step * rollout) % 5}",
            "action": "go",
            "success": rollout == 0,
            **more,
        }
        for rollout in range(rollouts)
        for step in range(4)
    ]


def groups(*names: int | str, **more: Any) -> list[Row]:
    return [row for name in names for row in group(name, **more)]


def only_at_the_end(rows: list[Row]) -> list[Row]:
    """The last step of a rollout alone says that it was solved."""
    return [{**row, "success": row["success"] and row["step_id"] == 3} for row in rows]


def with_next_states(rows: list[Row]) -> list[Row]:
    """Of all steps but the last ones."""
    later = [*rows[1:], {}]
    pairs = zip(rows, later, strict=True)
    return [
        {**row, "next_state": None if row["step_id"] == 3 else following["state"]}
        for row, following in pairs
    ]


def without(rows: list[Row], *names: str) -> list[Row]:
    return [{key: value for key, value in row.items() if key not in names} for row in rows]


def parquet(folder: Path, files: Files, row_group_size: int = CODED) -> Path:
    """A Parquet file of each, in small row groups."""
    folder.mkdir(parents=True, exist_ok=True)
    schema = pa.Table.from_pylist([row for rows in files for row in rows]).schema
    for number, rows in enumerate(files):
        table = pa.Table.from_pylist(list(rows), schema)
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=row_group_size)
    return folder


def is_in_pieces(folder: Path) -> bool:
    return Pieces.of(read_rows(folder), COUNT, 1) is not None


@pytest.fixture
def in_partitions(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Job], Summary]:
    """The same job with its rows put into partitions by a hash."""

    def run(folder: Path, job: Job) -> Summary:
        with monkeypatch.context() as patched:
            patched.setattr(Pieces, "of", lambda *_: None)
            return run_job(read_rows(folder), job)

    return run


REWARDED = [{**row, "reward": 0.5} for row in groups(*range(9))]
TOLD_LATE = [
    *groups(*range(5), reward=1.0),
    *groups(*range(5, 9), reward=float("nan"), action=None),
]

ONE_PLACE: dict[str, Files] = {
    "a file": [groups(*range(9))],
    "files": [groups(0, 1, 2), groups(3), groups(4, 5, 6, 7)],
    "a group over files": [
        groups(*range(9))[:70],
        groups(*range(9))[70:71],
        groups(*range(9))[71:],
    ],
    "an empty file": [[], groups(0, 1, 2), [], groups(3, 4), []],
    "a large group": [[*groups(0, 1), *group("large", rollouts=40), *groups(2, 3)]],
    "one group": [group("only", rollouts=8)],
    "next states": [with_next_states(groups(*range(9)))],
    "next states in one file": [
        [{**row, "next_state": None} for row in groups(0, 1, 2)],
        with_next_states(groups(3, 4, 5)),
    ],
    "solved at the end": [groups(0, 1, 2), only_at_the_end(groups(3, 4, 5, 6))],
    "rewards": [REWARDED[:60], REWARDED[60:]],
    "rewards that end": [TOLD_LATE],
    "no step ids": [
        without(groups(*range(9)), "step_id")[:72],
        without(groups(*range(9)), "step_id")[72:],
    ],
    "outcomes": [[{**row, "success": float(row["success"])} for row in groups(*range(9))]],
    "training steps": [
        [{**row, "training_step": step} for step in range(3) for row in groups(0, 1, 2)]
    ],
    "numbers as ids": [
        [{**row, "group_id": number // 16} for number, row in enumerate(groups(*range(9)))]
    ],
}

PLACES: dict[str, Files] = {
    "again in the file": [[*groups(0, 1, 2)[:40], *groups(3), *groups(0, 1, 2)[40:]]],
    "again in another file": [groups(0, 1, 2)[:40], groups(3), groups(0, 1, 2)[40:]],
    "a copy of the file": [groups(0, 1, 2), groups(0, 1, 2)],
    "outcomes of other rows": [
        [
            {**row, "success": row["success"] if row["step_id"] == 3 else None}
            for row in groups(*range(9))
        ]
    ],
    "outcomes as text": [[{**row, "success": str(row["success"])} for row in groups(*range(9))]],
}


@pytest.mark.parametrize(
    ("files", "is_one_place"),
    [(files, True) for files in ONE_PLACE.values()] + [(files, False) for files in PLACES.values()],
    ids=[*ONE_PLACE, *PLACES],
)
@pytest.mark.parametrize(
    ("keep", "row_group_size"), [(OF_ROWS, AS_TEXT), (OF_ROWS, CODED), (None, CODED)]
)
def test_the_same_rows_credits_and_report(
    files: Files,
    is_one_place: bool,
    keep: Sequence[str] | None,
    row_group_size: int,
    tmp_path: Path,
    in_partitions: Callable[[Path, Job], Summary],
) -> None:
    folder = parquet(tmp_path / "in", files, row_group_size)
    assert is_in_pieces(folder) == is_one_place
    found, expected = tmp_path / "found.parquet", tmp_path / "expected.parquet"
    made: dict[str, Any] = {"partitions": COUNT, "estimators": TWO if keep else None}
    summary = run_job(read_rows(folder), Job(found, keep=keep or (), **made))
    other = in_partitions(folder, Job(expected, keep=keep or (), **made))
    assert pq.read_table(found).equals(pq.read_table(expected))
    assert summary.report.as_dict() == other.report.as_dict()
    assert summary.totals == other.totals
    assert summary.num_rows == other.num_rows == sum(map(len, files))


@pytest.mark.parametrize("count", [2, 3, 9])
def test_the_same_bits_for_any_number_of_pieces(count: int, tmp_path: Path) -> None:
    folder = parquet(tmp_path / "in", [groups(*range(20))[:130], groups(*range(20))[130:]])
    whole = run_job(read_rows(folder), Job(tmp_path / "whole.parquet", TWO))
    cut = run_job(read_rows(folder), Job(tmp_path / "cut.parquet", TWO, partitions=count))
    assert (whole.num_partitions, cut.num_partitions) == (1, count)
    assert cut.totals == whole.totals
    expected = pq.read_table(tmp_path / "whole.parquet")
    assert pq.read_table(tmp_path / "cut.parquet").equals(expected)


def test_progress_is_that_of_the_pieces(tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    folder = parquet(tmp_path / "in", ONE_PLACE["files"])
    job = Job(tmp_path / "out.parquet", TWO, partitions=2)
    run_job(read_rows(folder), job, progress=lambda *now: seen.append(now))
    assert seen == [("reading", 0.0), ("crediting", 0.5), ("crediting", 1.0)]


def test_credit_that_wants_a_column_which_is_missing_later(tmp_path: Path) -> None:
    folder = parquet(tmp_path / "in", ONE_PLACE["rewards that end"])
    found = []
    for count in (1, COUNT):
        out = tmp_path / f"{count}.parquet"
        run_job(read_rows(folder), Job(out, [estimators.make("stepwise")], partitions=count))
        found.append(pq.read_table(out)["advantage_stepwise"])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "merging",
    [
        Merging.of({"numbers": True}, None, 1),
        Merging.of(None, 0.8, 1),
        Merging.of(None, None, 2),
    ],
    ids=["normalise", "similar", "node_history"],
)
def test_states_are_merged_alike_as_codes_and_as_texts(merging: Merging, tmp_path: Path) -> None:
    rows = with_next_states(groups(*range(9)))
    both = pa.Table.from_pylist(rows)
    (tmp_path / "in").mkdir()
    for name, part, size in (("a", both[:72], CODED), ("b", both[72:], AS_TEXT)):
        pq.write_table(part, tmp_path / "in" / f"{name}.parquet", row_group_size=size)
    pieces = Pieces.of(read_rows(tmp_path / "in"), 3, 1)
    assert pieces is not None
    kinds = [{table.schema.field("state").type for table in piece} for piece in pieces.readers]
    assert kinds == [{CODES}, {CODES, pa.string()}, {pa.string()}]
    found = []
    for count in (1, 3):
        out = tmp_path / f"{count}.parquet"
        run_job(read_rows(tmp_path / "in"), Job(out, TWO, merging=merging, partitions=count))
        found.append(pq.read_table(out))
    assert found[0].equals(found[1])


def test_processes_and_folders(tmp_path: Path) -> None:
    folder = parquet(tmp_path / "in", ONE_PLACE["a group over files"], AS_TEXT)
    run_job(read_rows(folder), Job(tmp_path / "whole.parquet", TWO))
    whole = pq.read_table(tmp_path / "whole.parquet").replace_schema_metadata()
    workers = Processes(2)
    try:
        for out in ("two.parquet", "two"):
            summary = run_job(read_rows(folder), Job(tmp_path / out, TWO), workers)
            assert summary.num_partitions == 8
    finally:
        workers.close()
    run_job(read_rows(folder), Job(tmp_path / "one", TWO, partitions=8))
    assert pq.read_table(tmp_path / "two.parquet").replace_schema_metadata() == whole
    for out in ("one", "two"):
        parts = [pq.read_table(path) for path in sorted((tmp_path / out).iterdir())]
        assert pa.concat_tables(part.replace_schema_metadata() for part in parts) == whole
        of_groups = [set(part["group_id"].to_pylist()) for part in parts]
        assert sum(map(len, of_groups)) == len(set.union(*of_groups)) == 9


class _Stopping(Serial):
    """Stops after some pieces."""

    def __init__(self, after: int) -> None:
        self.left = after

    def run(self, function: Any, tasks: Any) -> Any:
        for place, answer in super().run(function, tasks):
            yield place, answer
            self.left -= function is credit_piece
            if not self.left:
                raise KeyboardInterrupt


@pytest.mark.parametrize("out", ["out.parquet", "out"])
def test_an_interrupted_run_goes_on(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = parquet(tmp_path / "in", ONE_PLACE["solved at the end"])

    def attempt(name: str, workers: Workers | None = None, *, resume: bool = True) -> Summary:
        job = Job(tmp_path / name, TWO, partitions=COUNT, resume=resume)
        return run_job(read_rows(folder), job, workers)

    with pytest.raises(KeyboardInterrupt):
        attempt(out, _Stopping(3))
    done = tmp_path / f".{out}.parts" / "totals"
    assert sorted(path.name for path in done.iterdir()) == [
        "00000.json",
        "00001.json",
        "00002.json",
    ]
    (done.parent / "parts" / "part-00000.arrow").touch()  # as it was left, and not made again
    before = {path: path.stat().st_mtime_ns for path in done.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        attempt(out, _Stopping(4))
    after = {path: path.stat().st_mtime_ns for path in done.iterdir()}
    assert before.items() < after.items()
    if out == "out":
        (done.parent / "parts" / "part-00000.arrow").unlink()
    summary = attempt(out)
    fresh = attempt(f"fresh.{out}", resume=False)
    assert summary.totals == fresh.totals
    assert summary.report.as_dict() == fresh.report.as_dict()
    assert pq.read_table(tmp_path / out).equals(pq.read_table(tmp_path / f"fresh.{out}"))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("out", ["out.parquet", "out"])
def test_what_fails_leaves_nothing(out: str, tmp_path: Path) -> None:
    rows = groups(*range(9))
    rows[101] = {**rows[101], "step_id": 0, "state": "elsewhere"}
    clash = parquet(tmp_path / "clash", [rows[:90], rows[90:]])
    with pytest.raises(FileError, match=r"1\.parquet, row 11: states is 'elsewhere'"):
        run_job(read_rows(clash), Job(tmp_path / out, TWO, partitions=COUNT))
    alone = parquet(tmp_path / "alone", [groups(*range(9), rollouts=1)])
    with pytest.raises(FileError, match="each of the 9 groups has one rollout"):
        run_job(read_rows(alone), Job(tmp_path / out, TWO, partitions=COUNT))
    unnamed = parquet(tmp_path / "unnamed", [[*groups(0, 1), {**rows[0], "group_id": None}]])
    with pytest.raises(FileError, match=r"0\.parquet, row 32: group_id is null"):
        run_job(read_rows(unnamed), Job(tmp_path / out, TWO, partitions=COUNT))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "clash", "unnamed"]


@pytest.mark.parametrize("out", ["out.parquet", "out"])
def test_strict_is_said_before_anything_is_there(out: str, tmp_path: Path) -> None:
    rows = with_next_states(groups(*range(9)))
    rows[-3] = {**rows[-3], "next_state": "nowhere"}
    folder = parquet(tmp_path / "in", [rows])
    assert is_in_pieces(folder)
    with pytest.raises(StrictError, match="1 steps do not start where the step before them ended"):
        run_job(read_rows(folder), Job(tmp_path / out, TWO, partitions=COUNT, strict=True))
    assert list(tmp_path.iterdir()) == [folder]


def test_a_mapping_and_folders_say_what_rows_are(
    tmp_path: Path, in_partitions: Callable[[Path, Job], Summary]
) -> None:
    for step in (1, 2):  # the same tasks in both
        parquet(tmp_path / "in" / f"step_{step}", [without(groups(*range(5)), "action")])
    names = {"states": "state", "group_ids": "group_id", "trajectory_ids": "trajectory_id"}
    reader = read_rows(tmp_path / "in", columns={**names, "success": "success"})
    assert Pieces.of(reader, COUNT, 1) is not None
    run_job(reader, Job(tmp_path / "found.parquet", TWO, partitions=COUNT))
    in_partitions(tmp_path / "in", Job(tmp_path / "expected.parquet", TWO, partitions=COUNT))
    expected = pq.read_table(tmp_path / "expected.parquet")
    assert pq.read_table(tmp_path / "found.parquet").equals(expected)
    assert len(set(expected["group_id"].to_pylist())) == 10


@pytest.mark.parametrize("group_ids", ["@file", "=the only one", "ids.task"])
def test_groups_may_be_of_no_column(group_ids: str, tmp_path: Path) -> None:
    rows = [{**row, "ids": {"task": row["group_id"]}} for row in groups(*range(9))]
    for number, row in enumerate(rows):
        row["trajectory_id"] = number // 4
    parquet(tmp_path / "in", [rows[:80], rows[80:]])
    columns = {"states": "state", "trajectory_ids": "trajectory_id", "success": "success"}

    def read() -> RowReader:
        return read_rows(tmp_path / "in", columns={**columns, "group_ids": group_ids})

    assert Pieces.of(read(), COUNT, 1) is not None
    found = []
    for count in (1, COUNT):
        run_job(read(), Job(tmp_path / f"{count}.parquet", TWO, partitions=count))
        found.append(pq.read_table(tmp_path / f"{count}.parquet"))
    assert found[0].equals(found[1])


def test_row_groups_that_would_be_decoded_again_and_again(tmp_path: Path) -> None:
    rows = pa.Table.from_pylist(groups(*range(40)))
    pq.write_table(rows, tmp_path / "large.parquet", row_group_size=len(rows))
    assert Pieces.of(read_rows(tmp_path / "large.parquet"), 4, 1) is not None
    assert Pieces.of(read_rows(tmp_path / "large.parquet"), 40, 1) is None


def test_pieces_begin_with_row_groups_where_these_are_near(tmp_path: Path) -> None:
    rows = pa.Table.from_pylist(groups(*range(40)))
    pq.write_table(rows, tmp_path / "a.parquet", row_group_size=150)
    ahead = read_rows(tmp_path / "a.parquet").ahead()
    assert ahead is not None
    assert ahead.ends(4) == [160, 304, 464, 640]  # groups of 16 rows from 150, 300 and 450 on
    assert ahead.ends(1) == [640]
    assert ahead.ends(4000) is None


def test_pieces_are_as_many_as_memory_and_workers_want(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = parquet(tmp_path / "in", [groups(*range(40))])
    reader = read_rows(folder)
    assert reader.text_bytes < PIECE_BYTES
    for num_workers, count in ((1, 1), (2, 8)):
        pieces = Pieces.of(reader, None, num_workers)
        assert pieces is not None
        assert len(pieces.readers) == count
    monkeypatch.setattr("graphgpo.corpus.pieces.PIECE_BYTES", reader.text_bytes // 10)
    pieces = Pieces.of(reader, None, 1)
    assert pieces is not None
    groups_of = [
        {row for table in piece for row in table["group_id"].to_pylist()}
        for piece in pieces.readers
    ]
    assert 10 <= len(groups_of) <= 11
    assert max(map(len, groups_of)) <= 6  # as row groups want it


def test_what_is_made_one_ahead_is_the_same_and_fails_in_its_place() -> None:
    def broken() -> Iterator[int]:
        yield 0
        yield 1
        raise ValueError("the third is broken")

    assert list(one_ahead(iter(range(5)))) == [0, 1, 2, 3, 4]
    assert list(one_ahead(iter(()))) == []
    made = one_ahead(broken())
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(ValueError, match="the third is broken"):
        next(made)


def test_nothing_is_made_any_more_once_it_is_closed() -> None:
    begun, finished = threading.Event(), []

    def slow() -> Iterator[int]:
        yield 0
        begun.set()
        time.sleep(0.05)
        finished.append(1)
        yield 1

    made = one_ahead(slow())
    assert next(made) == 0
    assert begun.wait(10)
    made.close()
    assert finished == [1]
