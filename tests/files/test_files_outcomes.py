"""One outcome of a rollout, whichever of its rows says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import lines

from graphgpo import Rollouts, estimators
from graphgpo.cli import main
from graphgpo.corpus import Job, run_job
from graphgpo.files import Report, read_rows
from graphgpo.files.report import FAILED, PARTIAL, SOLVED
from graphgpo.files.rows import keys_of_runs, one_outcome, run_starts
from graphgpo.keys import state_keys

STEPS = 3


def rollouts(**outcomes: Any) -> list[dict[str, Any]]:
    """Two tasks with a rollout won and one lost, outcomes by what is known of the last row."""
    return [
        {
            "group_id": group,
            "trajectory_id": f"{group}-{'won' if won else 'lost'}",
            "step_id": step,
            "state": f"room {step}" if won else f"cellar {step}",
            **{name: values[step == STEPS - 1][won] for name, values in outcomes.items()},
        }
        for group in "ab"
        for won in (False, True)
        for step in range(STEPS)
    ]


EVERY_ROW = {"success": ((False, True), (False, True))}
WINNING_ROW = {"success": ((False, False), (False, True))}
LAST_ROW = {"success": ((None, None), (False, True))}
LAST_NUMBER = {"episode_returns": ((None, None), (0.0, 1.0))}
WINNING_NUMBER = {"success": ((0, 0), (0, 1))}
PARTIAL_BEFORE = {"success": ((0.0, 0.5), (0.0, 1.0))}


def table_of(rows: list[dict[str, Any]], folder: Path) -> pa.Table:
    return read_rows(lines(folder / "rows.jsonl", rows)).table().drop_columns("source_file")


@pytest.mark.parametrize(
    "outcomes", [WINNING_ROW, LAST_ROW, LAST_NUMBER, WINNING_NUMBER, PARTIAL_BEFORE]
)
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_rollout_has_the_outcome_that_any_of_its_rows_says(
    outcomes: dict[str, Any], suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"rows{suffix}"
    if suffix == ".jsonl":
        lines(path, rollouts(**outcomes))
    else:
        pq.write_table(pa.Table.from_pylist(rollouts(**outcomes)), path)
    found = read_rows(path).table().drop_columns("source_file")
    assert found.equals(table_of(rollouts(**EVERY_ROW), tmp_path))


@pytest.mark.parametrize("outcomes", [WINNING_ROW, LAST_ROW, WINNING_NUMBER])
@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("chosen", [None, [estimators.make("graphgpo")]])
def test_every_command_takes_it(
    outcomes: dict[str, Any], partitions: int, chosen: Any, tmp_path: Path
) -> None:
    made = []
    for name, given_outcomes in (("whole", EVERY_ROW), ("split", outcomes)):
        folder = tmp_path / name
        for group in "ab":
            rows = [row for row in rollouts(**given_outcomes) if row["group_id"] == group]
            lines(folder / "in" / f"{group}.jsonl", rows)
        out = folder / "out.parquet"
        run_job(read_rows(folder / "in"), Job(out, chosen, ("success",), partitions=partitions))
        made.append(pq.read_table(out).drop_columns("source_file"))
    assert made[0].equals(made[1])


def test_rows_of_a_rollout_may_lie_in_two_files(tmp_path: Path) -> None:
    rows = rollouts(**WINNING_ROW)
    lines(tmp_path / "0.jsonl", [row for row in rows if row["step_id"] < 2])
    lines(tmp_path / "1.jsonl", [row for row in rows if row["step_id"] == 2])
    reader = read_rows(tmp_path)
    solved = reader.table().filter(pa.compute.field("success"))
    assert set(solved["trajectory_id"].to_pylist()) == {"a-won", "b-won"}
    assert solved.num_rows == 2 * STEPS
    assert reader.report.num_split == 2


def test_that_some_rows_say_otherwise_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(lines(tmp_path / "rows.jsonl", rollouts(**WINNING_ROW)))
    for command in (["describe"], ["credit", "-o", "-"], ["report", "-o", f"{path}.html"]):
        assert main([command[0], path, *command[1:]]) == 0
        shown = capsys.readouterr()
        assert "2 of 4 rollouts are solved by some of their rows only" in shown.out + shown.err


def test_a_rollout_of_which_no_row_says_it_is_left_out(tmp_path: Path) -> None:
    rows = rollouts(**LAST_ROW)
    unknown = [row for row in rows if row["group_id"] == "b"]
    for row in unknown:
        row["success"] = None
    reader = read_rows(lines(tmp_path / "rows.jsonl", rows))
    assert set(reader.table()["group_id"].to_pylist()) == {"a"}
    assert reader.report.left_out.total() == 2


def test_what_a_step_earned_is_no_outcome(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rollouts(success=((0.1, 0.2), (0.3, 0.4)))
    path = str(lines(tmp_path / "rows.jsonl", rows))
    for command in (["describe"], ["credit", "-o", "-"], ["report", "-o", f"{path}.html"]):
        assert main([command[0], path, *command[1:]]) == 1
        assert (
            f"{path}, line 3: episode_returns is 0.3 but line 1 of the same trajectory has 0.1; "
            "expected one value per trajectory; what a step earned is no outcome: map it to rewards"
        ) in " ".join(capsys.readouterr().err.split())


def test_rollouts_read_from_a_frame_too(tmp_path: Path) -> None:
    frame = pa.Table.from_pylist(rollouts(**WINNING_ROW))
    whole = Rollouts.read(pa.Table.from_pylist(rollouts(**EVERY_ROW)))
    assert np.array_equal(
        Rollouts.read(frame).advantages().advantages, whole.advantages().advantages
    )


verdicts = st.sampled_from([FAILED, PARTIAL, SOLVED])


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), verdicts), max_size=30))
def test_the_best_verdict_counts_and_the_worst_is_remembered(
    rows: list[tuple[str, str, int]],
) -> None:
    report = Report()
    groups, trajectories, said = ([row[i] for row in rows] for i in range(3))
    group_ids, trajectory_ids = (
        pa.chunked_array([values], pa.string()) for values in (groups, trajectories)
    )
    report.tally.add_rows(group_ids, trajectory_ids, np.array(said, np.uint8))
    by_rollout: dict[tuple[str, str], set[int]] = {}
    for group, trajectory, verdict in rows:
        by_rollout.setdefault((group, trajectory), set()).add(verdict)
    assert report.num_solved == sum(SOLVED in seen for seen in by_rollout.values())
    assert report.num_split == sum(SOLVED in seen and len(seen) > 1 for seen in by_rollout.values())
    assert report.num_partial == sum(max(seen) == PARTIAL for seen in by_rollout.values())


@given(st.lists(st.sampled_from(["a", "b", ""]), max_size=20), st.integers(0, 3))
def test_keys_of_runs_are_keys(texts: list[str], start: int) -> None:
    column = pa.chunked_array([texts[:7], texts[7:]], pa.string()).slice(start)
    assert keys_of_runs(column).tolist() == state_keys(texts[start:]).tolist()
    assert run_starts(np.array(texts[start:])).tolist() == [
        place
        for place, text in enumerate(texts[start:])
        if place == 0 or texts[start:][place - 1] != text
    ]


def test_no_rows_have_no_outcome() -> None:
    empty = read_rows(pa.Table.from_pylist(rollouts(**EVERY_ROW))).table().slice(0, 0)
    assert one_outcome(empty).equals(empty)


def test_the_outcome_of_a_summary_is_counted_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(lines(tmp_path / "rows.jsonl", rollouts(**PARTIAL_BEFORE)))
    assert main(["convert", path, "-o", str(tmp_path / "out.jsonl"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["solved"], summary["failed"], summary["partial"]) == (2, 2, 0)
