"""What trainers make of a call: object arrays, ids that are UUIDs, step ids, and all of it cold.

    python bench/trainers.py --json bench/results/trainers.json
    python bench/trainers.py --quick    # does it run? seconds

Every round makes each call in turn, on fresh inputs, on one thread with Python's collector off; a
ratio is that of two calls in one round. All answers are compared bit for bit before anything is
timed. A cold call is the first of four in a row, after an opponent's call on other rows; small
batches only, because a large one is cold by itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any, TypeAlias

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import end_to_end
import graphgpo
import opponents
import reports
import workloads

MakeColumns: TypeAlias = Callable[[], dict[str, Any]]

BASE = "list"
FIELDS = [field.name for field in dataclasses.fields(graphgpo.StepAdvantages)]


def in_order(workload: workloads.Workload, kind: str) -> dict[str, Any]:
    """With the number of every step in its rollout."""
    starts = np.flatnonzero(np.diff(workload.trajectory_ids, prepend=-1))
    step_ids = np.arange(len(workload)) - starts[workload.trajectory_ids]
    return workload.columns(kind) | {"step_ids": step_ids}


def calls(workload: workloads.Workload) -> dict[str, MakeColumns]:
    """Columns by what is particular about them."""
    return {
        BASE: lambda: workload.columns("list"),
        "list, step ids": lambda: in_order(workload, "list"),
        "list, UUID ids": lambda: workload.columns_of_trainer("list"),
        "object array": lambda: workload.columns("object"),
        "object array, UUID ids": lambda: workload.columns_of_trainer("object"),
        "keys": lambda: workload.columns("keys"),
        "keys, step ids": lambda: in_order(workload, "keys"),
    }


def timed(columns: dict[str, Any]) -> float:
    start = time.perf_counter()
    graphgpo.compute_advantages(**columns, num_threads=1)
    return time.perf_counter() - start


def check_answers(made: dict[str, MakeColumns]) -> None:
    expected = graphgpo.compute_advantages(**made[BASE](), num_threads=1)
    for name, make in made.items():
        answer = graphgpo.compute_advantages(**make(), num_threads=1)
        for field in FIELDS[:-1]:
            if not np.array_equal(getattr(answer, field), getattr(expected, field)):
                raise AssertionError(f"{field} of {name!r} is not that of {BASE!r}")


def rounds(workload: workloads.Workload, repeat: int) -> dict[str, list[float]]:
    """Seconds by call, and of the first and the mean of four in a row."""
    made = calls(workload)
    check_answers(made)
    others = workload.columns("list")
    num_inner = max(1, min(4, 20_000 // len(workload)))
    seconds: dict[str, list[float]] = {name: [] for name in made}
    if num_inner > 1:
        seconds |= {f"{name}, cold": [] for name in (BASE, "keys")}
    for _ in range(repeat):
        for name, make in made.items():
            gc.collect()
            gc.disable()
            inputs = [make() for _ in range(num_inner)]
            if num_inner > 1:
                opponents.vectorised(**others)
            each = [timed(columns) for columns in inputs]
            seconds[name].append(sum(each) / len(each))
            if f"{name}, cold" in seconds:
                seconds[f"{name}, cold"].append(each[0])
            del inputs
            gc.enable()
    return seconds


def base_of(name: str) -> str:
    """What a call's time is divided by: the same without what is particular, or the list's."""
    head, _, particular = name.partition(", ")
    return head if particular else BASE


def measure(workload: workloads.Workload, repeat: int) -> dict[str, Any]:
    seconds = rounds(workload, repeat)
    row: dict[str, Any] = {
        "workload": workload.name,
        "steps": len(workload),
        "seed": workload.seed,
        "rounds": repeat,
        "calls": {},
    }
    for name, values in seconds.items():
        of = base_of(name)
        ratios = [value / base for value, base in zip(values, seconds[of], strict=True)]
        row["calls"][name] = {
            "median_ms": median(values) * 1e3,
            "of": of,
            "ratio": median(ratios),
            "ratio_quartiles": quantiles(ratios, n=4)[::2] if repeat > 1 else [ratios[0]] * 2,
        }
        low, high = row["calls"][name]["ratio_quartiles"]
        print(
            f"{workload.name:15} {name:24} {median(values) * 1e3:9.3f} ms"
            f"   x{median(ratios):.2f} [{low:.2f}, {high:.2f}] of {of}",
            flush=True,
        )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = ["alfworld_like", "million"]
    parser.add_argument("--workload", nargs="+", choices=workloads.WORKLOADS, default=names)
    parser.add_argument("--repeat", type=int, default=31, help="rounds; of large batches a tenth")
    parser.add_argument("--quick", action="store_true", help="one round of a tiny batch")
    parser.add_argument("--json", type=Path, help="where to write the report")
    options = parser.parse_args()
    if options.quick:
        options.workload, options.repeat = ["tiny"], 1
    report: dict[str, Any] = {
        **reports.origin(),
        "machine": end_to_end.machine(),
        "times": [],
    }
    for name in options.workload:
        workload = workloads.WORKLOADS[name]()
        repeat = options.repeat if len(workload) < 100_000 else max(3, options.repeat // 10)
        report["times"].append(measure(workload, min(repeat, options.repeat)))
    reports.write(options.json, report)


if __name__ == "__main__":
    main()
