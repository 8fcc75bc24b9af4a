"""Steps and chats: groups, order, outcomes, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from written import CORPORA, chat, chats, lines, states, steps

from graphgpo.files import FileError, RowReader, read_rows
from graphgpo.files.formats.context import CRASHED, EMPTY, UNSCORED


def read(where: Any, **options: Any) -> tuple[RowReader, Any]:
    reader = read_rows(where, **options)
    return reader, reader.table()


# steps


def test_training_steps_are_part_of_the_group(tmp_path: Path) -> None:
    for step in (1, 2):
        pl.DataFrame(steps(training_step=step)).write_parquet(tmp_path / f"{step}.parquet")
    reader, table = read(tmp_path)
    assert set(table["group_id"].to_pylist()) == {"step=1|task", "step=2|task"}
    assert (reader.report.num_groups, reader.report.num_rollouts) == (2, 4)


@pytest.mark.parametrize("folder", ["step=3", "step_3", "global_step_3", "train_step_3_epoch_0"])
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_folder_may_say_the_training_step(folder: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / folder / f"a.{suffix}"
    path.parent.mkdir()
    lines(path, steps()) if suffix == "jsonl" else pl.DataFrame(steps()).write_parquet(path)
    assert set(read(path)[1]["group_id"].to_pylist()) == {"step=3|task"}


def test_the_names_of_compute_advantages_will_do(tmp_path: Path) -> None:
    frame = pl.DataFrame(steps()).rename(
        {
            "group_id": "group_ids",
            "trajectory_id": "trajectory_ids",
            "state": "states",
            "next_state": "next_states",
        }
    )
    assert states(read(frame)[1]) == states(read(pl.DataFrame(steps()))[1])


def test_a_bool_is_the_verdict_whatever_the_outcome(tmp_path: Path) -> None:
    rows = [{**row, "outcome": 0.25} for row in steps()]
    reader, table = read(lines(tmp_path / "a.jsonl", rows))
    assert table["success"].to_pylist() == [True, True, False]
    assert table["outcome"].to_pylist() == [0.25] * 3
    assert (reader.report.num_solved, reader.report.num_partial) == (1, 0)


@pytest.mark.parametrize("name", ["success", "outcome"])
@pytest.mark.parametrize("kind", ["jsonl", "frame"])
def test_a_number_is_a_success_from_the_rule_on(name: str, kind: str, tmp_path: Path) -> None:
    rows = [
        {"group_id": "g", "trajectory_id": i, "state": "s", name: outcome}
        for i, outcome in enumerate([0.0, 0.6, 1.0, 10.0, -1.0])
    ]
    where = lines(tmp_path / "a.jsonl", rows) if kind == "jsonl" else pl.DataFrame(rows)
    reader, table = read(where)
    assert table["success"].to_pylist() == [False, False, True, True, False]
    assert table["outcome"].to_pylist() == [0.0, 0.6, 1.0, 10.0, -1.0]
    assert (reader.report.num_solved, reader.report.num_partial) == (2, 1)
    assert reader.report.success_rule == "a bool as it is, else outcome >= 1"
    assert reader.report.warnings == [
        "1 of 5 outcomes lie between 0 and 1 and count as failed; success_at sets the limit"
    ]
    assert read(where, success_at=0.5)[1]["success"].to_pylist() == [False, True, True, True, False]


@pytest.mark.parametrize("missing", [None, float("nan")])
@pytest.mark.parametrize("kind", ["jsonl", "frame"])
def test_unscored_is_not_failed(missing: Any, kind: str, tmp_path: Path) -> None:
    rows = [
        {"group_id": "g", "trajectory_id": i, "step_id": s, "state": "s", "outcome": outcome}
        for i, outcome in enumerate([0.0, missing, 1.0])
        for s in (0, 1)
    ]
    where = lines(tmp_path / "a.jsonl", rows) if kind == "jsonl" else pl.DataFrame(rows)
    reader, table = read(where)
    assert set(table["trajectory_id"].to_pylist()) == {"0", "2"}
    assert dict(reader.report.left_out) == {UNSCORED: 1}


def test_numbers_in_csv_are_text_until_their_column_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "group_id,trajectory_id,step_id,state,next_state,success\n"
        "007,0,0,1,2,true\n007,0,1,2,,true\n007,1,0,1,null,false\n"
    )
    table = read(path)[1]
    assert set(table["group_id"].to_pylist()) == {"007"}
    assert states(table) == [("1", "2"), ("2", None), ("1", "null")]
    assert table["success"].to_pylist() == [True, True, False]


# messages

SWE = {"instance_id": "django__1"}


@pytest.mark.parametrize(
    ("key", "ids", "outcome", "preset"),
    [
        ("conversations", {"item_id": "game_0"}, "success", "AgentGym"),
        ("messages", SWE, "resolved", "SWE"),
        ("trajectory", SWE, "target", "SWE"),
        ("messages", {"group_id": "g"}, "success", "plain"),
    ],
)
def test_presets_are_found_by_their_keys(
    key: str, ids: dict[str, Any], outcome: str, preset: str, tmp_path: Path
) -> None:
    records = chats(key, ids, outcome)
    for where in (lines(tmp_path / "a.jsonl", records), pl.DataFrame(records)):
        reader, table = read(where)
        assert reader.report.format == f"messages ({preset})"
        assert states(table) == [("hall", "door"), ("door", "garden"), ("hall", None)]
        assert table["success"].to_pylist() == [True, True, False]


def test_chats_may_be_json_text(tmp_path: Path) -> None:
    records = [
        {**r, "messages": json.dumps(r["messages"])} for r in chats("messages", SWE, "resolved")
    ]
    for where in (lines(tmp_path / "a.jsonl", records), pl.DataFrame(records)):
        assert states(read(where)[1])[0] == ("hall", "door")


def test_published_sets_say_that_a_shell_shows_no_states(tmp_path: Path) -> None:
    reader, _ = read(lines(tmp_path / "a.jsonl", chats("messages", SWE, "resolved")))
    assert reader.report.warnings[0].startswith("shell agents: what a command printed is not")


def test_the_ids_of_rollouts_are_taken_where_there_are_any(tmp_path: Path) -> None:
    first, second = chats("messages", SWE, "resolved")
    records = [{**first, "traj_id": "x"}, {**second, "trajectory_id": "y"}]
    ids = read(lines(tmp_path / "a.jsonl", records))[1]["trajectory_id"].to_pylist()
    assert ids == ["x", "x", "y"]


def test_ai_and_text_are_a_dialect_of_published_sets(tmp_path: Path) -> None:
    talk = [
        {"role": "system", "system_prompt": "rules", "text": None},
        {"role": "user", "text": "issue"},
        {"role": "ai", "text": "look"},
        {"role": "user", "text": "files"},
    ]
    records = [{**SWE, "trajectory": talk, "target": flag} for flag in (True, False)]
    table = read(pl.DataFrame(records))[1]
    assert states(table) == [("issue", "files")] * 2
    assert table["success"].to_pylist() == [True, False]


def test_arrow_null_fills_absent_keys_and_they_are_dropped() -> None:
    part = {"type": "text", "text": "hall"}
    image = {"type": "image", "text": None, "url": "x"}
    talk = [
        {"role": "user", "content": [part, image], "tool_calls": None},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "go"}],
            "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1, "b": None}}}],
        },
    ]
    record = {"group_id": "g", "messages": talk}
    rows = [{**record, "success": True}, {**record, "success": False}]
    table = read(pl.DataFrame(rows, strict=False, infer_schema_length=None))[1]
    assert table["state"].to_pylist() == ["hall", "hall"]
    assert table["action"].to_pylist() == ['go\nf({"a":1})'] * 2


def trl(**rewards: list[float | None]) -> pl.DataFrame:
    """Completions of two tasks at one step, as TRL logs them: two rollouts each."""
    return pl.DataFrame(
        {
            "step": [5] * 4,
            "prompt": [[{"role": "user", "content": text}] for text in ("hall", "hall", "b", "b")],
            "completion": [chat("", "walk", "door", "open")[1:]] * 4,
            **rewards,
            "advantage": [0.0] * 4,
        }
    )


def test_trl_completions_are_grouped_by_step_and_prompt(tmp_path: Path) -> None:
    trl(won=[1.0, 0.0, None, 1.0]).write_parquet(tmp_path / "completions_00005.parquet")
    reader, table = read(tmp_path)
    assert reader.report.format == "messages (TRL)"
    assert (reader.report.num_groups, reader.report.num_rollouts) == (2, 3)
    assert dict(reader.report.left_out) == {UNSCORED: 1}
    assert states(table)[:2] == [("hall", "door"), ("door", None)]
    assert all(group.startswith("step=5|") for group in table["group_id"].to_pylist())


def test_several_reward_columns_are_a_question(tmp_path: Path) -> None:
    frame = trl(won=[1.0, 0.0, 0.0, 1.0], polite=[0.5] * 4)
    with pytest.raises(FileError) as error:
        read(frame)
    assert str(error.value) == (
        "<DataFrame>: there are 2 reward columns (won, polite); say which is the outcome "
        "(score=...)"
    )
    assert read(frame, score="polite")[1]["outcome"].to_pylist() == [0.5] * 8


def test_plain_prompts_and_completions_are_a_message_each() -> None:
    frame = trl(won=[1.0, 0.0, 0.0, 1.0]).with_columns(
        prompt=pl.Series(["hall"] * 4), completion=pl.Series(["walk"] * 4)
    )
    reader, table = read(frame)
    assert states(table) == [("hall", None)] * 4
    assert table["action"].to_pylist() == ["walk"] * 4
    assert reader.report.num_groups == 1


def test_demonstrations_in_a_prompt_are_not_its_own_words() -> None:
    record = {
        "example_id": 0,
        "prompt": chat("example", "like so", "hall"),
        "completion": chat("", "walk")[1:],
    }
    frame = pl.DataFrame([{**record, "reward": reward} for reward in (1.0, 0.0)])
    reader, table = read(frame)
    assert reader.report.format == "messages (verifiers < 0.4)"
    assert states(table) == [("hall", None)] * 2


def test_records_with_an_error_crashed(tmp_path: Path) -> None:
    record = {
        "example_id": 0,
        "prompt": "hall",
        "completion": "walk",
        "task": "game",
        "error": None,
    }
    records = [{**record, "reward": reward, "tokens": [1] * 9} for reward in (1.0, 0.0)]
    records.append({**record, "reward": 0.0, "error": {"error": "Timeout"}})
    reader, table = read(lines(tmp_path / "results.jsonl", records))
    assert dict(reader.report.left_out) == {CRASHED: 1}
    assert set(table["group_id"].to_pylist()) == {"game|0"}


def test_art_groups_start_anew_in_every_file_and_may_have_failed(tmp_path: Path) -> None:
    art = [
        {"group_index": 0, "trajectory_index": i, "reward": float(i), "messages": talk}
        for i, talk in enumerate(
            [
                [
                    {"role": "user", "content": "hall", "tool_calls": None, "trainable": False},
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": '[{"function": {"name": "go", "arguments": {"to": 1}}}]',
                        "trainable": True,
                    },
                ]
            ]
            * 2
        )
    ]
    failed = {"group_index": 1, "trajectory_index": None, "reward": None, "messages": None}
    for name in ("0001", "0002"):
        frame = pl.DataFrame([failed, *art], infer_schema_length=None)
        frame.write_parquet(tmp_path / f"{name}.parquet")
    reader, table = read(tmp_path)
    assert reader.report.format == "messages (ART)"
    assert (reader.report.num_groups, reader.report.num_rollouts) == (2, 4)
    assert dict(reader.report.left_out) == {"failed (null messages)": 2}
    assert table["action"].to_pylist() == ['go({"to":1})'] * 4


def test_chats_without_a_policy_are_empty(tmp_path: Path) -> None:
    records = chats("messages", {"group_id": "g"}, "success")
    records += [{"group_id": "g", "messages": chat("hall"), "success": True}]
    records += [{"group_id": "g", "messages": [], "success": True}]
    reader, _ = read(lines(tmp_path / "a.jsonl", records))
    assert dict(reader.report.left_out) == {EMPTY: 2}


# the report


def test_the_report_says_it_all_in_words_and_as_json() -> None:
    reader, _ = read(CORPORA / "agentgym")
    said = str(reader.report)
    assert "format     messages (AgentGym)" in said
    assert "read       1 files, 2 groups, 8 rollouts, 27 steps" in said
    assert "success    a bool as it is, else outcome >= 1: 4 solved, 4 failed" in said
    plain = json.loads(json.dumps(reader.report.as_dict()))
    assert (plain["rollouts"], plain["solved"], plain["mapping"]["group_id"]) == (8, 4, "item_id")
