"""`graphgpo convert`, `credit` and `describe`, as a user runs them."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from graphgpo.cli import main
from graphgpo.files import read_rows

CORPORA = Path(__file__).parent / "corpora"
VERL = str(CORPORA / "verl")


def rows(*, won: Any = True, group: str = "task") -> list[dict[str, Any]]:
    ids = {"group_id": group, "success": won}
    return [
        {**ids, "trajectory_id": "a", "step_id": 0, "state": "hall", "next_state": "door"},
        {**ids, "trajectory_id": "a", "step_id": 1, "state": "door", "next_state": None},
        {**ids, "trajectory_id": "b", "step_id": 0, "state": "hall", "success": False},
    ]


def written(path: Path, records: list[Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = (record if isinstance(record, str) else json.dumps(record) for record in records)
    path.write_text("".join(f"{text}\n" for text in texts))
    return str(path)


def failing(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and what is said; nothing is on standard output."""
    try:
        code: Any = main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    shown = capsys.readouterr()
    assert shown.out == ""
    return code, shown.err


def test_credits_are_written_in_the_order_of_the_input(tmp_path: Path) -> None:
    out = tmp_path / "credits.parquet"
    chosen = ["--estimator", "graphgpo", "--estimator", "gigpo:gamma=0.9", "--estimator", "gigpo"]
    assert main(["credit", VERL, "-o", str(out), *chosen, "--keep", "state,action"]) == 0
    table = pq.read_table(out)
    assert table.column_names == [
        "group_id",
        "trajectory_id",
        "step_id",
        "state",
        "action",
        "source_file",
        "source_row",
        "advantage_graphgpo",
        "advantage_gigpo",
        "advantage_gigpo_2",
    ]
    expected = read_rows(VERL).table()
    for name in table.column_names[:7]:
        assert table[name].to_pylist() == expected[name].to_pylist()


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".jsonl"])
def test_rows_are_converted_by_the_suffix_of_the_output(suffix: str, tmp_path: Path) -> None:
    out = tmp_path / f"rows{suffix}"
    assert main(["convert", VERL, "-o", str(out), "--quiet"]) == 0
    again, before = read_rows(out).table(), read_rows(VERL).table()
    for name in ("group_id", "trajectory_id", "step_id", "state", "next_state", "success"):
        assert again[name].to_pylist() == before[name].to_pylist()


def test_standard_input_and_output_are_json_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(written(tmp_path / "a.jsonl", rows())).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert main(["credit", "-", "-o", "-", "--keep", "state"]) == 0
    shown = capsys.readouterr()
    credits = [json.loads(line) for line in shown.out.splitlines()]
    assert [(credit["state"], credit["source_file"]) for credit in credits] == [
        ("hall", "-"),
        ("door", "-"),
        ("hall", "-"),
    ]
    assert credits[0]["advantage_graphgpo"] > 0 > credits[2]["advantage_graphgpo"]
    assert "credited   graphgpo: 2 steps up, 1 down, 0 none" in shown.err


def test_a_summary_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "credits"
    assert main(["credit", VERL, "-o", str(out), "--json", "--partitions", "3"]) == 0
    shown = capsys.readouterr()
    summary = json.loads(shown.out)
    assert shown.err == ""
    assert summary["format"] == "verl"
    assert summary["rows_written"] == summary["steps"] == 27
    assert summary["partitions"] == 3
    assert summary["metrics"]["num_groups"] == 2
    assert sum(summary["credits"]["graphgpo"][name] for name in ("raised", "lowered", "none")) == 27


def test_quiet_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", VERL, "-o", str(tmp_path / "a.csv"), "--quiet"]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_describe_says_what_was_taken_and_how_it_merges(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["describe", VERL]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "format verl" in shown
    assert "read 2 files, 2 groups, 8 rollouts, 27 steps" in shown
    assert "27 steps start from 15 states (ratio 0.67)" in shown
    assert "2 of 2 have successes and failures" in shown
    assert "action 'take can'" in shown
    assert main(["describe", VERL, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["merged_steps"] == plain["steps"] == 27
    assert plain["first_step"]["action"] == "take can"


def test_describe_proposes_what_mends_the_states(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rooms = ["hall", "kitchen", "bath", "hall", "bath", "kitchen"] * 4
    records = [
        {
            "group_id": 0,
            "trajectory_id": i // 6,
            "state": f"10:03:{i:02} {room}",
            "action": f"to {rooms[(i + 1) % 24]}",
            "success": i < 12,
        }
        for i, room in enumerate(rooms)
    ]
    assert main(["describe", written(tmp_path / "a.jsonl", records)]) == 0
    assert "a clock (timestamps=True) merges 24 of 24 lone steps" in capsys.readouterr().out


def test_describe_looks_at_the_first_steps_of_a_large_corpus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphgpo.corpus.describe.MERGED_ROWS", 4)
    path = written(tmp_path / "a.jsonl", rows() + rows(group="other"))
    assert main(["describe", path]) == 0
    shown = capsys.readouterr().out
    assert "2 groups, 4 rollouts, 6 steps" in shown
    assert "alone in theirs, of the first 3 steps" in shown


def test_a_mapping_comes_from_the_command_line(tmp_path: Path) -> None:
    talk = [
        {"task": 1, "run": run, "obs": f"Observation: room {run % 2}\nActions: go", "won": run == 0}
        for run in range(4)
    ]
    path = written(tmp_path / "a.jsonl", talk)
    out = tmp_path / "rows.parquet"
    columns = ["states=obs", "group_ids=task", "trajectory_ids=run", "success=won"]
    pattern = r"states=Observation: (.*?)\nActions"
    arguments = ["convert", path, "-o", str(out), "--columns", *columns, "--extract", pattern]
    assert main(arguments) == 0
    assert set(pq.read_table(out)["state"].to_pylist()) == {"room 0", "room 1"}


def test_success_begins_where_it_is_said(tmp_path: Path) -> None:
    scored = [{**row, "success": None, "outcome": 0.6} for row in rows()]
    path = written(tmp_path / "a.jsonl", scored)
    for limit, expected in (("1", False), ("0.5", True)):
        out = tmp_path / f"{limit}.parquet"
        assert main(["convert", path, "-o", str(out), "--success-at", limit]) == 0
        assert set(pq.read_table(out)["success"].to_pylist()) == {expected}


TORN = '{"group_id": "task", "traj'


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([rows()[0], TORN, *rows()[1:]], r"a.jsonl, line 2: this is not JSON"),
        (
            [rows()[0], {**rows()[1], "success": "perhaps"}],
            "line 2: success is 'perhaps', expected",
        ),
        ([{**rows()[0], "step_id": "x"}], "line 1: step_id is 'x'"),
        (rows()[:2], "the only group has one rollout: there is nothing to compare it with"),
        ([], "a.jsonl: the file is empty"),
        ([{"prompt": 1}], "this is of no format that can be read; it has prompt"),
    ],
)
def test_bad_data_is_a_sentence_that_names_the_place(
    records: list[Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "in" / "a.jsonl", records)
    for command in ("convert", "credit"):
        for more in ([], ["--partitions", "3"]):
            out = str(tmp_path / "out" / "a.parquet")
            code, words = failing(command, path, "-o", out, *more, capsys=capsys)
            assert code == 1
            assert words.startswith(f"graphgpo {command}: ")
            assert words.count("\n") == 1
            assert said in words
    left = [entry for entry in tmp_path.rglob("*") if entry.is_file()]
    assert left == [Path(path)]


def test_files_of_two_formats_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "a.jsonl", rows())
    code, words = failing("credit", path, VERL, "-o", str(tmp_path / "a.csv"), capsys=capsys)
    assert code == 1
    assert "the files are of different formats" in words


def test_a_torn_last_line_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "a.jsonl", [*rows(), TORN])
    assert main(["credit", path, "-o", str(tmp_path / "out.csv")]) == 0
    assert f"warning    {path}: the last line is torn" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_bad_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, words = failing("convert", "nowhere", "-o", str(tmp_path / "a.csv"), capsys=capsys)
    assert (code, words) == (1, "graphgpo convert: nowhere: no such file or folder\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "a.txt"], "ends in '.txt', expected one of .parquet, .arrow, .csv, .jsonl"),
        (["-o", "-", "--json"], "-o - and --json both write to standard output"),
        (["-o", "-", "--resume"], "--resume needs an OUT that stays"),
        (["-o", "a.csv", "--resume"], "--resume needs an OUT that says what it was made of"),
        (["-o", "a.csv", "--overwrite", "--resume"], "not allowed with argument"),
        (["-o", "a.csv", "--estimator", "gripo"], "did you mean 'grpo'?"),
        (["-o", "a.csv", "--estimator", "graphgpo:omgea=0.5"], "did you mean 'omega'?"),
        (["-o", "a.csv", "--estimator", "graphgpo:omega"], "'omega' is not OPTION=VALUE"),
        (["-o", "a.csv", "--keep", "stat"], "--keep names 'stat', expected some of group_id"),
        (["-o", "a.csv", "--columns", "states"], "--columns 'states' is not NAME=VALUE"),
        (["-o", "a.csv", "--columns", "states=a", "states=b"], "--columns gives 'states' twice"),
        (["-o", "a.csv", "--format", "vrel"], "did you mean 'verl'?"),
        (["-o", "a.csv", "--jobs", "0"], "0 is not between 1 and 4096"),
        ([], "the following arguments are required: -o/--output"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, words = failing("credit", VERL, *arguments, capsys=capsys)
    assert code == 2
    assert said in words
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_there_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.parquet"
    out.write_text("mine")
    code, words = failing("convert", VERL, "-o", str(out), capsys=capsys)
    assert code == 2
    assert "is there already; --overwrite replaces it" in words
    assert out.read_text() == "mine"
    assert main(["convert", VERL, "-o", str(out), "--overwrite"]) == 0
    assert pq.read_metadata(out).num_rows == 27


def test_a_folder_of_others_is_never_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    code, words = failing("convert", VERL, "-o", str(tmp_path), "--overwrite", capsys=capsys)
    assert code == 2
    assert "holds notes.txt, which this command has not written" in words


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_what_is_made_already_is_not_made_again(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / name
    command = ["credit", VERL, "-o", str(out), "--resume"]
    assert main(command) == 0
    written_at = out.stat().st_mtime_ns
    assert main(command) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert out.stat().st_mtime_ns == written_at
    code, words = failing(*command, "--estimator", "grpo", capsys=capsys)
    assert code == 2
    assert "made of other inputs or options" in words


def test_strict_lets_nothing_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unscored = {**rows()[0], "trajectory_id": "c", "success": None}
    broken = rows()
    broken[0]["next_state"] = "elsewhere"
    inert = rows(won=False)
    for records, said in (
        ([*rows(), unscored], "1 rollouts were left out"),
        (broken, "1 steps do not start where the step before them ended"),
        (inert, "graphgpo credits no step"),
    ):
        path = written(tmp_path / "in.jsonl", records)
        out = tmp_path / "out.parquet"
        for command in (["credit", path, "-o", str(out)], ["describe", path]):
            code, words = failing(*command, "--strict", capsys=capsys)
            assert code == 1
            assert said in words
        assert not out.exists()
        assert main(["credit", path, "-o", str(out)]) == 0
        out.unlink()
        capsys.readouterr()


def test_an_interrupted_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("graphgpo.corpus.run_job", interrupted)
    code, words = failing("convert", VERL, "-o", str(tmp_path / "a.csv"), capsys=capsys)
    assert (code, words) == (130, "\ngraphgpo convert: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_a_scheduler_ends_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "graphgpo", "credit", "-", "-o", str(tmp_path / "out.csv")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write("".join(json.dumps(row) + "\n" for row in rows()))
    process.stdin.flush()
    while not list(tmp_path.iterdir()):  # it waits for more lines
        time.sleep(0.01)
    process.terminate()
    _, said = process.communicate()
    assert (process.returncode, said) == (130, "\ngraphgpo credit: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_shows_a_bar_and_the_time_left(tmp_path: Path) -> None:
    main_end, terminal = pty.openpty()
    command = [sys.executable, "-m", "graphgpo", "credit", VERL, "-o", str(tmp_path / "out")]
    assert subprocess.run(command, stderr=terminal, check=False).returncode == 0
    os.close(terminal)
    shown = os.read(main_end, 100_000).decode()
    os.close(main_end)
    assert "crediting [########################] 100%  0:00 left" in shown
    assert "\x1b[K" in shown
    assert shown.endswith("s\r\n")


def test_without_the_extra_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['pyarrow'] = None; from graphgpo.cli import main; main()"
    command = [sys.executable, "-c", program, "describe", VERL]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 2
    assert "graphgpo.files needs pyarrow: pip install 'graphgpo[files]'" in shown.stderr
