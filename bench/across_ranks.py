"""What `compute_advantages_across_ranks` costs, against gathering the texts themselves.

    python bench/across_ranks.py --ranks 2 --rows 25600

Every rank holds `--rows` rows of one seeded batch (ALFWorld-like, texts of 200-900 chars), cut
without regard to groups. "texts" sends the rows by `all_gather_object` and calls
`compute_advantages` on all of them, which is what one would write first. Gloo, on this machine;
contenders take turns, a round lasts as long as its slowest rank, and answers are compared first.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import pickle
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import distributed as dist

import graphgpo
import workloads
from end_to_end import machine
from graphgpo.torch.distributed import compute_advantages_across_ranks, gather_groups
from run_all import fill, table

Columns = dict[str, Any]
PAGE = Path(__file__).resolve().parents[1] / "docs" / "integrations" / "distributed.md"


def rows_of_rank(rank: int, rows: int, ranks: int) -> Columns:
    """As lists of a trainer: a str of its own in every cell, step ids, no next state at the end."""
    walked = workloads.alfworld_like(groups=rows * ranks // 200)
    workload = walked.head(rows * ranks)
    columns = workload.columns("list")
    trajectories = workload.trajectory_ids
    starts = np.flatnonzero(np.diff(trajectories, prepend=-1))
    lengths = np.diff(starts, append=len(trajectories))
    columns["step_ids"] = np.arange(len(trajectories)) - np.repeat(starts, lengths)
    for last in (starts + lengths - 1).tolist():
        columns["next_states"][last] = None
    own = slice(rank * rows, (rank + 1) * rows)
    return {name: values[own] for name, values in columns.items()}


def by_texts(**columns: Any) -> graphgpo.StepAdvantages:
    """`all_gather_object`, then the call on all rows."""
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, columns)
    joined: Columns = {}
    for name, first in gathered[0].items():
        parts = [part[name] for part in gathered]
        is_list = isinstance(first, list)
        joined[name] = (
            [cell for part in parts for cell in part] if is_list else np.concatenate(parts)
        )
    return graphgpo.compute_advantages(**joined, num_threads=1)


def serve(rank: int, options: argparse.Namespace, store: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=options.ranks
    )
    columns = rows_of_rank(rank, options.rows, options.ranks)
    calls: dict[str, Callable[..., Any]] = {
        "across ranks": partial(compute_advantages_across_ranks, num_threads=1),
        "of which gathering": gather_groups,
        "texts": by_texts,
    }
    own = slice(rank * options.rows, (rank + 1) * options.rows)
    expected = by_texts(**columns)
    result = calls["across ranks"](**columns)
    np.testing.assert_array_equal(result.advantages, expected.advantages[own])
    assert result.metrics == expected.metrics
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.repeat):
        for name, call in calls.items():
            gc.collect()
            dist.barrier()
            start = time.perf_counter()
            call(**columns)
            slowest = torch.tensor(time.perf_counter() - start, dtype=torch.float64)
            dist.all_reduce(slowest, dist.ReduceOp.MAX)
            seconds[name].append(slowest.item())
    if rank == 0:
        sent = {
            "across ranks": 8 * 6 * options.rows,  # keys: 4 columns; step ids; flags
            "texts": len(pickle.dumps(columns)),
        }
        report(options, {name: (median(times), sent.get(name)) for name, times in seconds.items()})
    dist.destroy_process_group()


def report(options: argparse.Namespace, rows: dict[str, tuple[float, int | None]]) -> None:
    """The table, and where it is asked for, the page that shows it."""
    batch = f"{options.ranks} x {options.rows:,}"
    cells = [
        [batch, name, f"{1e3 * seconds:.1f}", "" if size is None else f"{size / 1e6:.2f}"]
        for name, (seconds, size) in rows.items()
    ]
    command = f"--ranks {options.ranks} --rows {options.rows} --repeat {options.repeat}"
    text = (
        table(["ranks x rows", "", "ms", "MB sent by a rank"], cells)
        + f"\n\n`python bench/across_ranks.py {command}`, median, seed {workloads.SEED}; gloo, one "
        f"thread a rank, {machine()['cores']} cores of {machine()['cpu']}, Python "
        f"{machine()['python']}, torch {torch.__version__}."
    )
    print(text)
    if options.write:
        fill(PAGE, "across_ranks", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rows", type=int, default=25_600, help="of each rank")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--write", action="store_true", help=f"the table into {PAGE.name}")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        processes = [
            context.Process(target=serve, args=(rank, options, store))
            for rank in range(options.ranks)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("a rank failed")


if __name__ == "__main__":
    main()
