"""Credits on a real Ray: two workers, one of them killed in the middle, and the same bits."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphgpo import estimators
from graphgpo.cli import main
from graphgpo.corpus import Job, RayTasks, run_job
from graphgpo.corpus import workers as workers_module
from graphgpo.corpus.workers import WorkerDiedError
from graphgpo.files import FileError, read_rows, write_rows

pytest.importorskip("ray", reason="ray is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of ray's own

TWO = [estimators.make("graphgpo"), estimators.make("gigpo")]


@pytest.fixture(scope="module")
def two_workers() -> Iterator[RayTasks]:
    workers = RayTasks("local", 2)
    yield workers
    workers.close()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    for file in range(4):
        rows = [
            {
                "group_id": f"task {group}",
                "trajectory_id": f"{file}-{rollout}",
                "step_id": step,
                "state": f"room {(group + step * (rollout + file)) % 5}",
                "success": rollout == 0,
            }
            for group in range(20)
            for rollout in range(2)
            for step in range(3)
        ]
        write_rows(pa.Table.from_pylist(rows), folder / f"{file}.parquet")
    return folder


class _Killing:
    """Kills a worker the first time that a task of each pass is run, at its end."""

    def __init__(self, workers: RayTasks, folder: Path) -> None:
        self._workers, self._folder = workers, folder
        self.num_workers = workers.num_workers
        self.num_threads: int | None = workers.num_threads

    def start(self) -> None:
        """They are up."""

    def run(self, function: Any, tasks: Any) -> Any:
        flag = self._folder / function.__name__

        def deadly(task: Any) -> Any:
            answer = function(task)  # what it wrote is there already when it dies
            if not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return self._workers.run(deadly, tasks)

    def close(self) -> None:
        """The workers are another's."""


@pytest.mark.parametrize("passes", [["_credit", "_spill"], ["credit_piece"]])
def test_ray_gives_the_same_bits_though_a_worker_is_killed(
    passes: list[str], two_workers: RayTasks, corpus: Path, tmp_path: Path
) -> None:
    if passes == ["credit_piece"]:  # groups in one place each
        rows = read_rows(corpus).table().sort_by("group_id").drop_columns(["source_file"])
        corpus = tmp_path / "sorted.parquet"
        pq.write_table(rows, corpus, row_group_size=50)
    whole = tmp_path / "whole.parquet"
    run_job(read_rows(corpus), Job(whole, TWO))
    expected = pq.read_table(whole)
    flags = tmp_path / "flags"
    flags.mkdir()
    out = tmp_path / "out.parquet"
    workers = _Killing(two_workers, flags)
    summary = run_job(read_rows(corpus), Job(out, TWO, partitions=7), workers)
    assert sorted(flag.name for flag in flags.iterdir()) == passes
    assert summary.num_partitions == 7
    assert pq.read_table(out).equals(expected)


def test_a_task_computes_on_the_cores_it_reserves(two_workers: RayTasks) -> None:
    def reserved(_: int) -> float:
        context: Any = importlib.import_module("ray").get_runtime_context()
        return float(context.get_assigned_resources()["CPU"])

    assert list(two_workers.run(reserved, [0])) == [(0, two_workers.num_threads)]


def test_what_a_task_finds_wrong_is_said_as_ever(two_workers: RayTasks) -> None:
    def refuse(_: int) -> None:
        raise FileError("state is null", "a.jsonl", 3)

    with pytest.raises(FileError, match=r"^a\.jsonl, line 4: state is null$"):
        list(two_workers.run(refuse, [0]))


def test_a_worker_that_dies_again_and_again_is_an_error(
    two_workers: RayTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "ATTEMPTS", 1)

    def die(_: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerDiedError, match="a Ray worker died 1 times"):
        list(two_workers.run(die, [0]))


def test_the_command_line_runs_on_ray(
    two_workers: RayTasks, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.parquet"
    assert main(["credit", str(corpus), "-o", str(out), "--ray", "local", "--jobs", "2"]) == 0
    assert pq.read_metadata(out).num_rows == 480
    assert "480 rows" in capsys.readouterr().err
