"""Files that nobody meant to write: each is a sentence with its place, and nothing is written."""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from written import lines, steps

from graphgpo.aside import naming, written_aside
from graphgpo.cli import main
from graphgpo.files import FileError, read_rows, write_rows
from graphgpo.files.errors import naming as naming_file


def message_of(given: Any) -> str:
    with pytest.raises(FileError) as error:
        read_rows(given).table()
    return str(error.value)


def with_line(folder: Path, old: str, new: str) -> Path:
    """The rows of `steps` as lines, the second of them changed."""
    texts = [json.dumps(row) for row in steps()]
    assert old in texts[1]
    texts[1] = texts[1].replace(old, new)
    return lines(folder / "a.jsonl", texts)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"step_id": 1', f'"step_id": {2**63}', f"step_id is {2**63}, expected a whole number of "
         "64 bits"),
        ('"step_id": 1', f'"step_id": "-{2**64}"', f"step_id is '-{2**64}', expected a whole "
         "number of 64 bits"),
        ('"success": true', f'"success": {10**400}', f"success is 1{'0' * 56}..., beyond any "
         "float"),
        ('"group_id": "task"', '"group_id": NaN', "group_id is null, expected an id"),
        ('"state": "door"', f'"state": {"[" * 5000}{"]" * 5000}', "this is nested too deeply to be "
         "read"),
    ],
)  # fmt: skip
def test_a_value_that_no_column_holds_names_its_line(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    path = with_line(tmp_path, old, new)
    assert message_of(path) == f"{path}, line 2: {said}"


def test_a_first_line_may_be_the_wrong_one(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", ['{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"])
    assert message_of(path) == f"{path}, line 1: this is nested too deeply to be read"
    (tmp_path / "b.json").write_text("[" * 100_000 + "]" * 100_000)
    assert message_of(tmp_path / "b.json").endswith("b.json: this is nested too deeply to be read")


@pytest.mark.parametrize("nulls", [float("nan"), None])
def test_an_id_that_is_not_a_number_is_null(nulls: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.Table.from_pylist(steps())
    table = table.set_column(0, "group_id", pa.array([1.0, nulls, 1.0], pa.float64()))
    pq.write_table(table, path)
    assert message_of(path) == f"{path}, row 1: group_id is null"


def test_a_step_beyond_64_bits_names_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.Table.from_pylist(steps())
    place = table.schema.get_field_index("step_id")
    numbers = pa.array([0, 2**63, 0], pa.uint64())
    pq.write_table(table.set_column(place, "step_id", numbers), path)
    expected = f"step_id is {2**63}, expected a whole number of 64 bits"
    assert message_of(path) == f"{path}, row 1: {expected}"


@pytest.mark.parametrize("values", [[None] * 3, ["true", "true", "false"], [b"", b"", b""]])
def test_outcomes_of_any_type_go_beside_success(values: list[Any]) -> None:
    rows = [{**row, "success": int(row["success"])} for row in steps()]
    table = pa.Table.from_pylist(rows).append_column("outcome", pa.array(values, pa.string()))
    assert read_rows(table).table()["outcome"].to_pylist() == [1.0, 1.0, 0.0]


def test_two_columns_of_one_name_are_an_error(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(steps())
    twice = pa.table([*table.columns, table["state"]], names=[*table.column_names, "state"])
    path = tmp_path / "a.csv"
    path.write_text("group_id,trajectory_id,state,success,state\na,1,hall,true,door\n")
    said = "two columns are called 'state'; give one another name"
    assert message_of(twice) == f"<DataFrame>: {said}"
    assert message_of(path) == f"{path}: {said}"


def test_what_has_no_keys_is_of_no_format(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({}), path)
    assert "this is of no format that can be read; it has no keys." in message_of(path)


def test_a_gzip_file_that_is_none_or_torn_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    packed = gzip.compress(lines(tmp_path / "a.jsonl", steps()).read_bytes())
    path.write_bytes(packed[:60])
    assert message_of(path) == f"{path}: the compressed file is torn"
    path.write_bytes(b"{}")
    assert message_of(path).startswith(f"{path}: this is not a whole gzip file: Not a gzipped file")
    path.write_bytes(packed[:10] + b"\xff" * 100)
    assert message_of(path).startswith(f"{path}: this is not a whole gzip file: Error -3")
    document = tmp_path / "a.json.gz"
    document.write_bytes(gzip.compress(json.dumps(steps()).encode())[:40])
    assert message_of(document) == f"{document}: the compressed file is torn"


def test_an_empty_path_is_an_error() -> None:
    assert message_of("") == "a path is empty; expected files, folders, globs or '-'"


@pytest.mark.parametrize("error", [pa.ArrowInvalid("odd\nvalue"), OverflowError("odd"), KeyError()])
def test_what_nobody_foresaw_names_the_file(error: Exception) -> None:
    said = r"^a\.x: it cannot be read: (odd|KeyError)$"
    with pytest.raises(FileError, match=said), naming_file("a.x"):
        raise error


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Failed to open local file. Detail: [errno 13] Permission denied")

    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(steps()), path)
    monkeypatch.setattr(pq, "read_schema", refuse)
    assert main(["describe", str(path)]) == 1
    assert capsys.readouterr().err == f"graphgpo describe: {path}: Permission denied\n"


def test_a_folder_that_may_not_be_read_is_not_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines(tmp_path / "in" / "a.jsonl", steps())
    closed = tmp_path / "in" / "closed"
    closed.mkdir()
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert main(["describe", str(tmp_path / "in")]) == 1
    assert capsys.readouterr().err == f"graphgpo describe: {closed}: Permission denied\n"


@pytest.mark.parametrize(
    ("command", "out"),
    [
        (["credit", "--keep", "state"], "out.parquet"),
        (["credit", "--keep", "state", "--partitions", "3"], "out.parquet"),
        (["credit", "--keep", "state", "--jobs", "2"], "out.parquet"),
        (["convert"], "out.jsonl"),
        (["convert"], "out.csv"),
        (["convert"], "out.arrow"),
        (["convert", "--partitions", "3"], "out"),
        (["report"], "out.html"),
    ],
)
def test_a_full_disk_names_the_output_and_leaves_nothing(
    command: list[str], out: str, tmp_path: Path
) -> None:
    rows = [{**row, "state": f"{row['state']} {i} {os.urandom(40).hex()}", "trajectory_id": i}
            for i in range(800) for row in steps()[1:]]  # fmt: skip
    path = lines(tmp_path / "in" / "a.jsonl", rows)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    target = tmp_path / out
    arguments = [command[0], str(path), "-o", str(target), *command[1:]]
    done = subprocess.run(
        [sys.executable, "-m", "graphgpo", *arguments],
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )
    assert done.returncode == 1
    assert done.stderr == f"graphgpo {command[0]}: {target}: File too large\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="other"), naming(tmp_path / "out"):
        (tmp_path / "other").read_text()
    with pytest.raises(OSError, match="no number"), naming(tmp_path / "out"):
        raise OSError("no number")


def test_what_another_process_has_put_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"

    def rows() -> Any:
        yield pa.table({"a": [1]})
        out.write_text("theirs")

    said = f"{out} is there already; overwrite=True replaces it"

    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    for _ in range(2):
        with pytest.raises(FileExistsError) as error:
            write_rows(rows(), out)
        assert str(error.value) == said
        assert out.read_text() == "theirs"
        out.unlink()
        monkeypatch.setattr(os, "link", no_links)
    with written_aside(out, overwrite=False) as aside:
        aside.write_text("ours")
    assert out.read_text() == "ours"
    assert list(tmp_path.iterdir()) == [out]
