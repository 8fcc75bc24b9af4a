"""The mapping language: any other record to rows, or a sentence with the nearest path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from written import chat, document, lines, seen, states, steps

from graphgpo.files import FileError, read_rows
from graphgpo.files.mapping import COLUMNS

FLAT = {
    "states": "obs.text",
    "group_ids": "task",
    "trajectory_ids": "episode",
    "success": "won",
}


def flat() -> list[dict[str, Any]]:
    """The rows of `steps` under other names, their states in a record of their own."""
    return [
        {
            "task": row["group_id"],
            "episode": row["trajectory_id"],
            "t": row["step_id"],
            "obs": {"text": row["state"]},
            "after": row["next_state"],
            "did": row["action"],
            "won": row["success"],
        }
        for row in steps()
    ]


def nested() -> dict[str, Any]:
    """Two runs of one task, their steps inside."""
    return {
        "task": "task",
        "runs": [
            {"id": 1, "won": True, "steps": [{"obs": "hall"}, {"obs": "door"}]},
            {"id": 2, "won": False, "steps": [{"obs": "hall"}]},
        ],
    }


NESTED = {
    "states": "runs[].steps[].obs",
    "group_ids": "task",
    "trajectory_ids": "runs[].id",
    "success": "runs[].won",
}


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "frame"])
def test_a_path_goes_into_records_of_every_kind_of_file(kind: str, tmp_path: Path) -> None:
    full = {**FLAT, "next_states": "after", "actions": "did", "step_ids": "t"}
    frame = pl.DataFrame(flat())
    where: Any = tmp_path / f"rows.{kind}"
    if kind == "jsonl":
        lines(where, flat())
    elif kind == "json":
        document(where, flat())
    elif kind == "parquet":
        frame.write_parquet(where)
    else:
        where = frame
    reader = read_rows(where, columns=full)
    assert seen(reader.table()) == seen(read_rows(pl.DataFrame(steps())).table())
    assert reader.report.mapping["state"] == "obs.text"


def test_without_next_states_they_are_those_of_the_following_step(tmp_path: Path) -> None:
    table = read_rows(lines(tmp_path / "a.jsonl", flat()), columns=FLAT).table()
    assert states(table) == [("hall", "door"), ("door", None), ("hall", None)]


def test_without_step_ids_rows_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    table = read_rows(lines(tmp_path / "a.jsonl", flat()), columns=FLAT).table()
    assert table["step_id"].to_pylist() == [0, 1, 0]


def test_steps_are_put_in_order_before_they_are_linked(tmp_path: Path) -> None:
    shuffled = [flat()[1], flat()[2], flat()[0]]
    columns = {**FLAT, "step_ids": "t"}
    table = read_rows(lines(tmp_path / "a.jsonl", shuffled), columns=columns).table()
    assert states(table) == [("door", None), ("hall", None), ("hall", "door")]


def test_a_row_is_an_item_of_the_deepest_list_and_outer_values_repeat(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [nested()])
    rows = read_rows(path, columns=NESTED).table()
    assert states(rows) == [("hall", "door"), ("door", None), ("hall", None)]
    assert rows["trajectory_id"].to_pylist() == ["1", "1", "2"]
    assert rows["success"].to_pylist() == [True, True, False]


def test_lists_in_a_table_are_gone_through_too() -> None:
    frame = pa.Table.from_pylist([nested()])
    rows = read_rows(frame, columns=NESTED).table()
    assert states(rows) == [("hall", "door"), ("door", None), ("hall", None)]


def test_a_chat_is_read_by_the_turn_rule(tmp_path: Path) -> None:
    talks = [
        {"task": "a", "talk": chat("hall", "walk", "door"), "score": 10},
        {"task": "a", "talk": chat("hall", "fall"), "score": 0},
    ]
    columns = {"messages": "talk[]", "group_ids": "task", "success": "score"}
    path = lines(tmp_path / "a.jsonl", talks)
    reader = read_rows(path, columns=columns, success_at=10)
    rows = reader.table()
    assert states(rows) == [("hall", "door"), ("hall", None)]
    assert rows["success"].to_pylist() == [True, False]
    assert len(set(rows["trajectory_id"].to_pylist())) == 2


def test_chats_may_lie_in_a_list(tmp_path: Path) -> None:
    record = {"task": "a", "runs": [{"talk": chat("h", "x"), "won": w} for w in (True, False)]}
    columns = {"messages": "runs[].talk[]", "group_ids": "task", "success": "runs[].won"}
    rows = read_rows(lines(tmp_path / "a.jsonl", [record]), columns=columns).table()
    assert rows["success"].to_pylist() == [True, False]
    assert len(set(rows["trajectory_id"].to_pylist())) == 2


def test_a_file_or_row_may_be_an_id_and_a_constant_a_value(tmp_path: Path) -> None:
    for name in ("a", "b"):
        lines(tmp_path / f"{name}.jsonl", [{"obs": "hall"}, {"obs": "door"}])
    columns = {
        "states": "obs",
        "group_ids": "=task",
        "trajectory_ids": "@file",
        "step_ids": "@row",
        "success": "=true",
    }
    rows = read_rows(tmp_path, columns=columns).table()
    assert set(rows["group_id"].to_pylist()) == {"task"}
    assert set(rows["trajectory_id"].to_pylist()) == {str(tmp_path / f"{n}.jsonl") for n in "ab"}
    assert rows["step_id"].to_pylist() == [0, 1, 0, 1]
    assert rows["success"].to_pylist() == [True] * 4


def test_the_same_places_and_constants_in_a_table() -> None:
    frame = pl.DataFrame({"obs": ["hall", "hall"]})
    columns = {
        "states": "obs",
        "group_ids": "@file",
        "trajectory_ids": "@row",
        "success": "=0.5",
    }
    rows = read_rows(frame, columns=columns).table()
    assert rows["group_id"].to_pylist() == ["<DataFrame>"] * 2
    assert rows["trajectory_id"].to_pylist() == ["0", "1"]
    assert rows["outcome"].to_pylist() == [0.5, 0.5]


def test_a_flat_column_may_have_dots_in_its_name(tmp_path: Path) -> None:
    rows = [{**row, "obs.text": row["obs"]["text"]} for row in flat()]
    for row in rows:
        del row["obs"]
    for where in (lines(tmp_path / "a.jsonl", rows), pl.DataFrame(rows)):
        assert read_rows(where, columns=FLAT).table()["state"].to_pylist()[0] == "hall"


def test_training_steps_keep_groups_apart(tmp_path: Path) -> None:
    rows = [{**row, "epoch": epoch} for epoch in (1, 2) for row in flat()]
    columns = {**FLAT, "training_steps": "epoch"}
    for where in (lines(tmp_path / "a.jsonl", rows), pl.DataFrame(rows)):
        reader = read_rows(where, columns=columns)
        assert set(reader.table()["group_id"].to_pylist()) == {"step=1|task", "step=2|task"}
        assert (reader.report.num_groups, reader.report.num_rollouts) == (2, 4)


def test_states_that_are_no_text_are_compact_json_with_sorted_keys(tmp_path: Path) -> None:
    boards = [{"b": [1, 2], "a": None}, {"a": None, "b": [1, 2]}]
    rows = [{"g": 1, "t": i, "s": board, "won": i} for i, board in enumerate(boards)]
    columns = {"states": "s", "group_ids": "g", "trajectory_ids": "t", "success": "won"}
    table = read_rows(lines(tmp_path / "a.jsonl", rows), columns=columns).table()
    assert table["state"].to_pylist() == ['{"a":null,"b":[1,2]}'] * 2


def test_extract_keeps_the_first_group_across_lines(tmp_path: Path) -> None:
    rows = [
        {**row, "obs": {"text": f"Task.\nNow: {row['obs']['text']}\n.\nAct:"}} for row in flat()
    ]
    table = read_rows(
        lines(tmp_path / "a.jsonl", rows), columns=FLAT, extract={"states": "Now: (.*?)\nAct"}
    ).table()
    assert states(table) == [("hall\n.", "door\n."), ("door\n.", None), ("hall\n.", None)]


def test_extract_works_on_any_format() -> None:
    from written import CORPORA

    table = read_rows(
        CORPORA / "verl", extract={"states": "You see: (.*?)\nassistant", "actions": r"(\w+)"}
    ).table()
    assert "Potting shed. A can stands here." in table["state"].to_pylist()
    assert "take" in table["action"].to_pylist()


def test_a_text_that_does_not_match_is_an_error_with_its_place(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", flat())
    with pytest.raises(FileError) as error:
        read_rows(path, columns=FLAT, extract={"states": "(ha.*)"}).table()
    assert str(error.value) == f"{path}, line 2: state 'door' does not match '(ha.*)'"


MISTAKES = [
    #  columns, message
    ({"state_s": "a"}, "columns names 'state_s', expected one of states, next_states, group_ids, "
     "trajectory_ids, step_ids, actions, success, episode_returns, rewards, training_steps, "
     "messages; did you mean 'states'?"),
    ({**FLAT, "state": "a"}, "columns gives 'state' twice"),
    ({**FLAT, "states": "a..b"}, "states=a..b is not a path; expected keys joined by '.', with "
     "'[]' after a list"),
    ({**FLAT, "states": "a[0].b"}, "states=a[0].b is not a path; expected keys joined by '.', with "
     "'[]' after a list"),
    ({**FLAT, "states": ""}, "states= is not a path; expected keys joined by '.', with '[]' after "
     "a list"),
    ({**FLAT, "states": "@line"}, "states=@line is neither @file nor @row"),
    ({"group_ids": "task", "success": "won"}, "columns has neither 'states' nor 'messages'"),
    ({"states": "obs", "success": "won"}, "columns has no 'group_ids': which rollouts share a "
     "task"),
    ({"states": "obs", "group_ids": "task"}, "columns has neither 'success' nor 'episode_returns'"),
    ({"states": "obs", "group_ids": "task", "success": "won"}, "columns has no 'trajectory_ids': "
     "which rows are one rollout"),
    ({**FLAT, "messages": "talk[]"}, "columns has messages and state; the turn rule makes these of "
     "the messages"),
    ({**FLAT, "states": "a[].b", "actions": "c[].d"}, "c[].d and a[].b go through two lists side "
     "by side; a row is an item of one"),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "message"), MISTAKES)
def test_a_mapping_that_says_nothing_is_an_error(columns: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the whole text is compared
        read_rows(pl.DataFrame(flat()), columns=columns)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "path", "nearest"),
    [
        ("states", "obs.txt", "obs.text"),
        ("group_ids", "tasks", "task"),
        ("success", "win", "won"),
        ("next_states", "afterwards", "after"),
    ],
)
@pytest.mark.parametrize("kind", ["jsonl", "frame"])
def test_a_missing_path_names_the_nearest(
    name: str, path: str, nearest: str, kind: str, tmp_path: Path
) -> None:
    where = lines(tmp_path / "a.jsonl", flat()) if kind == "jsonl" else pl.DataFrame(flat())
    with pytest.raises(FileError) as error:
        read_rows(where, columns={**FLAT, name: path}).table()
    said = f"is to come from {path}, which is not there; the nearest path is {nearest}"
    assert said in str(error.value)


def test_a_missing_path_names_its_line(tmp_path: Path) -> None:
    rows = flat()
    del rows[1]["obs"]
    path = lines(tmp_path / "a.jsonl", rows)
    with pytest.raises(FileError) as error:
        read_rows(path, columns=FLAT).table()
    assert str(error.value).startswith(f"{path}, line 2: state is to come from obs.text")


def test_a_path_through_what_is_no_list_says_what_it_is(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{**nested(), "runs": {"id": 1}}])
    with pytest.raises(FileError) as error:
        read_rows(path, columns=NESTED).table()
    expected = "runs[].steps[].obs goes through {'id': 1}, which is no list"
    assert str(error.value) == f"{path}, line 1: {expected}"


def test_what_json_writers_leave_out_when_null_may_be_absent(tmp_path: Path) -> None:
    rows = flat()
    del rows[1]["after"]
    columns = {**FLAT, "next_states": "after"}
    table = read_rows(lines(tmp_path / "a.jsonl", rows), columns=columns).table()
    assert states(table) == [("hall", "door"), ("door", None), ("hall", "cellar")]


PLURAL = {column: name for name, column in COLUMNS.items()}


@pytest.mark.parametrize("names", [{}, PLURAL, {"action": "actions"}])
@pytest.mark.parametrize("first", [0, 1])
def test_columns_have_the_names_of_the_library_or_of_a_row(
    names: dict[str, str], first: int, tmp_path: Path
) -> None:
    named = [{names.get(key, key): value for key, value in row.items()} for row in steps()]
    last = named[1]  # of its rollout: a writer leaves out what is null
    del last[names.get("next_state", "next_state")]
    table = read_rows(lines(tmp_path / "a.jsonl", [*named[first:], *named[:first]])).table()
    found = zip(table["state"].to_pylist(), table["next_state"].to_pylist(), strict=True)
    assert set(found) == {("hall", "door"), ("door", None), ("hall", "cellar")}
    assert set(table["action"].to_pylist()) == {"walk", "open", "fall"}


@pytest.mark.parametrize(
    ("extract", "message"),
    [
        ({"rewards": "(.)"}, "extract names 'rewards', which has no text to search"),
        ({"states": "("}, "extract states=( is not a regular expression: missing ), unterminated "
         "subpattern at position 0"),
        ({"states": "a+"}, "extract states=a+ has no group (...) to keep"),
    ],
)  # fmt: skip
def test_a_pattern_that_keeps_nothing_is_an_error(extract: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the whole text is compared
        read_rows(pl.DataFrame(flat()), columns=FLAT, extract=extract)
    assert str(error.value) == message


def test_a_mapping_does_not_go_with_another_format() -> None:
    with pytest.raises(ValueError, match="columns is a mapping of steps; it does not go with"):
        read_rows(pl.DataFrame(flat()), columns=FLAT, format="verl")
