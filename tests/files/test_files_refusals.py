"""What cannot be read says why, where, and what to do; nothing is ever unpickled."""

from __future__ import annotations

import gzip
import pickle
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from written import CORPORA, chats, document, lines, steps

from graphgpo.files import FileError, read_rows
from graphgpo.files.formats.refused import REASONS

LEGACY = {"input": "hall", "output": "walk", "gts": None, "score": 1.0, "step": 1}
AREAL = {
    "task_id": 1,
    "seqlen": 5,
    "head_version": 0,
    "tail_version": 0,
    "reward": 1.0,
    "prompt": "hall",
    "completion": "walk",
}


class Bomb:
    """Goes off when it is unpickled."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("unpickled",))


def message_of(where: Any, **options: Any) -> str:
    with pytest.raises(FileError) as error:
        read_rows(where, **options).table()
    return str(error.value)


@pytest.mark.parametrize(
    ("record", "reason", "remedy"),
    [
        (LEGACY, "verl without ids", "Add uid, traj_uid and anchor_obs"),
        (AREAL, "areal", "Write the messages as JSON Lines in your workflow"),
        (
            {"global_step": 1, "save_content": "{}", "episode_scores": 1.0},
            "roll",
            "Write the messages as JSON Lines in your environment manager",
        ),
    ],
)
def test_dumps_that_lost_what_is_needed_are_refused_with_the_remedy(
    record: dict[str, Any], reason: str, remedy: str, tmp_path: Path
) -> None:
    path = lines(tmp_path / "1.jsonl", [record])
    assert message_of(path) == f"{path}: {REASONS[reason]}"
    assert remedy in REASONS[reason]
    assert "record=" in REASONS[reason]


@pytest.mark.parametrize(
    ("name", "reason", "remedy"),
    [
        ("rollout_1.pt", "slime", "slime's .pt files are pickles"),
        ("trajectories.pkl", "skyrl", "SkyRL's .pkl files are pickles"),
        ("django__1.traj", "swe-agent", "Join the two to JSON Lines"),
    ],
)
def test_suffixes_that_are_refused_are_never_opened(
    name: str, reason: str, remedy: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Bomb()))
    for where in (path, tmp_path):
        assert message_of(where) == f"{path}: {REASONS[reason]}"
    assert remedy in REASONS[reason]


@pytest.mark.parametrize("name", ["slime", "skyrl", "areal", "roll", "swe-agent", "verl-agent"])
def test_a_format_that_is_refused_is_refused_by_name_too(name: str) -> None:
    with pytest.raises(ValueError, match=f"format='{name}' cannot be read: "):
        read_rows(CORPORA / "verl", format=name)


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the whole text is compared
        read_rows(CORPORA / "verl", format="verifier")
    assert str(error.value) == (
        "format is 'verifier', expected one of steps, messages, verl, rllm, verifiers, inspect, "
        "atif; did you mean 'verifiers'?"
    )


def test_one_rollout_a_task_is_nothing_to_compare(tmp_path: Path) -> None:
    rows = [{**row, "group_id": row["trajectory_id"]} for row in steps()]
    said = (
        " has one rollout: there is nothing to compare it with; sample every task several times, "
        "or name the column that says which rollouts share a task (group_ids=...)"
    )
    path = lines(tmp_path / "a.jsonl", rows)
    assert message_of(path) == f"each of the 2 groups{said}"
    assert message_of(lines(path, rows[:2])) == f"the only group{said}"


def test_some_groups_of_one_are_a_warning(tmp_path: Path) -> None:
    lone = {**steps()[0], "group_id": "other"}
    reader = read_rows(lines(tmp_path / "a.jsonl", [*steps(), lone]))
    reader.table()
    expected = "1 of 2 groups have one rollout: nothing to compare it with"
    assert reader.report.warnings == [expected]


def test_formats_are_not_mixed_in_one_call(tmp_path: Path) -> None:
    one = lines(tmp_path / "a.jsonl", steps())
    two = shutil.copy(CORPORA / "verl" / "1.jsonl", tmp_path / "b.jsonl")
    assert message_of(tmp_path) == (
        f"the files are of different formats: {one} is steps; {two} is verl; read one format a call"
    )


def test_a_file_of_no_format_says_what_it_has_and_asks_for_the_columns(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"stat": "hall", "task": 1}])
    assert message_of(path) == (
        f"{path}: this is of no format that can be read; it has stat, task (state may be 'stat'). "
        "Name the columns: states=... group_ids=... trajectory_ids=... success=..."
    )


def test_a_chat_without_a_task_asks_for_it(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", chats("messages", {}, "won"))
    assert message_of(path) == (
        f"{path}: there is a chat in 'messages', but not which task it is of; name the columns: "
        "messages=messages[] group_ids=... success=..., of messages, won"
    )


def test_a_torn_last_line_is_left_out_with_a_warning(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", steps())
    path.write_text(path.read_text() + '{"group_id": "task", "trajec')
    reader = read_rows(path)
    assert reader.table().num_rows == 3
    assert reader.report.warnings == [f"{path}: the last line is torn and was left out"]


@pytest.mark.parametrize("torn", ['{"group_id": "ta', "not json at all", "\udcff"])
def test_a_torn_line_elsewhere_is_an_error_with_its_place(torn: str, tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", steps())
    first, *others = path.read_text().splitlines()
    content = "\n".join([first, torn, *others])
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert message_of(path).startswith(f"{path}, line 2: this is not JSON: ")


def test_a_torn_gzip_file_is_a_warning(tmp_path: Path) -> None:
    rows = [{**row, "filler": str(i)} for i in range(2000) for row in steps()]
    plain = lines(tmp_path / "a.jsonl", rows)
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes())[:-2000])
    reader = read_rows(packed)
    assert 0 < reader.table().num_rows < 6000
    assert any("the compressed file is torn" in warning for warning in reader.report.warnings)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_torn_table_is_an_error(suffix: str, tmp_path: Path) -> None:
    from graphgpo.files import write_rows

    path = tmp_path / f"a{suffix}"
    write_rows(read_rows(CORPORA / "steps").table(), path)
    path.write_bytes(path.read_bytes()[:200])
    said = message_of(path)
    assert said.startswith(f"{path}: this is not a whole {suffix[1:]} file: ")


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n")
    (tmp_path / "a.csv").write_text("")
    assert message_of(tmp_path / "a.jsonl") == f"{tmp_path / 'a.jsonl'}: the file is empty"
    expected = "the file is empty, expected a line of column names"
    assert message_of(tmp_path / "a.csv") == f"{tmp_path / 'a.csv'}: {expected}"


def test_a_wrong_type_names_file_line_field_and_both_types(tmp_path: Path) -> None:
    good = (CORPORA / "verl" / "1.jsonl").read_text().splitlines()
    path = lines(tmp_path / "1.jsonl", [good[0], good[1].replace("1.0", '"high"')])
    assert message_of(path) == f"{path}, line 2: score: expected `float | null`, got `str`"


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("success", "maybe", "success is 'maybe', expected a bool or a number"),
        ("success", [1], "success is [1], expected a bool or a number"),
        ("reward", "much", "reward is 'much', expected a bool or a number"),
        ("step_id", 0.5, "step_id is 0.5, expected a whole number"),
        ("step_id", None, "step_id is None, expected a whole number"),
        ("group_id", None, "group_id is null, expected an id"),
        ("state", None, "state is null"),
    ],
)
def test_a_wrong_value_names_its_line(column: str, value: Any, said: str, tmp_path: Path) -> None:
    rows = steps()
    rows[1][column] = value
    path = lines(tmp_path / "a.jsonl", rows)
    assert message_of(path) == f"{path}, line 2: {said}"


def test_bytes_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    frame = pl.DataFrame(steps()).with_columns(state=pl.Series([b"a", b"\xff", b"b"]))
    assert message_of(frame) == (
        "<DataFrame>: state is of type large_binary and no text: Invalid UTF8 payload; store it as "
        "text, such as hex"
    )


def test_numbers_may_be_decimals(tmp_path: Path) -> None:
    frame = pl.DataFrame(steps()).with_columns(
        success=pl.Series(["1.0", "1.0", "0.5"]).cast(pl.Decimal(4, 2))
    )
    assert read_rows(frame).table()["outcome"].to_pylist() == [1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("success", ["true", "maybe", "false"], "success is 'maybe', expected a bool or a number"),
        ("state", ["a", None, "b"], "state is null"),
        ("group_id", ["a", None, "b"], "group_id is null"),
        ("step_id", [0.0, 0.5, 1.0], "step_id is 0.5, expected a whole number"),
    ],
)
def test_a_wrong_value_in_a_table_names_its_row(
    column: str, values: list[Any], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame(steps()).with_columns(pl.Series(column, values)).write_parquet(path)
    assert message_of(path) == f"{path}, row 1: {said}"


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame(steps()).drop("success").write_parquet(path)
    expected = "columns has neither 'success' nor 'episode_returns'"
    assert message_of(path) == f"{path}: {expected}"


def test_nothing_left_says_what_became_of_it(tmp_path: Path) -> None:
    rows = [{**row, "success": None} for row in steps()]
    assert message_of(lines(tmp_path / "a.jsonl", rows)) == (
        "no rollout is left to read: 2 unscored (no outcome)"
    )


def test_a_trajectory_without_its_result_asks_for_it(tmp_path: Path) -> None:
    path = document(tmp_path / "trajectory.json", {"schema_version": "ATIF-v1.4", "steps": []})
    assert message_of(path) == (
        f"{path}: a trajectory without its outcome; give the trial's folder, which has "
        "result.json beside agent/trajectory.json"
    )


def test_inspect_logs_without_inspect_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "inspect_ai.log", None)
    path = tmp_path / "a.eval"
    path.write_bytes(b"PK")
    assert message_of(path) == (
        f"{path}: Inspect's logs are read by its own package: pip install inspect_ai"
    )
