"""From Parquet files to credits on disk, beside the core's call on the same columns in memory.

    python bench/corpus.py [--steps 10000000] [--jobs 1 2] [--ray 1 2]

Makes files of canonical rows with a fixed seed, credits them in memory by one call, and then by
`graphgpo credit` in a process of its own, with as many jobs, or workers of a local Ray, as asked
for. Every credit is compared with the call's, bit for bit. CPU seconds are those of all threads and
processes, for machines that others use too. Memory is the largest of the processes' peaks (Linux),
whose work is at most one partition at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import graphgpo
from graphgpo.corpus.partitions import partition_numbers
from graphgpo.files import read_rows, write_rows
from graphgpo.files.batch import columns_of

SEED = 20261
TURNS = 8  # of a rollout
GROUP_SIZE = 8
ROOMS = 40  # of a task
STEPS_OF_FILE = 500_000
MIB = 2**20


def main() -> None:
    """Print a line per way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("--steps", type=int, default=10_000_000)
    parser.add_argument("--jobs", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--ray", type=int, nargs="*", default=[])
    parser.add_argument("--folder", action="store_true", help="write a file per partition")
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, seed {SEED}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_corpus(folder / "in", arguments.steps)
        size = sum(file.stat().st_size for file in (folder / "in").iterdir())
        core, partition_bytes = call(folder)
        print(f"{arguments.steps:,} steps, {size / MIB:.0f} MiB of Parquet")
        print(f"the core's call on columns in memory, all cores: {core}")
        ways = [(f"--jobs {count}", ["--jobs", str(count)]) for count in arguments.jobs]
        ways += [
            (f"--ray local, {count} workers", ["--ray", "local", "--jobs", str(count)])
            for count in arguments.ray
        ]
        for title, options in ways:
            report(title, options, folder, core, partition_bytes, arguments.folder)


@dataclass(frozen=True)
class Seconds:
    """What something takes."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.1f} s ({self.cpu:.1f} s of CPU)"


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the description."""


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


def call(folder: Path) -> tuple[Seconds, float]:
    """What the core's call takes, whose credits are kept, and bytes of the largest partition."""
    rows = read_rows(folder / "in").table().combine_chunks()
    columns = columns_of(rows)
    start, start_cpu = time.perf_counter(), time.process_time()
    result = graphgpo.compute_advantages(**columns)
    seconds = Seconds(time.perf_counter() - start, time.process_time() - start_cpu)
    np.save(folder / "expected.npy", result.advantages)
    partitions = max(1, -(-rows.nbytes // (256 * MIB)))
    counts = np.bincount(partition_numbers(rows["group_id"], partitions))
    return seconds, rows.nbytes * counts.max() / counts.sum()


def report(
    title: str,
    options: list[str],
    folder: Path,
    core: Seconds,
    partition_bytes: float,
    to_folder: bool,
) -> None:
    """Credit by the command line, check the credits, print."""
    out = folder / ("out" if to_folder else "out.parquet")
    command = [sys.executable, "-m", "graphgpo", "credit", str(folder / "in"), "-o", str(out)]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--json", "--overwrite", *options], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    summary: dict[str, Any] = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    seconds = Seconds(time.perf_counter() - start, usage.ru_utime + usage.ru_stime)
    assert status == 0
    check(out, np.load(folder / "expected.npy"))
    memory = usage.ru_maxrss / 1024
    beyond = memory - partition_bytes / MIB
    print(
        f"{title}: {seconds}, {seconds.wall / core.wall:.2f} ({seconds.cpu / core.cpu:.2f}) times "
        "the call, "
        f"{summary['partitions']} partitions; largest process {memory:,.0f} MiB, "
        f"{beyond:,.0f} MiB beyond the largest partition"
    )


def check(out: Path, expected: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    """The same bits, in the order of the input."""
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
