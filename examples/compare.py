"""The experiment behind docs/does_it_help.md: estimators, options and seeds, paired by seed.

    python examples/compare.py                     # 3 estimators x 3 seeds, minutes
    python examples/compare.py --experiment all    # everything, hours; from cached transitions
    python examples/compare.py --report            # CSV, tables and figures of finished runs

Runs that are finished are skipped, so it can be stopped and called again at any time. Seeds are the
outer loop: whenever it is stopped, all arms have nearly the same seeds, and the report uses only
those that every arm of an experiment has.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.progress import Progress

import ppo
import report
from experiments import (
    ALONE,
    ATTACKS,
    CONTRASTS,
    ESTIMATORS,
    EXPERIMENTS,
    LAKE,
    MEMORY,
    MEMORY_ALONE,
    STUDY,
    STUDY_CONTRASTS,
    Arm,
    three,
)
from settings import make_games, setting

ROOT = Path(__file__).resolve().parents[1]


# --- running --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    setting: str
    arm: Arm
    seed: int
    cache: bool

    def file(self, folder: Path) -> Path:
        return folder / self.setting / self.arm.name.replace(" ", ",") / f"seed{self.seed}.json"


def jobs(experiments: list[str], settings: list[str] | None, seeds: int | None) -> list[Job]:
    """Of all experiments, seed by seed."""
    listed = []
    for i in range(max(seeds or e.seeds for e in EXPERIMENTS.values())):
        for name in experiments:
            experiment = EXPERIMENTS[name]
            seed = experiment.first_seed + i
            if i < (seeds or experiment.seeds):
                for place in experiment.settings:
                    if not settings or place in settings:
                        listed += [Job(place, arm, seed, cache=True) for arm in experiment.arms]
    return list(dict.fromkeys(listed))


def play(job: Job, folder: Path) -> None:
    """One run, in a process of the pool; its result is one JSON file."""
    where = setting(job.setting, job.seed)
    given = dict(job.arm.options)
    of_run = {field.name for field in fields(ppo.Options)} & given.keys()
    options = ppo.Options(
        estimator=job.arm.estimator,
        estimator_options={name: value for name, value in given.items() if name not in of_run},
        seed=job.seed,
        max_steps=where.max_steps,
        **{name: given[name] for name in of_run},
    )
    start = time.perf_counter()
    run = ppo.Run(where.problem, options)
    records = ppo.train(run, where.iterations, cache=job.cache)
    result = {
        "setting": job.setting,
        "arm": job.arm.name,
        "commit": commit(),
        "options": run.identity(),
        "cache": job.cache,
        "curve": run.curve,
        "seconds": {name: sum(row[name] for row in run.seconds) for name in run.seconds[0]},
        "wall": time.perf_counter() - start,
        **records,
    }
    ppo.write_atomically(job.file(folder), json.dumps(result).encode())


def run_all(listed: Sequence[Job], folder: Path, processes: int) -> None:
    """Those that are not finished, a few at a time."""
    left = [job for job in listed if not job.file(folder).exists()]
    for name, seed in dict.fromkeys((job.setting, job.seed) for job in left):
        make_games(name, seed)
    print(f"{len(listed)} runs, {len(listed) - len(left)} of them finished before")
    with ProcessPoolExecutor(processes, mp_context=ppo.SPAWN) as pool, Progress() as progress:
        shown = progress.add_task("runs", total=len(left))
        running = [pool.submit(play, job, folder) for job in left]
        try:
            for done in as_completed(running):
                done.result()
                progress.advance(shown)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def commit() -> str:
    """Of this checkout; a + stands for changes beyond it."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def origin(experiment: str) -> dict[str, Any]:
    """Where and with what the runs were made."""
    packages = ("graphgpo", "torch", "numpy", "textworld", "gym-sokoban")
    return {
        "command": f"python examples/compare.py --experiment {experiment}",
        "commit": commit(),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
        "machine": f"{os.cpu_count()} cores of {processor()}",
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def default_comparison(folder: Path, processes: int, seeds: int) -> None:
    """Three estimators through TextWorld itself; what a user tries first."""
    listed = [Job("coin105", arm, seed, cache=False) for seed in range(seeds) for arm in three()]
    start = time.perf_counter()
    run_all(listed, folder, processes)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    cores = (spent.ru_utime + spent.ru_stime) / 60
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes, {cores:.1f} of one core's time")
    finished = report.read_runs(folder)
    print(report.estimators_table(report.Runs(finished, fewest_seeds=1)))
    print(report.cost_table(finished))


def write_study(finished: Sequence[report.Finished]) -> None:
    """CSV files, tables and the figure of the study of spread credit, as far as it is run.

    Runs that stand in the files stay, unless they are among these.
    """
    results = ROOT / "bench" / "results" / "spread"
    experiments = [n for n, of in EXPERIMENTS.items() if of.first_seed == STUDY.first_seed]
    if finished:
        known = report.read_results(results) if results.exists() else []
        where = origin(" ".join(experiments))
        if known:
            before = json.loads((results / "origin.json").read_text())["machine"].split(", ")
            where["machine"] = ", ".join(dict.fromkeys([*before, where["machine"]]))
        by_job = {(run.setting, run.arm, run.seed): run for run in (*known, *finished)}
        report.write_results(
            [by_job[job] for job in sorted(by_job)],
            results,
            where,
            arms=report.NAMES,
            curves=("success", "dead_groups"),
        )
    if not results.exists():
        return
    finished = report.read_results(results)
    where = json.loads((results / "origin.json").read_text())
    planned = len(jobs(experiments, None, None))
    page = ROOT / "docs" / "spread.md"
    report.fill(
        page,
        "study origin",
        f"{'' if len(finished) == planned else '**Partial:** '}{len(finished)} of the {planned} "
        f"runs of `{where['command']}` are finished: {commits(finished)}; {where['machine']}.",
    )
    runs = report.Runs(finished, fewest_seeds=1)
    arms = [arm.name for arm in (*STUDY.arms, *MEMORY.arms, *MEMORY_ALONE.arms)]
    settings = (*STUDY.settings, *LAKE.settings)
    report.fill(page, "study", report.study_table(runs, arms, settings))
    report.fill(page, "study paired", report.contrasts_table(runs, STUDY_CONTRASTS, settings))
    for name, experiment in ATTACKS.items():
        if experiment is not LAKE:
            arms = [arm.name for arm in experiment.arms]
            report.fill(page, name, report.study_table(runs, arms, experiment.settings))
    report.write_figures(runs, ROOT / "docs" / "images", report.STUDY_FIGURES)


def commits(finished: Sequence[report.Finished]) -> str:
    """How many runs were made with which commit."""
    of = Counter(run.commit for run in finished)
    return ", ".join(f"{count} with commit {name}" for name, count in of.most_common())


def write_report(folder: Path) -> None:
    """CSV files of the runs in `folder`, if there are any; tables and figures of the CSV files."""
    results = ROOT / "bench" / "results" / "training"
    finished = report.read_runs(folder)
    write_study([run for run in finished if run.seed >= STUDY.first_seed])
    if finished := [run for run in finished if run.seed < STUDY.first_seed]:
        report.write_results(finished, results, origin("all"))
    finished = report.read_results(results)
    where = json.loads((results / "origin.json").read_text())
    runs = report.Runs([*finished, *report.games_alone(finished, "coin110", ALONE)])
    page = ROOT / "docs" / "does_it_help.md"
    others = [name for name, of in EXPERIMENTS.items() if of.first_seed < STUDY.first_seed]
    report.fill(
        page,
        "origin",
        f"{len(finished)} of the {len(jobs(others, None, None))} runs of "
        f"`{where['command']}`, commit {where['commit']}; TextWorld "
        f"{where['textworld']}, gym-sokoban {where['gym-sokoban']}, torch {where['torch']}, numpy "
        f"{where['numpy']}, Python {where['python']}; {where['machine']}.",
    )
    report.fill(page, "estimators", report.estimators_table(runs))
    for name, (pairs, settings) in CONTRASTS.items():
        report.fill(page, name, report.contrasts_table(runs, pairs, settings))
    alone = [*ESTIMATORS, *(f"{estimator} games=alone" for estimator in ESTIMATORS)]
    report.fill(page, "alone", report.dead_groups_table(runs, alone, ("coin110",)))
    tried = list(dict.fromkeys(arm for pair in CONTRASTS["remedies"][0] for arm in pair))
    report.fill(page, "dead_groups", report.dead_groups_table(runs, tried, ("coin110",)))
    if uncached := report.read_runs(folder / "uncached"):
        report.fill(page, "cost", report.cost_table(uncached))
    report.write_figures(runs, ROOT / "docs" / "images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--experiment", nargs="+", choices=[*EXPERIMENTS, "all"])
    parser.add_argument("--setting", nargs="+", help="only these, such as coin105")
    parser.add_argument("--seeds", type=int, help="only the first so many")
    parser.add_argument("--processes", type=int, default=2, help="runs at a time")
    parser.add_argument("--runs", type=Path, default=ppo.cache_folder() / "runs")
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    if arguments.report:
        write_report(arguments.runs)
    elif arguments.experiment:
        names = list(EXPERIMENTS) if "all" in arguments.experiment else arguments.experiment
        listed = jobs(names, arguments.setting, arguments.seeds)
        run_all(listed, arguments.runs, arguments.processes)
    else:
        default_comparison(arguments.runs / "uncached", arguments.processes, arguments.seeds or 3)


if __name__ == "__main__":
    main()
