"""What `record=` takes from a training step: how long the trainer waits, and what the thread uses.

    python bench/record.py [--workload alfworld_like webshop_like] [--steps 20] [--json FILE]

Records batches as a trainer does, one a training step, each read back and compared once. "waits" is
the wall time of the call, which makes the rows; the file is written by a thread while the trainer
goes on, whose CPU time, all of the process but the call's, is "beside". A share of a training step
depends on how long that is, so what is said is the step of which either is two percent: shorter
ones no trainer of agents has. The first call, which imports pyarrow, is said apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow.parquet as pq

import graphgpo
from graphgpo import estimators
from graphgpo.integrations._record import StepRecord

sys.path.insert(0, str(Path(__file__).parent))
import reports
import workloads

SHARE = 0.02


def main() -> None:
    """Print a line per batch."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = ["alfworld_like", "webshop_like"]
    parser.add_argument("--workload", nargs="+", choices=workloads.WORKLOADS, default=names)
    parser.add_argument("--steps", type=int, default=20, help="training steps")
    parser.add_argument("--quick", action="store_true", help="two steps of a tiny batch")
    parser.add_argument("--json", type=Path, help="where to write the report")
    options = parser.parse_args()
    if options.quick:
        options.workload, options.steps = ["tiny"], 2
    report: dict[str, Any] = {**reports.origin(["numpy", "pyarrow"]), "times": []}
    for name in options.workload:
        row = measure(workloads.WORKLOADS[name](), options.steps)
        report["times"].append(row)
        print(
            f"{name}, {row['steps']:,} steps: waits {row['waits_ms']:.1f} ms, beside "
            f"{row['beside_ms']:.1f} ms; {SHARE:.0%} of a training step of "
            f"{row['waits_alone_s']:.2f} s, with what is beside {row['with_beside_s']:.2f} s; "
            f"the first call {row['first_ms']:.0f} ms"
        )
    reports.write(options.json, report)


def measure(workload: workloads.Workload, num_steps: int) -> dict[str, Any]:
    """Milliseconds of recording one batch, the median of `num_steps`."""
    estimator = estimators.make("graphgpo")
    waits, beside = [], []
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        record = StepRecord(folder)
        for step in range(num_steps + 1):
            columns = workload.columns("list")
            result = graphgpo.compute_advantages(**columns)
            fields = recorded(columns)
            if step > 0:
                start = time.perf_counter()
            start_cpu, start_own = time.process_time(), time.thread_time()
            record.write(step, result, estimator, **fields)
            waits.append(time.perf_counter() - start)
            own = time.thread_time() - start_own
            record.wait()
            beside.append(time.process_time() - start_cpu - own)
        check(Path(folder) / f"step_{num_steps:06d}.parquet", result, fields)
    wait, besides = median(waits[1:]), median(beside[1:])
    return {
        "workload": workload.name,
        "steps": len(workload),
        "seed": workload.seed,
        "training_steps": num_steps,
        "first_ms": waits[0] * 1e3,
        "waits_ms": wait * 1e3,
        "beside_ms": besides * 1e3,
        "waits_alone_s": wait / SHARE,
        "with_beside_s": (wait + besides) / SHARE,
    }


def recorded(columns: dict[str, Any]) -> dict[str, Any]:
    """What an integration hands over of a batch."""
    count = len(columns["states"])
    success = np.asarray(columns["success"])
    return {
        "group_ids": list(columns["group_ids"]),
        "trajectory_ids": list(columns["trajectory_ids"]),
        "step_ids": list(range(count)),
        "states": columns["states"],
        "next_states": columns["next_states"],
        "actions": ["go to the next room"] * count,
        "success": success,
        "outcomes": success.astype(np.float64),
    }


def check(path: Path, result: graphgpo.StepAdvantages, fields: dict[str, Any]) -> None:
    """The file has the states and their credit."""
    table = pq.read_table(path)
    assert table["state"].to_pylist() == list(fields["states"])
    assert np.array_equal(table["advantage_graphgpo"].to_numpy(), result.advantages)


if __name__ == "__main__":
    main()
