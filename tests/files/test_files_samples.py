"""Every sample reads to the rows it was made from, whatever it is kept in."""

from __future__ import annotations

import gzip
import io
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from written import CORPORA, lines, seen, steps

from graphgpo.files import ROW_SCHEMA, FileError, read_rows, write_rows
from graphgpo.files.rows import TARGET_ROWS

FORMATS = {
    "steps": "steps",
    "agentgym": "messages (AgentGym)",
    "verl": "verl",
    "rllm": "rllm",
    "verifiers": "verifiers",
    "atif": "atif",
}


def expected(sample: str) -> list[Any]:
    rows = pq.read_table(CORPORA / "expected.parquet").to_pylist()
    return seen([row for row in rows if row["sample"] == sample])


@pytest.mark.parametrize("sample", FORMATS)
def test_a_sample_reads_to_the_expected_rows(sample: str) -> None:
    reader = read_rows(CORPORA / sample)
    table = reader.table()
    assert table.schema.equals(ROW_SCHEMA)
    assert seen(table) == expected(sample)
    assert reader.report.format == FORMATS[sample]
    assert (reader.report.num_groups, reader.report.num_rollouts) == (2, 8)
    assert (reader.report.num_rows, reader.report.num_solved) == (27, 4)
    assert not reader.report.left_out


@pytest.mark.parametrize("sample", FORMATS)
def test_naming_the_format_changes_nothing(sample: str) -> None:
    name = FORMATS[sample].split()[0]
    assert seen(read_rows(CORPORA / sample, format=name).table()) == expected(sample)


@pytest.mark.parametrize("sample", FORMATS)
def test_every_row_says_where_it_came_from(sample: str) -> None:
    for row in read_rows(CORPORA / sample).table().to_pylist():
        assert Path(row["source_file"]).is_relative_to(CORPORA)
        assert row["source_row"] >= 0


def test_source_rows_are_the_lines_of_the_file() -> None:
    rows = read_rows(CORPORA / "verl" / "1.jsonl").table().to_pylist()
    kept = (CORPORA / "verl" / "1.jsonl").read_text().splitlines()
    assert all(row["action"] in kept[row["source_row"]] for row in rows)


def test_parts_of_a_corpus_add_up_to_the_whole() -> None:
    files = sorted((CORPORA / "verl").iterdir())
    parts = [read_rows(file, check=False) for file in files]
    tables = [part.table() for part in parts]
    whole = parts[0].report
    for part in parts[1:]:
        whole.update(part.report)
    whole.check()
    reader = read_rows(files)
    assert pa.concat_tables(tables).equals(reader.table())
    assert whole.as_dict() == reader.report.as_dict()


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".jsonl"])
def test_rows_come_back_from_what_they_are_written_to(suffix: str, tmp_path: Path) -> None:
    rows = read_rows(CORPORA / "steps").table()
    path = tmp_path / f"rows{suffix}"
    assert write_rows(rows, path) == 27
    again = read_rows(path).table()
    kept = [name for name in ROW_SCHEMA.names if not name.startswith("source")]
    assert again.select(kept).equals(rows.select(kept))


def test_an_arrow_stream_is_read_like_an_arrow_file(tmp_path: Path) -> None:
    rows = read_rows(CORPORA / "steps").table()
    with pa.ipc.new_stream(tmp_path / "rows.arrow", rows.schema) as writer:
        writer.write_table(rows)
    assert seen(read_rows(tmp_path / "rows.arrow").table()) == expected("steps")


def test_hive_folders_are_columns_and_percent_decoded(tmp_path: Path) -> None:
    rows = pl.read_parquet(CORPORA / "steps" / "rollouts.parquet")
    for group in rows["group_id"].unique():
        folder = tmp_path / f"group_id={group.replace('_', '%5F')}"
        folder.mkdir()
        rows.filter(pl.col("group_id") == group).drop("group_id").write_parquet(
            folder / "0.parquet"
        )
    table = read_rows(tmp_path).table()
    assert set(table["group_id"].to_pylist()) == {"water_fern", "open_skylight"}
    assert seen(table) == expected("steps")


@pytest.mark.parametrize("kind", ["polars", "pandas", "arrow"])
def test_a_data_frame_stands_for_a_file(kind: str) -> None:
    table = pq.read_table(CORPORA / "steps" / "rollouts.parquet")
    frame = {"polars": pl.from_arrow, "pandas": pa.Table.to_pandas, "arrow": pa.table}[kind](table)
    assert seen(read_rows(frame).table()) == expected("steps")


def test_a_pandas_index_is_no_column() -> None:
    frame = pd.DataFrame(steps())[::-1]
    assert seen(read_rows(frame).table()) == seen(read_rows(pl.DataFrame(steps())).table())


@pytest.mark.parametrize("sample", ["verl/1.jsonl", "agentgym/inference.jsonl"])
def test_compressed_files_are_read_as_they_are(sample: str, tmp_path: Path) -> None:
    packed = tmp_path / f"{Path(sample).name}.gz"
    packed.write_bytes(gzip.compress((CORPORA / sample).read_bytes()))
    assert seen(read_rows(packed).table()) == seen(read_rows(CORPORA / sample).table())


def test_stdin_is_read_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"\n" + (CORPORA / "verl" / "1.jsonl").read_bytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    table = read_rows("-").table()
    assert seen(table) == seen(read_rows(CORPORA / "verl" / "1.jsonl").table())
    assert table["source_row"].to_pylist()[0] == 1  # after the blank line


@pytest.mark.parametrize("options", [{}, {"format": "steps"}])
def test_steps_on_stdin_lose_no_line(
    options: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = lines(tmp_path / "a.jsonl", steps()).read_bytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert read_rows("-", **options).table()["source_row"].to_pylist() == [0, 1, 2]  # type: ignore[arg-type]


def test_globs_folders_and_files_name_the_same_file_once(tmp_path: Path) -> None:
    shutil.copytree(CORPORA / "verl", tmp_path / "verl")
    paths = [tmp_path / "verl", str(tmp_path / "*" / "*.jsonl"), tmp_path / "verl" / "1.jsonl"]
    reader = read_rows(paths)
    assert len(reader.files) == 2
    assert seen(reader.table()) == expected("verl")


def test_files_of_a_folder_come_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        shutil.copy(CORPORA / "verl" / "1.jsonl", tmp_path / f"{number}.jsonl")
    assert [Path(name).stem for name in read_rows(tmp_path).files] == ["1", "9", "10"]


def test_hidden_files_are_nobodys_business(tmp_path: Path) -> None:
    shutil.copy(CORPORA / "verl" / "1.jsonl", tmp_path / "1.jsonl")
    (tmp_path / ".2.jsonl.tmp").write_text("half a li")
    (tmp_path / "_SUCCESS.jsonl").write_text("")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "3.jsonl").write_text("no")
    assert len(read_rows(tmp_path).files) == 1


def test_a_folder_may_hold_other_files_than_rollouts(tmp_path: Path) -> None:
    shutil.copy(CORPORA / "verl" / "1.jsonl", tmp_path / "1.jsonl")
    (tmp_path / "metrics.jsonl").write_text('{"loss": 1.0}\n')
    reader = read_rows(tmp_path)
    reader.table()
    assert reader.report.num_files == 1
    assert reader.report.warnings == [
        f"1 files were left alone, as they hold no rollouts: {tmp_path / 'metrics.jsonl'}"
    ]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ("nowhere.jsonl", "nowhere.jsonl: no such file or folder"),
        ("no*.jsonl", "no*.jsonl: no file matches this pattern"),
        ([], "no paths given; expected files, folders, globs or '-'"),
    ],
)
def test_a_path_that_leads_nowhere_is_named(paths: Any, message: str) -> None:
    with pytest.raises(FileError) as error:
        read_rows(paths)
    assert str(error.value) == message


def test_a_folder_without_data_says_what_it_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(FileError, match=r"no file here ends in one of \.parquet, \.arrow"):
        read_rows(tmp_path)


def test_memory_is_bounded_by_tables_of_some_rows(tmp_path: Path) -> None:
    rollouts = 3000
    frame = pl.DataFrame(
        {
            "group_id": [i // 30 for i in range(rollouts) for _ in range(50)],
            "trajectory_id": [i for i in range(rollouts) for _ in range(50)],
            "step_id": list(range(50)) * rollouts,
            "state": ["s"] * 50 * rollouts,
            "next_state": ["t"] * 50 * rollouts,
            "success": [i % 2 == 0 for i in range(rollouts) for _ in range(50)],
        }
    )
    frame.write_parquet(tmp_path / "big.parquet")
    reader = read_rows(tmp_path)
    sizes = [table.num_rows for table in reader]
    assert sum(sizes) == 150_000
    assert max(sizes) <= TARGET_ROWS
    assert (reader.report.num_groups, reader.report.num_rollouts) == (100, rollouts)
    assert reader.report.num_solved == rollouts // 2
