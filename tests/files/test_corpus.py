"""Corpora in partitions: the same bits however they are cut and by whom, or nothing at all."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from written import CORPORA, lines, steps

from graphgpo import Rollouts, estimators
from graphgpo.corpus import Job, Processes, Serial, Summary, Workers, job, partitions, run_job
from graphgpo.corpus import workers as workers_module
from graphgpo.corpus.credit import credited, needs_whole_batch
from graphgpo.corpus.partitions import partition_numbers
from graphgpo.corpus.workers import WorkerDiedError
from graphgpo.corpus.workspace import BusyError, put_folder, workspace
from graphgpo.files import ROW_SCHEMA, FileError, read_rows, write_rows

TWO = [estimators.make("graphgpo"), estimators.make("gigpo")]


def corpus(folder: Path, *, num_groups: int = 30, num_files: int = 3) -> Path:
    """Groups whose rollouts lie in several files, without next states."""
    for file in range(num_files):
        rows = [
            {
                "group_id": f"task {group}",
                "trajectory_id": f"{file}-{rollout}",
                "step_id": step,
                "state": f"room {(group + step * (rollout + file)) % 5}",
                "action": "go",
                "success": rollout == 0,
            }
            for group in range(num_groups)
            for rollout in range(2)
            for step in range(4)
        ]
        lines(folder / f"{file}.jsonl", rows)
    return folder


def credits(folder: Path, out: Path, workers: Workers | None = None, **options: Any) -> pa.Table:
    run_job(read_rows(folder), Job(out, TWO, ("state",), **options), workers)
    return pq.read_table(out).replace_schema_metadata()


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_answers_are_the_same_for_any_number_of_partitions(count: int, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in")
    whole = credits(folder, tmp_path / "whole.parquet")
    assert credits(folder, tmp_path / "cut.parquet", partitions=count).equals(whole)


def test_answers_are_those_of_the_library(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in", num_files=1)
    table = credits(folder, tmp_path / "out.parquet", partitions=5)
    rollouts = Rollouts.read(folder)
    for name in ("graphgpo", "gigpo"):
        expected = rollouts.advantages(name).advantages.tolist()
        assert table[f"advantage_{name}"].to_pylist() == expected


def test_rows_stay_in_the_order_of_the_input(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in")
    table = credits(folder, tmp_path / "out.parquet", partitions=7)
    rows = read_rows(folder).table()
    for name in ("group_id", "trajectory_id", "step_id", "state", "source_file", "source_row"):
        assert table[name].to_pylist() == rows[name].to_pylist()


def test_a_rollout_may_go_on_in_another_file(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "next_state"} for row in steps()]
    whole = lines(tmp_path / "whole" / "a.jsonl", rows)
    lines(tmp_path / "cut" / "a.jsonl", rows[:1])
    lines(tmp_path / "cut" / "b.jsonl", rows[1:])
    expected = credits(whole.parent, tmp_path / "whole.parquet")
    for count in (1, 3):
        found = credits(tmp_path / "cut", tmp_path / f"{count}.parquet", partitions=count)
        assert found["advantage_graphgpo"] == expected["advantage_graphgpo"]


def test_a_file_that_is_there_twice_changes_nothing(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "next_state"} for row in steps()]
    once = lines(tmp_path / "once" / "a.jsonl", rows).parent
    lines(tmp_path / "twice" / "a.jsonl", rows)
    lines(tmp_path / "twice" / "b.jsonl", rows)
    expected = credits(once, tmp_path / "once.parquet")["advantage_graphgpo"].to_pylist()
    for count in (1, 3):
        found = credits(tmp_path / "twice", tmp_path / f"{count}.parquet", partitions=count)
        assert found["advantage_graphgpo"].to_pylist() == 2 * expected


def test_a_column_that_is_missing_somewhere_is_used_nowhere(tmp_path: Path) -> None:
    rows = [{**row, "reward": 1.0} for row in steps()]
    other = [{**row, "group_id": "other", "reward": None} for row in steps()]
    folder = lines(tmp_path / "in" / "a.jsonl", [*rows, *other]).parent
    chosen = [estimators.make("stepwise")]
    found = []
    for count in (1, 4):
        out = tmp_path / f"{count}.parquet"
        run_job(read_rows(folder), Job(out, chosen, partitions=count))
        found.append(pq.read_table(out)["advantage_stepwise"].to_pylist())
    assert found[0] == found[1]


def test_processes_give_the_same_bits(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in")
    whole = credits(folder, tmp_path / "whole.parquet")
    workers = Processes(2)
    try:
        assert credits(folder, tmp_path / "two.parquet", workers).equals(whole)
        run_job(read_rows(folder), Job(tmp_path / "rows.parquet"), workers)
    finally:
        workers.close()
    rows = pq.read_table(tmp_path / "rows.parquet")
    assert rows["state"] == whole["state"]
    assert rows.schema.names == ROW_SCHEMA.names


def dies_once(flag: str) -> int:
    if not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def dies(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Processes(2)
    answers = dict(workers.run(dies_once, [str(tmp_path / "a"), str(tmp_path / "b")]))
    assert sorted(answers) == [0, 1]
    monkeypatch.setattr(workers_module, "ATTEMPTS", 1)
    with pytest.raises(WorkerDiedError, match=r"a worker process died 1 times, out of memory"):
        list(workers.run(dies, [0]))
    workers.close()


def test_totals_are_the_same_for_any_number_of_partitions(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in")

    def totals(count: int) -> Any:
        made = Job(tmp_path / "out.parquet", TWO, partitions=count, overwrite=True)
        return run_job(read_rows(folder), made).totals

    assert totals(1) == totals(2) == totals(50)
    metrics = Rollouts.read(folder).advantages().metrics
    for name, value in totals(3).metrics().items():
        assert value == pytest.approx(metrics[f"graphgpo/{name}"]), name
    credit = totals(3).credits["graphgpo"]
    assert credit.raised + credit.lowered + credit.none == metrics["graphgpo/num_steps"]


@pytest.mark.parametrize("name", estimators.names())
def test_an_estimator_that_looks_beyond_its_group_is_known(name: str) -> None:
    needed = {"ecpo": {"tau": 1.0, "step_weight": 1.0}, "gagpo": {"gamma": 0.9, "lam": 0.9}}
    estimator = estimators.make(name, needed.get(name))
    if needs_whole_batch(estimator):
        return
    rows = read_rows(CORPORA / "steps").table()
    rows = rows.set_column(8, ROW_SCHEMA.field("reward"), pa.array([0.5] * rows.num_rows))
    try:
        whole, _ = credited(rows, [estimator])
    except FileError as error:
        pytest.skip(f"it needs another column: {error}")
    numbers = partition_numbers(rows["group_id"], 2**16)
    for number in set(numbers.tolist()):
        mine = pa.array(numbers == number)
        part, _ = credited(rows.filter(mine), [estimator])
        assert part.equals(whole.filter(mine))


def test_credit_across_groups_wants_one_partition(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in")
    chosen = [estimators.make("reinforce_pp")]
    summary = run_job(read_rows(folder), Job(tmp_path / "a.parquet", chosen))
    assert summary.num_partitions == 1
    expected = r"reinforce_pp compares steps across groups, so .* expected --partitions 1, got 2"
    with pytest.raises(ValueError, match=expected):
        run_job(read_rows(folder), Job(tmp_path / "b.parquet", chosen, partitions=2))


def test_no_group_is_cut(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in")
    summary = run_job(read_rows(folder), Job(tmp_path / "out", TWO, partitions=7))
    files = sorted((tmp_path / "out").iterdir())
    assert all(file.name.startswith("part-") for file in files)
    groups = [set(pq.read_table(file)["group_id"].to_pylist()) for file in files]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 30
    assert sum(pq.read_metadata(file).num_rows for file in files) == summary.num_rows


def test_a_hash_of_a_group_never_changes() -> None:
    groups = pa.chunked_array([["a", "b", "water fern", "step=1|ä", "a"]])
    assert partition_numbers(groups, 4096).tolist() == [3420, 1886, 1991, 3491, 3420]


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in")
    for name in ("out.parquet", "out"):
        run_job(read_rows(folder), Job(tmp_path / name))
        with pytest.raises(FileExistsError, match=f"{name} is there already"):
            run_job(read_rows(folder), Job(tmp_path / name))
        run_job(read_rows(folder), Job(tmp_path / name, TWO, overwrite=True))
        assert "advantage_gigpo" in pq.read_table(tmp_path / name).column_names


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    other = [{**row, "group_id": "other"} for row in steps()]
    broken = lines(tmp_path / "in" / "a.jsonl", [*other, *steps(), {**steps()[0], "state": "x"}])
    for out, count in (("out.parquet", 1), ("out.parquet", 3), ("out", 3)):
        with pytest.raises(
            FileError, match=r"a\.jsonl, line 7: states is 'x' but line 4 has 'hall"
        ):
            run_job(read_rows(broken), Job(tmp_path / out, TWO, partitions=count))
        assert not (tmp_path / out).exists()
    assert hidden(tmp_path) == []


class _Stopping(Serial):
    """Stops in the middle of pass 2."""

    def __init__(self, after: int) -> None:
        self.after, self.ran = after, 0

    def run(self, function: Any, tasks: Any) -> Any:
        for place, answer in super().run(function, tasks):
            yield place, answer
            if function is job._credit:
                self.ran += 1
                if self.ran == self.after:
                    raise KeyboardInterrupt


@pytest.mark.parametrize("out", ["out.parquet", "out"])
def test_an_interrupted_run_goes_on_where_it_stopped(out: str, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in")
    options: dict[str, Any] = {"partitions": 6, "resume": True}

    def attempt(workers: Workers) -> Summary:
        return run_job(read_rows(folder), Job(tmp_path / out, TWO, **options), workers)

    with pytest.raises(KeyboardInterrupt):
        attempt(_Stopping(4))
    assert hidden(tmp_path) == [f".{out}.parts"]
    assert not (tmp_path / out).exists()
    second = _Stopping(100)
    summary = attempt(second)
    assert second.ran == 2
    assert hidden(tmp_path) == []
    fresh = run_job(read_rows(folder), Job(tmp_path / f"fresh.{out}", TWO, partitions=6))
    assert summary.totals == fresh.totals
    assert pq.read_table(tmp_path / out).equals(pq.read_table(tmp_path / f"fresh.{out}"))


def test_parts_of_something_else_are_not_taken_up(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in")
    out = tmp_path / "out.parquet"
    with pytest.raises(KeyboardInterrupt):
        run_job(read_rows(folder), Job(out, TWO, partitions=6, resume=True), _Stopping(2))
    with pytest.raises(ValueError, match=r"\.parts holds parts of other inputs or options"):
        run_job(read_rows(folder), Job(out, TWO, partitions=5, resume=True))


def test_two_runs_never_share_what_is_resumed(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in")
    out = tmp_path / "out.parquet"
    with workspace(out, {"of": "another"}, resume=True) as space:
        said = f"another run is making {out}; wait for it, or give this one another OUT"
        with pytest.raises(BusyError) as error:
            credits(folder, out, resume=True)
        assert str(error.value) == said
        assert space.spill.is_dir()
    assert list(tmp_path.iterdir()) == [folder]
    assert credits(folder, out, resume=True).num_rows > 0


def test_a_run_that_has_just_finished_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def late(file: Any, operation: int) -> None:
        flock(file, operation)
        Path(file.name).unlink()  # by whoever had it

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(BusyError), workspace(tmp_path / "out", {}, resume=True):
        pass


@pytest.mark.parametrize("out", ["out.parquet", "out"])
def test_what_another_run_has_made_meanwhile_stays(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = corpus(tmp_path / "in")
    target = tmp_path / out
    theirs = target / "part-00000.parquet" if out == "out" else target

    def meanwhile(task: Any) -> Any:
        write_rows(pa.table({"a": [1]}), theirs, overwrite=True)
        return credit_of(task)

    credit_of = job._credit
    monkeypatch.setattr(job, "_credit", meanwhile)
    with pytest.raises(FileExistsError, match="is there already; overwrite=True replaces it"):
        credits(folder, target, partitions=3)
    assert pq.read_table(theirs).column_names == ["a"]
    assert sorted(tmp_path.iterdir()) == sorted([folder, target])
    assert credits(folder, target, partitions=3, overwrite=True).num_rows > 1
    assert sorted(tmp_path.iterdir()) == sorted([folder, target])


def test_a_folder_that_cannot_be_put_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "part-00000.parquet").touch()
    with pytest.raises(FileNotFoundError):
        put_folder(tmp_path / "none", out, overwrite=True)
    assert [path.name for path in out.iterdir()] == ["part-00000.parquet"]
    made = tmp_path / "made"
    made.mkdir()
    with pytest.raises(FileExistsError):
        put_folder(made, out)
    (tmp_path / "file").touch()
    put_folder(made, tmp_path / "file", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out"]


def test_memory_is_bounded_by_flushing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = corpus(tmp_path / "in")
    whole = credits(folder, tmp_path / "whole.parquet")
    monkeypatch.setattr(partitions, "_FLUSH_BYTES", 1)
    assert credits(folder, tmp_path / "cut.parquet", partitions=7).equals(whole)


def test_rows_are_converted_alike_however_they_are_cut(tmp_path: Path) -> None:
    for folder in (corpus(tmp_path / "in"), CORPORA / "verl"):  # without next states, and with
        found = []
        for count in (1, 7):
            out = tmp_path / "rows.parquet"
            run_job(read_rows(folder), Job(out, partitions=count, overwrite=True))
            found.append(pq.read_table(out))
        assert found[0].equals(found[1])
        assert found[0].schema.names == ROW_SCHEMA.names
        assert found[0]["next_state"].null_count < found[0].num_rows


def test_a_corpus_of_many_bytes_gets_many_partitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = corpus(tmp_path / "in")
    monkeypatch.setattr(job, "PARTITION_BYTES", 4096)
    summary = run_job(read_rows(folder), Job(tmp_path / "out.parquet", TWO))
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert summary.num_partitions == -(-2 * size // 4096)


def test_progress_ends_at_all(tmp_path: Path) -> None:
    seen: dict[str, list[float]] = {}

    def progress(name: str, share: float) -> None:
        seen.setdefault(name, []).append(share)

    reader = read_rows(corpus(tmp_path / "in"))
    run_job(reader, Job(tmp_path / "out.parquet", TWO, partitions=4), progress=progress)
    assert list(seen) == ["reading", "crediting", "writing"]
    for shares in seen.values():
        assert shares == sorted(shares)
        assert shares[-1] == 1.0


def test_what_was_made_of_what_is_in_the_file(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in")
    made_of = {"graphgpo": "0.1.0", "inputs": {"files": 3}}
    out = tmp_path / "out.parquet"
    run_job(read_rows(folder), Job(out, TWO, fingerprint=made_of, partitions=2))
    assert json.loads(pq.read_schema(out).metadata[b"graphgpo"]) == made_of
