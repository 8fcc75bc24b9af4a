"""`record`: every training step leaves a file that reads back to what was credited."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pytest.importorskip("msgspec", reason="msgspec is not installed")

import pyarrow.parquet as pq
from recorded import Recorded

import graphgpo
from graphgpo import Rollouts, estimators
from graphgpo.files import read_rows
from graphgpo.integrations import _wiring, verl_agent
from graphgpo.integrations._record import StepRecord, step_record
from graphgpo.integrations.verl import RecordedRows, _options, compute_token_advantages


@pytest.fixture(autouse=True)
def _nothing_said_yet() -> None:
    _wiring._said.clear()


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return Recorded()


def write(record: StepRecord, step: int | None = None, **changes: Any) -> None:
    """One task, a rollout that wins in two steps and one that loses in one."""
    columns: dict[str, Any] = {
        "group_ids": ["task"] * 3,
        "trajectory_ids": ["won", "won", "lost"],
        "step_ids": [0, 1, 0],
        "states": ["hall", "door", "hall"],
        "next_states": ["door", None, None],
        "actions": None,
        "success": [True, True, False],
    } | changes
    result = graphgpo.compute_advantages(**columns)
    columns["outcomes"] = np.array([1.0, 1.0, 0.0])
    record.write(step, result, estimators.make("graphgpo"), **columns)


def check(folder: Path) -> None:
    """What was recorded has the credit that the library gives what is read."""
    files = sorted(folder.rglob("*.parquet"))
    assert files
    for file in files:
        recorded = pq.read_table(file)["advantage_graphgpo"].to_pylist()
        assert Rollouts.read(file).advantages().advantages.tolist() == recorded


def verl_step(recorded: Recorded, record: str, step: int | None) -> None:
    tensors, (columns, _) = recorded.batch()
    rows = RecordedRows(columns["graphgpo"].tolist(), columns["uid"].tolist(), training_step=step)
    rewards, mask = tensors["token_level_rewards"], tensors["response_mask"]
    compute_token_advantages(rows, rewards, mask, record=record)
    step_record(record).wait()


def test_verl_leaves_a_file_a_step(recorded: Recorded, tmp_path: Path) -> None:
    for step in (3, 4):
        verl_step(recorded, str(tmp_path), step)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step_000003.parquet",
        "step_000004.parquet",
    ]
    check(tmp_path)
    reader = read_rows(tmp_path)
    rows = reader.table()
    assert rows.num_rows == 2 * len(recorded.expected.advantages)
    assert reader.report.num_groups == 2 * len(set(recorded.uids))
    assert set(rows["state"].to_pylist()) == set(recorded.rollouts["states"])


def test_verls_options_name_the_folder() -> None:
    estimator, beside = _options({"graphgpo": {"record": "runs/x", "omega": 0.5}})
    assert estimator == estimators.make("graphgpo", {"omega": 0.5})
    assert beside == {"record": "runs/x"}
    for options in ({"graphgpo": {"omega": 0.5}}, {}):
        assert _options(options)[1] == {}


def test_verl_agent_leaves_a_file_a_step(tmp_path: Path) -> None:
    import torch

    columns = {
        "uid": ["task"] * 3,
        "traj_uid": ["won", "won", "lost"],
        "anchor_obs": ["hall", "door", "hall"],
        "next_obs": ["door", "success", "cellar"],
        "episode_rewards": [1.0, 1.0, 0.0],
        "actions": ["walk", "open", "fall"],
    }
    batch = SimpleNamespace(
        batch={"response_mask": torch.ones(3, 2)},
        non_tensor_batch={name: np.array(of, dtype=object) for name, of in columns.items()},
        meta_info={"global_steps": 7},
    )
    verl_agent.compute_advantages(batch, record=str(tmp_path))
    verl_agent.compute_advantages(batch, record=str(tmp_path), training_step=8)
    step_record(str(tmp_path)).wait()
    assert {path.name for path in tmp_path.iterdir()} == {
        "step_000007.parquet",
        "step_000008.parquet",
    }
    check(tmp_path)
    assert read_rows(tmp_path).table()["action"].to_pylist()[:3] == columns["actions"]


def test_nothing_is_recorded_unless_it_is_asked_for(recorded: Recorded, tmp_path: Path) -> None:
    tensors, (columns, _) = recorded.batch()
    rows = RecordedRows(columns["graphgpo"].tolist(), columns["uid"].tolist())
    compute_token_advantages(rows, tensors["token_level_rewards"], tensors["response_mask"])
    assert list(tmp_path.iterdir()) == []


def test_steps_without_a_number_follow_the_last(tmp_path: Path) -> None:
    record = StepRecord(str(tmp_path))
    write(record, 5)
    write(record)
    record.wait()
    again = StepRecord(str(tmp_path))  # as after a restart
    write(again)
    again.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"step_00000{step}.parquet" for step in (5, 6, 7)
    ]


def test_two_batches_of_one_step_are_kept_apart(tmp_path: Path) -> None:
    record = StepRecord(str(tmp_path))
    write(record, 2)
    write(record, 2)
    record.wait()
    reader = read_rows(tmp_path)
    assert reader.table().num_rows == 6
    assert (reader.report.num_files, reader.report.num_groups) == (1, 2)
    check(tmp_path)


@pytest.mark.parametrize(
    "state",
    [lambda i: i, lambda i: (i, "x"), lambda i: np.full(2000, i), lambda i: str(i).encode()],
)
def test_states_of_any_kind_are_kept_apart(state: Callable[[int], Any], tmp_path: Path) -> None:
    record = StepRecord(str(tmp_path))
    states, next_states = [state(0), state(1), state(0)], [state(1), None, None]
    write(record, 0, states=states, next_states=next_states)
    record.wait()
    check(tmp_path)
    rows = read_rows(tmp_path).table()
    assert rows["state"][0] == rows["state"][2] != rows["state"][1] == rows["next_state"][0]


def test_rollouts_without_a_verdict_are_recorded_as_such(tmp_path: Path) -> None:
    record = StepRecord(str(tmp_path))
    write(record, 0, success=[True, True, None])
    record.wait()
    assert pq.read_table(tmp_path)["success"].to_pylist() == [True, True, None]


def test_what_cannot_be_written_stops_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    record = StepRecord(str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        write(record, 0)
        write(record, 1)
        record.wait()
    assert len(caplog.records) == 1
    assert "a training step could not be recorded in" in caplog.text


def test_a_run_that_is_killed_leaves_whole_files(tmp_path: Path) -> None:
    program = f"""
    import os, signal, sys
    sys.path.insert(0, {str(Path(__file__).parent)!r})
    from test_record import StepRecord, write
    from graphgpo.files import writer
    record = StepRecord({str(tmp_path)!r})
    write(record, 0)
    write(record, 1)
    record.wait()
    os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # the third is half there
    write(record, 2)
    record.wait()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 3
    reader = read_rows(tmp_path)
    assert reader.table().num_rows == 6
    assert reader.report.num_files == 2


def test_the_end_of_the_program_waits_for_the_last_file(tmp_path: Path) -> None:
    program = f"""
    import sys
    sys.path.insert(0, {str(Path(__file__).parent)!r})
    from test_record import StepRecord, write
    write(StepRecord({str(tmp_path)!r}), 0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
    check(tmp_path)


def test_trl_leaves_a_file_a_step(tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="trl is not installed: pip install 'graphgpo[trl]'")
    from test_trl import NUM_ROLLOUTS, Playback, SeenTrainer, make_trainer

    recorded = Recorded("sokoban", num_rollouts=NUM_ROLLOUTS)

    def trainer(**options: Any) -> Any:
        return SeenTrainer(record=str(tmp_path / "record"), **options)

    made = make_trainer(tmp_path / "out", Playback(recorded), trainer=trainer)
    made.train()
    step_record(str(tmp_path / "record")).wait()
    assert len(list((tmp_path / "record").iterdir())) == 2
    check(tmp_path / "record")
    expected = recorded.expected.advantages.tolist()
    assert (
        pq.read_table(tmp_path / "record" / "step_000001.parquet")["advantage_graphgpo"].to_pylist()
        == expected
    )
