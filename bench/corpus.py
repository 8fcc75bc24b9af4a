"""From Parquet files to credits on disk, beside the core's call on the same columns in memory.

    python bench/corpus.py [--steps 10000000] [--jobs 1 2] [--ray 1 2] [--json FILE]

Makes files of canonical rows with a fixed seed, credits them in memory by one call, and then by
`graphgpo credit`, with as many processes, or workers of a local Ray, as asked for. Every credit is
compared with the call's, bit for bit.

Each of these is a process of its own, started by one that holds no rows: what a process has held
counts as the peak of those it starts. Memory is the largest peak of one process (Linux), whose work
is at most one partition at a time; "beyond" is that less the bytes of the largest partition's rows.
Of Ray what counts is the run in a cluster that is up, with workers that have begun: starting both
is said apart. CPU seconds are those of all threads and processes, for machines that others use too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import graphgpo
from graphgpo import estimators
from graphgpo.corpus import Job, RayTasks, run_job
from graphgpo.files import read_rows, write_rows
from graphgpo.files.batch import columns_of

sys.path.insert(0, str(Path(__file__).parent))
import reports

SEED = 20261
TURNS = 8  # of a rollout
GROUP_SIZE = 8
ROOMS = 40  # of a task
STEPS_OF_FILE = 500_000
CALLS = 3  # of the core; the fastest counts
MIB = 2**20

Answer = TypeVar("Answer")


def main() -> None:
    """Print a line per way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("--steps", type=int, default=10_000_000)
    parser.add_argument("--jobs", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--ray", type=int, nargs="*", default=[])
    parser.add_argument("--folder", action="store_true", help="write a file per partition")
    parser.add_argument("--quick", action="store_true", help="does it run? 20,000 steps")
    parser.add_argument("--json", type=Path, help="where to write the report")
    options = parser.parse_args()
    if options.quick:
        options.steps = 20_000
    report: dict[str, Any] = {**reports.origin(["numpy", "pyarrow"]), "seed": SEED}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out = folder / ("out" if options.folder else "out.parquet")
        apart(make_corpus, folder / "in", options.steps)
        size = sum(file.stat().st_size for file in (folder / "in").iterdir())
        core = apart(call, folder)
        report |= {"steps": options.steps, "parquet_bytes": size, "call": asdict(core), "ways": []}
        print(f"{options.steps:,} steps, {size / MIB:.0f} MiB of Parquet")
        print(f"the core's call on columns in memory, all cores: {core}")
        counted = [(by_jobs, count) for count in options.jobs]
        counted += [(by_ray, count) for count in options.ray]
        for way, count in counted:
            shutil.rmtree(out, ignore_errors=True)  # of the way before: not this one's work
            run = way(folder, out, count)
            apart(check, out, folder)
            row = {**asdict(run), **beyond(folder, run)}
            row |= {
                f"{clock}_times_the_call": getattr(run, clock) / getattr(core, clock)
                for clock in ("wall", "cpu")
            }
            report["ways"].append(row)
            print(line(row), flush=True)
    reports.write(options.json, report)


@dataclass(frozen=True)
class Seconds:
    """What something takes."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.1f} s ({self.cpu:.1f} s of CPU)"


@dataclass(frozen=True)
class Run(Seconds):
    """A corpus credited: seconds, and the largest peak of a process, in bytes."""

    way: str
    partitions: int
    peak: int
    wall_to_start: float = 0.0


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the description."""


def apart(function: Callable[..., Answer], *arguments: Any) -> Answer:
    """What a function answers in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()


def line(row: dict[str, Any]) -> str:
    """A way in words."""
    start = f" after {row['wall_to_start']:.1f} s to start" if row["wall_to_start"] else ""
    return (
        f"{row['way']}: {Seconds(row['wall'], row['cpu'])}{start}, "
        f"{row['wall_times_the_call']:.2f} ({row['cpu_times_the_call']:.2f}) times the call, "
        f"{row['partitions']} partitions; "
        f"largest process {row['peak'] / MIB:,.0f} MiB, {row['beyond'] / MIB:,.0f} MiB beyond the "
        "largest partition"
    )


# --- the corpus -----------------------------------------------------------------------------------


def make_corpus(folder: Path, num_steps: int) -> None:
    """Files of rollouts that walk through the rooms of their task."""
    rng = np.random.default_rng(SEED)
    names = pa.array([f"{room(number)} of the house. There is a key." for number in range(ROOMS)])
    rollouts_of_file = STEPS_OF_FILE // TURNS
    for file in range(-(-num_steps // STEPS_OF_FILE)):
        rollouts = np.arange(rollouts_of_file) + file * rollouts_of_file
        steps = np.tile(np.arange(TURNS), rollouts_of_file)
        rooms = rng.integers(0, ROOMS, len(steps))
        following = pa.array(np.roll(rooms, -1), mask=steps == TURNS - 1)
        rows = pa.table(
            {
                "group_id": np.repeat(rollouts // GROUP_SIZE, TURNS),
                "trajectory_id": np.repeat(rollouts, TURNS),
                "step_id": steps,
                "state": names.take(pa.array(rooms)),
                "next_state": names.take(following),
                "success": np.repeat(rng.random(rollouts_of_file) < 0.5, TURNS),
            }
        )
        keep = num_steps - file * STEPS_OF_FILE
        write_rows(rows.slice(0, keep), folder / f"{file:04d}.parquet")


def room(number: int) -> str:
    """What the environment shows."""
    return f"Room {number}, {'with a window to the garden' if number % 2 else 'without a window'}"


def beyond(folder: Path, run: Run) -> dict[str, float]:
    """Bytes of a partition, all being of about one size, and of the peak beyond them."""
    largest = float(np.load(folder / "num_bytes.npy")) / run.partitions
    return {"largest_partition": largest, "beyond": run.peak - largest}


# --- the ways -------------------------------------------------------------------------------------


def call(folder: Path) -> Seconds:
    """What the core's call takes; its credits, and the sizes of the groups, are kept."""
    rows = read_rows(folder / "in").table().combine_chunks()
    np.save(folder / "num_bytes.npy", rows.nbytes)
    columns = columns_of(rows)
    taken = []
    for _ in range(CALLS):
        start, start_cpu = time.perf_counter(), time.process_time()
        result = graphgpo.compute_advantages(**columns)
        taken.append(Seconds(time.perf_counter() - start, time.process_time() - start_cpu))
    np.save(folder / "expected.npy", result.advantages)
    return min(taken, key=lambda seconds: seconds.wall)


def by_jobs(folder: Path, out: Path, count: int) -> Run:
    """Credited by the command line."""
    command = [sys.executable, "-m", "graphgpo", "credit", str(folder / "in"), "-o", str(out)]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--json", "--overwrite", "--jobs", str(count)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    summary: dict[str, Any] = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    assert status == 0
    return Run(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        way=f"--jobs {count}",
        partitions=summary["partitions"],
        peak=usage.ru_maxrss * 1024,
    )


def by_ray(folder: Path, out: Path, count: int) -> Run:
    """Credited by a Ray that is up, as `--ray` does it."""
    return apart(_by_ray, folder, out, count)


def _by_ray(folder: Path, out: Path, count: int) -> Run:
    start = time.perf_counter()
    workers = RayTasks("local", count)
    before = _used(workers)
    wall_to_start = time.perf_counter() - start
    job = Job(out=out, estimators=[estimators.make("graphgpo")], overwrite=True)
    start, start_cpu = time.perf_counter(), time.process_time()
    summary = run_job(read_rows(folder / "in"), job, workers)
    wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    after = _used(workers)
    workers.close()
    cpu += sum(after[worker][0] - before.get(worker, (0.0, 0))[0] for worker in after)
    own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Run(
        wall=wall,
        cpu=cpu,
        way=f"--ray local, {count} workers",
        partitions=summary.num_partitions,
        peak=1024 * max(own_peak, *(peak for _, peak in after.values())),
        wall_to_start=wall_to_start,
    )


def _used(workers: RayTasks) -> dict[int, tuple[float, int]]:
    """Of each worker's process its CPU seconds and its peak in KiB."""

    def usage(wait: float) -> tuple[int, tuple[float, int]]:  # local, so that Ray sends its code
        time.sleep(wait)  # so that no worker answers for another
        used = resource.getrusage(resource.RUSAGE_SELF)
        return os.getpid(), (used.ru_utime + used.ru_stime, used.ru_maxrss)

    return {pid: used for _, (pid, used) in workers.run(usage, [0.3] * workers.num_workers)}


def check(out: Path, folder: Path) -> None:
    """The same bits, in the order of the input."""
    expected = np.load(folder / "expected.npy")
    rows = pq.read_table(out, columns=["advantage_graphgpo", "source_file", "source_row"])
    credits = rows["advantage_graphgpo"].to_numpy()
    if out.is_dir():  # each partition is in that order
        files = rows["source_file"].combine_chunks().dictionary_encode()
        names = np.array([int(Path(name).stem) for name in files.dictionary.to_pylist()])
        places = names[files.indices.to_numpy()] * STEPS_OF_FILE + rows["source_row"].to_numpy()
        ordered = np.empty_like(credits)
        ordered[places] = credits
        credits = ordered
    assert np.array_equal(credits.view(np.uint32), expected.view(np.uint32))


if __name__ == "__main__":
    main()
