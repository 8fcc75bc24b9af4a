"""Spread credit for a tiny transformer that TRL trains: the last experiment of docs/spread.md.

    python examples/trl_study.py --untrained  # groups without success before training, seeds 0 to 3
    python examples/trl_study.py              # 6 arms x 16 seeds, half an hour
    python examples/trl_study.py --report     # CSV file and tables of finished runs

Game and training are those of trl_rooms.py. All arms of a seed have the same house, the same policy
at the start and the same first rollouts. Runs that are finished are skipped. A second thread only
waits: set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import ppo
import report
import trl_rooms
from compare import ROOT, commit, commits, processor
from experiments import Arm, arm

# Frozen before any run of SEEDS.
SEEDS, UPDATES = range(16, 32), 60
ARMS = (
    arm("grpo"),
    arm("graphgpo"),
    arm("spread"),
    arm("graphgpo", memory=True),
    arm("spread", memory=True),
    arm("gigpo", spread_weight=1.0),
)

METRICS = {"auc": 3, "final": 2, "dead_first_quarter": 2}  # and the digits that are shown of them
CONTRASTS = [
    (one.name, other)
    for other in ("graphgpo", "grpo")
    for one in ARMS
    if one.name != other and (one.name, other) != ("grpo", "graphgpo")
]
RESULTS = ROOT / "bench" / "results" / "spread" / "trl_runs.csv"
PAGE = ROOT / "docs" / "spread.md"
SETTING = "house"  # the only one


# --- running --------------------------------------------------------------------------------------


def file_of(folder: Path, trained: Arm, seed: int) -> Path:
    return folder / trained.name.replace(" ", ",") / f"seed{seed}.json"


def run(trained: Arm, seed: int, folder: Path, updates: int) -> None:
    """One run; its result is one JSON file."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    options = {"estimator": trained.estimator, **dict(trained.options)}
    memory = options.pop("memory", False)
    result = {
        "arm": trained.name,
        "seed": seed,
        "commit": commit(),
        "machine": f"{os.cpu_count()} cores of {processor()}",
        **{package: version(package) for package in ("trl", "transformers", "torch")},
        "curve": trl_rooms.train(options, memory, seed, updates),
    }
    ppo.write_atomically(file_of(folder, trained, seed), json.dumps(result).encode())


def run_all(seeds: Sequence[int], folder: Path, processes: int, updates: int = UPDATES) -> int:
    """Those that are not finished, seed by seed; how many they were."""
    listed = [(trained, seed) for seed, trained in product(seeds, ARMS)]
    left = [job for job in listed if not file_of(folder, *job).exists()]
    print(f"{len(listed)} runs, {len(listed) - len(left)} of them finished before")
    if processes == 1:
        for job in left:
            run(*job, folder, updates)
    else:
        with ProcessPoolExecutor(processes, mp_context=ppo.SPAWN) as pool:
            for done in [pool.submit(run, *job, folder, updates) for job in left]:
                done.result()
    return len(left)


# --- the report -----------------------------------------------------------------------------------


def row_of(result: dict[str, Any]) -> dict[str, Any]:
    """A run as it stands in the CSV file."""
    success, dead = (
        np.array([point[name] for point in result["curve"]]) for name in ("success", "dead_groups")
    )
    above = np.flatnonzero(success >= 0.9)
    measured = {
        "auc": success.mean(),
        "final": success[-max(1, len(success) // 10) :].mean(),
        "dead_first_quarter": dead[: max(1, len(dead) // 4)].mean(),
        "updates_to_90": above[0] + 1 if len(above) else np.nan,
        "dead_untrained": dead[0],
    }
    numbers = {name: report.rounded(float(value)) for name, value in measured.items()}
    where = ("commit", "machine", "trl", "transformers", "torch")
    return (
        {name: result[name] for name in ("arm", "seed")}
        | numbers
        | {name: result[name] for name in where}
    )


def finished(row: dict[str, str]) -> report.Finished:
    names = (*METRICS, "updates_to_90", "dead_untrained")
    metrics = {name: report.number_or_nan(row[name]) for name in names}
    return report.Finished(
        SETTING, row["arm"], int(row["seed"]), {}, metrics, {}, np.nan, row["commit"]
    )


def arms_table(runs: report.Runs) -> str:
    """How the arms that were begun did, over the seeds that every one of them has."""
    rows = []
    begun = [one.name for one in ARMS if (SETTING, one.name) in runs.by_arm]
    seeds = runs.shared_seeds(SETTING, begun)
    for name in begun:
        of = {m: report.estimate(runs.values(SETTING, name, m, seeds)) for m in METRICS}
        reached_90 = report.estimate(runs.values(SETTING, name, "updates_to_90", seeds)).values
        to_90 = f"{np.median(reached_90):.0f}" if len(reached_90) else "-"
        numbers = [report.interval(of[m], digits) for m, digits in METRICS.items()]
        rows.append([report.label(name), *numbers, f"{to_90} ({len(reached_90)})"])
    return report.table(
        ["", "AUC", "final", "dead groups, first quarter", "updates to 90 % (seeds)"], rows
    )


def paired_table(runs: report.Runs) -> str:
    rows = []
    for one, other in CONTRASTS:
        seeds = runs.shared_seeds(SETTING, [one, other])
        if not seeds:
            continue
        of = {m: runs.difference(SETTING, one, other, m, seeds) for m in METRICS}
        numbers = [report.signed(of[m], digits) for m, digits in METRICS.items()]
        rows.append([f"{report.label(one)} *minus* {report.label(other)}", *numbers])
    return report.table(["", "AUC", "final", "dead groups, first quarter"], rows)


def write_report(folder: Path, results: Path = RESULTS, page: Path = PAGE) -> None:
    """The CSV file of the runs in `folder`, if there are any; the tables of the CSV file."""
    found = [json.loads(file.read_text()) for file in sorted(folder.glob("*/seed*.json"))]
    if found:
        report.write_csv(results, map(row_of, found))
    with results.open() as stream:
        rows = list(csv.DictReader(stream))
    known = [finished(row) for row in rows]
    runs = report.Runs(known, fewest_seeds=1)
    dead = np.mean([one.metrics["dead_untrained"] for one in known])
    seeds = sorted({one.seed for one in known})
    report.fill(
        page,
        "trl origin",
        f"{len(known)} of the {len(ARMS) * len(SEEDS)} runs of `python examples/trl_study.py`, "
        f"seeds {seeds[0]} to {seeds[-1]}: {commits(known)}; TRL {rows[0]['trl']}, transformers "
        f"{rows[0]['transformers']}, torch {rows[0]['torch']}; {rows[0]['machine']}. Before "
        f"training {100 * dead:.0f} % of the groups are dead.",
    )
    report.fill(page, "trl", arms_table(runs))
    report.fill(page, "trl paired", paired_table(runs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="only the first so many")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time")
    parser.add_argument("--runs", type=Path, default=ppo.cache_folder() / "trl_runs")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--untrained", action="store_true", help="seeds 0 to 3, without training")
    arguments = parser.parse_args()
    if arguments.untrained:
        for seed in range(4):
            print(seed, trl_rooms.untrained(seed, batches=16))
    elif arguments.report:
        write_report(arguments.runs)
    else:
        run_all(SEEDS[: arguments.seeds], arguments.runs, arguments.processes)


if __name__ == "__main__":
    main()
