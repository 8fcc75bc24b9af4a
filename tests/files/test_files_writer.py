"""Files are written whole or not at all, and a trainer's record survives the trainer."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from written import CORPORA, seen, steps

from graphgpo.files import ROW_SCHEMA, StepWriter, read_rows, write_rows
from graphgpo.files.writer import read_metadata

SUFFIXES = [".parquet", ".arrow", ".csv", ".jsonl"]
ROWS = pa.table({"group_id": ["a", "b"], "state": ['say "hi",\nhé', None], "credit": [0.5, -1.0]})


def loaded(path: Path) -> pl.DataFrame:
    readers = {
        ".parquet": pl.read_parquet,
        ".arrow": lambda path: pl.from_arrow(pa.ipc.open_file(path).read_all()),
        ".csv": pl.read_csv,
        ".jsonl": pl.read_ndjson,
    }
    frame = readers[path.suffix](path)
    assert isinstance(frame, pl.DataFrame)
    return frame


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", ["table", "tables", "frame"])
def test_rows_of_any_kind_are_written_by_suffix(suffix: str, kind: str, tmp_path: Path) -> None:
    rows = {
        "table": ROWS,
        "tables": [ROWS.slice(0, 1), ROWS.slice(1)],
        "frame": pl.from_arrow(ROWS),
    }
    path = tmp_path / "new" / f"rows{suffix}"
    assert write_rows(rows[kind], path) == 2
    assert loaded(path).equals(pl.from_arrow(ROWS))  # type: ignore[arg-type]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv"])
def test_no_rows_are_a_file_with_the_columns(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows{suffix}"
    assert write_rows([], path) == 0
    assert loaded(path).columns == ROW_SCHEMA.names


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_writer_that_fails_leaves_nothing(suffix: str, tmp_path: Path) -> None:
    def tables() -> Iterator[pa.Table]:
        yield ROWS
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        write_rows(tables(), tmp_path / f"rows{suffix}")
    assert not list(tmp_path.iterdir())


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_rows(ROWS, path)
    with pytest.raises(ValueError, match="Target schema's field names are not matching"):
        write_rows([ROWS, ROWS.drop_columns("credit")], path, overwrite=True)
    assert loaded(path).height == 2


def test_a_file_that_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_rows(ROWS, path)
    with pytest.raises(FileExistsError) as error:
        write_rows(ROWS.slice(0, 1), path)
    assert str(error.value) == f"{path} is there already; overwrite=True replaces it"
    assert write_rows(ROWS.slice(0, 1), path, overwrite=True) == 1


def test_other_suffixes_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the whole text is compared
        write_rows(ROWS, tmp_path / "rows.xlsx")
    assert (
        str(error.value) == "path ends in '.xlsx', expected one of .parquet, .arrow, .csv, .jsonl"
    )


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_metadata_is_kept_in_the_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows{suffix}"
    metadata = {"version": "0.1.0", "options": {"estimator": ["grpo"]}}
    write_rows(ROWS, path, metadata=metadata)
    assert loaded(path).height == 2
    if suffix == ".parquet":
        assert read_metadata(path) == metadata
        write_rows(ROWS, path, overwrite=True)
        assert read_metadata(path) is None


def test_text_files_have_no_room_for_metadata(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the whole text is compared
        write_rows(ROWS, tmp_path / "rows.csv", metadata={})
    assert str(error.value) == ".csv files have no room for metadata; write .parquet or .arrow"


def test_a_recorded_run_is_read_with_its_steps_apart(tmp_path: Path) -> None:
    writer = StepWriter(tmp_path / "run", metadata={"estimator": "graphgpo"})
    for training_step in (9, 10):
        frame = pl.DataFrame(steps()).with_columns(credit=pl.lit(0.5))
        path = writer.write(training_step, frame)
        assert path.name == f"step_{training_step:06d}.parquet"
    assert read_metadata(path) == {"estimator": "graphgpo", "training_step": 10}
    assert "credit" in pq.read_schema(path).names
    reader = read_rows(tmp_path / "run")
    table = reader.table()
    assert set(table["group_id"].to_pylist()) == {"step=9|task", "step=10|task"}
    one = read_rows(pl.DataFrame(steps())).table()
    assert seen(table) == [*seen(one), *seen(one)]


def test_a_step_that_is_recorded_again_replaces_the_old_one(tmp_path: Path) -> None:
    writer = StepWriter(tmp_path)
    for rows in (steps(), steps()[:2]):
        writer.write(1, pl.DataFrame(rows))
    assert pq.read_table(tmp_path / "step_000001.parquet").num_rows == 2


def test_rows_read_before_can_be_recorded(tmp_path: Path) -> None:
    rows = read_rows(CORPORA / "verl").table()
    StepWriter(tmp_path).write(1, rows)
    assert seen(read_rows(tmp_path).table()) == seen(rows)


def test_a_record_without_what_rows_need_is_an_error(tmp_path: Path) -> None:
    frame = pl.DataFrame(steps()).drop("state", "success")
    with pytest.raises(ValueError, match="rows have no state, success"):
        StepWriter(tmp_path).write(1, frame)
    assert not list(tmp_path.iterdir())


def _record_for_ever(folder: str) -> None:
    writer = StepWriter(folder)
    rows = pa.table({name: [row[name] for row in steps()] * 5000 for name in steps()[0]})
    for training_step in range(10_000):
        writer.write(training_step, rows)


def test_a_trainer_that_is_killed_leaves_whole_files(tmp_path: Path) -> None:
    trainer = multiprocessing.get_context("spawn").Process(
        target=_record_for_ever, args=(str(tmp_path),)
    )
    trainer.start()
    assert trainer.pid is not None
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("step_*.parquet"))) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(trainer.pid, signal.SIGKILL)
    trainer.join()
    for path in tmp_path.glob("step_*.parquet"):
        assert pq.read_metadata(path).num_rows == 15_000
    assert len(read_rows(tmp_path).files) >= 3  # and what it died over is hidden
