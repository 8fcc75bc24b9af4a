"""What each estimator costs beside GraphGPO on the same batch, and five at once beside one.

    python bench/family.py --json bench/results/family.json
    python bench/family.py --workload million --json ...    # keeps the report's other workloads
    python bench/family.py --quick    # does it run? seconds

Every round asks each estimator in turn, Python objects in and all results out, on one thread with
Python's collector off; a ratio is that of two calls in one round. `compare` reads and merges the
batch once. Its answers are compared bit for bit with those of separate calls before it is timed.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

import graphgpo
from graphgpo import Estimator, Rollouts, estimators
from graphgpo.blocks import Given

sys.path.insert(0, str(Path(__file__).parent))
import end_to_end
import reports
import workloads

ONE = "graphgpo"
AT_ONCE = "five at once"
APART = "five apart"
MOST_STEPS_IN_PYTHON = 100_000  # beyond: minutes
FIELDS = [field.name for field in dataclasses.fields(graphgpo.StepAdvantages)]


def example(name: str) -> Estimator:
    """Its defaults, and a half where it has none."""
    fields = dataclasses.fields(estimators.load(name))  # type: ignore[arg-type]
    required = [field.name for field in fields if field.default is dataclasses.MISSING]
    return estimators.make(name, dict.fromkeys(required, 0.5))


def is_in_core(estimator: Estimator) -> bool:
    """Whether no Python computes its scores."""
    return not any(isinstance(term.score, Given) for term in estimator.terms())


def five() -> list[str]:
    """The first five with a step term that were checked against their authors' code."""
    found = [
        name
        for name in estimators.names()
        if estimators.load(name).mark == "C"
        and is_in_core(example(name))
        and not all(term.is_episodic for term in example(name).terms())
    ]
    return found[:5]


def columns_of(workload: workloads.Workload, kind: str) -> dict[str, Any]:
    """Its columns, an action for every step and a tree for every four rollouts."""
    return {
        **workload.columns(kind),
        "actions": workload.targets % 8,
        "peer_keys": workload.trajectory_ids // 4,
    }


def contenders(workload: workloads.Workload) -> dict[str, Callable[..., Any]]:
    """Calls by name: every estimator alone, and five of them in two ways."""
    calls: dict[str, Callable[..., Any]] = {}
    for name in estimators.names():
        estimator = example(name)
        if is_in_core(estimator) or len(workload) <= MOST_STEPS_IN_PYTHON:
            calls[name] = partial(graphgpo.compute_advantages, estimator=estimator, num_threads=1)
        else:
            print(f"  skipped: {name} on {len(workload):,} steps would take too long")
    chosen = [example(name) for name in five()]

    def at_once(**columns: Any) -> dict[str, graphgpo.StepAdvantages]:
        return Rollouts(**columns, num_threads=1).compare(chosen)

    def apart(**columns: Any) -> dict[str, graphgpo.StepAdvantages]:
        return {
            estimator.name: graphgpo.compute_advantages(
                **columns, estimator=estimator, num_threads=1
            )
            for estimator in chosen
        }

    return calls | {AT_ONCE: at_once, APART: apart}


def differences(answers: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """What differs between two sets of answers, as "estimator.field"."""
    if [*answers] != [*expected]:
        return ["names"]
    return [
        f"{name}.{field}"
        for name, answer in answers.items()
        for field in FIELDS
        if not np.array_equal(
            _comparable(getattr(answer, field)),
            _comparable(getattr(expected[name], field)),
            equal_nan=True,
        )
    ]


def _comparable(values: Any) -> Any:
    return [*values.values()] if isinstance(values, dict) else values.astype(np.float64)


def measure(workload: workloads.Workload, kind: str, repeat: int) -> dict[str, Any]:
    """One row of the report."""
    calls = contenders(workload)
    columns = columns_of(workload, kind)
    if wrong := differences(calls[AT_ONCE](**columns), calls[APART](**columns)):
        raise AssertionError(f"{AT_ONCE} differs in {wrong} on {workload.name} as {kind}")
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeat):
        for name, call in calls.items():
            gc.collect()
            gc.disable()
            given = columns_of(workload, kind) if end_to_end.is_remade(kind) else columns
            start = time.perf_counter()
            call(**given)
            seconds[name].append(time.perf_counter() - start)
            del given
            gc.enable()
    row: dict[str, Any] = {
        "workload": workload.name,
        "kind": kind,
        "steps": len(workload),
        "seed": workload.seed,
        "rounds": repeat,
        "five": five(),
        "contenders": {},
    }
    for name, values in seconds.items():
        ratios = [value / one for value, one in zip(values, seconds[ONE], strict=True)]
        row["contenders"][name] = {
            "median_ms": median(values) * 1e3,
            "ratio": median(ratios),
            "ratio_quartiles": quantiles(ratios, n=4)[::2] if repeat > 1 else [ratios[0]] * 2,
        }
    return row


def joined(earlier: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    """The report, with what an earlier one has of other workloads, by size."""
    measured = [row["workload"] for row in report["times"]]
    kept = [row for row in earlier["times"] if row["workload"] not in measured]
    if not kept:
        return report
    if earlier["machine"] != report["machine"]:
        raise SystemExit("the report is of another machine; expected a new one, or all workloads")
    times = sorted([*kept, *report["times"]], key=lambda row: int(row["steps"]))
    names = " ".join(row["workload"] for row in times)
    command = f"python bench/family.py --workload {names} --json bench/results/family.json"
    return report | {"command": command, "times": times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--workload", nargs="+", choices=workloads.WORKLOADS, default=["alfworld_like", "million"])
    add("--kind", default="list_linked", help="one of workloads.kinds, of texts")
    add("--repeat", type=int, default=5, help="rounds")
    add("--quick", action="store_true", help="one round of a tiny batch")
    add("--json", type=Path, help="where to write the report")
    options = parser.parse_args()
    if options.quick:
        options.workload, options.repeat = ["tiny", "alfworld_like"], 1

    report: dict[str, Any] = {
        **reports.origin(),
        "machine": end_to_end.machine(),
        "times": [],
    }
    for name in options.workload:
        row = measure(workloads.WORKLOADS[name](), options.kind, options.repeat)
        report["times"].append(row)
        print(f"{row['workload']} {row['kind']}, {row['steps']:,} steps")
        for contender, cell in row["contenders"].items():
            print(f"  {contender:22} {cell['median_ms']:9.2f} ms  x{cell['ratio']:.2f}")
    if options.json and options.json.exists():
        report = joined(json.loads(options.json.read_text()), report)
    reports.write(options.json, report)


if __name__ == "__main__":
    main()
