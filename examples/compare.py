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
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.progress import Progress

import ppo
import report
import train_sokoban
import train_textworld

ROOT = Path(__file__).resolve().parents[1]
ESTIMATORS = ("grpo", "gigpo", "graphgpo")
ABLATED = ("coin105", "coin110", "sokoban")


@dataclass(frozen=True)
class Setting:
    """What is played, for how long."""

    problem: ppo.Problem
    max_steps: int
    iterations: int


def setting(name: str, seed: int) -> Setting:
    """The same games for every seed, except in "coin105_own_games"."""
    if name == "sokoban":
        return Setting(train_sokoban.sokoban(16, 16), max_steps=30, iterations=60)
    if name == "sokoban_other_rooms":
        rooms = train_sokoban.sokoban(16, 16, first_seed=1001)
        return Setting(rooms, max_steps=30, iterations=60)
    if name == "coin105_own_games":
        own = train_textworld.coin_collector(105, 8, 0, first_seed=101 + 8 * seed)
        return Setting(own, max_steps=25, iterations=30)
    if name.startswith("coin110_game"):
        alone = train_textworld.coin_collector(
            110, 1, 0, first_seed=int(name.removeprefix("coin110_game"))
        )
        return Setting(alone, max_steps=50, iterations=60)
    level = int(name.removeprefix("coin"))
    iterations = 60 if level > 105 else 30
    problem = train_textworld.coin_collector(level, 8, 8)
    return Setting(problem, max_steps=5 * (level % 100), iterations=iterations)


def make_games(name: str, seed: int) -> None:
    """So that they are made once, and not by every run that finds them missing."""
    if name.startswith("coin"):
        train_textworld.make_games(setting(name, seed).problem)


@dataclass(frozen=True)
class Arm:
    """An estimator, and the options that are not the defaults."""

    estimator: str
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return " ".join([self.estimator, *(f"{name}={value}" for name, value in self.options)])


def arm(estimator: str, **options: Any) -> Arm:
    return Arm(estimator, tuple(options.items()))


@dataclass(frozen=True)
class Experiment:
    settings: tuple[str, ...]
    arms: tuple[Arm, ...]
    seeds: int
    first_seed: int = 0


def three(**options: Any) -> tuple[Arm, ...]:
    return tuple(arm(estimator, **options) for estimator in ESTIMATORS)


ALONE = tuple(f"coin110_game{game}" for game in range(1, 9))  # the games of coin110, one by one

EXPERIMENTS = {
    "estimators": Experiment(("coin103", "coin105", "coin110", "sokoban"), three(), 8),
    "alone": Experiment(ALONE, three(), 8),
    "own_games": Experiment(("coin105_own_games",), three(), 8),
    "scale": Experiment(
        ABLATED,
        tuple(
            arm("graphgpo", omega=omega, epsilon_scale=scale)
            for omega in (0.1, 0.5, 0.8)
            for scale in ("relative", "absolute")
            if (omega, scale) != (0.1, "relative")  # the default
        ),
        8,
    ),
    "step_only": Experiment(
        ABLATED,
        (arm("gigpo", episode_weight=0.0), arm("graphgpo", episode_weight=0.0)),
        8,
    ),
    "kl": Experiment(ABLATED, three(kl_coef=0.05), 8),
    "group_size": Experiment(ABLATED, three(group_size=4) + three(group_size=16), 8),
    "entropy": Experiment(
        ("coin110",),
        (*three(dead_entropy=0.1), arm("graphgpo", entropy=0.05)),
        8,
    ),
}

# Frozen before any of its runs: what docs/spread.md says of these seeds was not chosen by them.
STUDY = Experiment(
    ("coin110", "coin105", "coin108", "sokoban", "sokoban_other_rooms"),
    (*three(), arm("spread"), arm("gigpo", spread_weight=1.0)),
    seeds=16,
    first_seed=16,
)
STUDY_CONTRASTS = [
    ("spread", "graphgpo"),
    ("spread", "gigpo"),
    ("spread", "grpo"),
    ("gigpo spread_weight=1.0", "gigpo"),
    ("spread memory=True", "spread"),
]
EXPERIMENTS["spread"] = STUDY
MEMORY = Experiment(STUDY.settings, (arm("spread", memory=True),), STUDY.seeds, STUDY.first_seed)
EXPERIMENTS["spread_memory"] = MEMORY

CONTRASTS = {
    "paired": (
        [("gigpo", "grpo"), ("graphgpo", "grpo"), ("graphgpo", "gigpo")],
        tuple(report.TITLES),
    ),
    "scale": (
        [
            ("graphgpo", "graphgpo omega=0.1 epsilon_scale=absolute"),
            (
                "graphgpo omega=0.5 epsilon_scale=relative",
                "graphgpo omega=0.5 epsilon_scale=absolute",
            ),
            (
                "graphgpo omega=0.8 epsilon_scale=relative",
                "graphgpo omega=0.8 epsilon_scale=absolute",
            ),
            ("graphgpo omega=0.5 epsilon_scale=relative", "graphgpo"),
            ("graphgpo omega=0.8 epsilon_scale=relative", "graphgpo"),
        ],
        ABLATED,
    ),
    "step_only": (
        [("gigpo episode_weight=0.0", "gigpo"), ("graphgpo episode_weight=0.0", "graphgpo")],
        ABLATED,
    ),
    "kl": (
        [
            ("grpo kl_coef=0.05", "grpo"),
            ("gigpo kl_coef=0.05", "gigpo"),
            ("graphgpo kl_coef=0.05", "graphgpo"),
            ("graphgpo kl_coef=0.05", "gigpo kl_coef=0.05"),
        ],
        ABLATED,
    ),
    "group_size": (
        [
            (f"{better} group_size={size}", f"{worse} group_size={size}")
            for size in (4, 16)
            for better, worse in (("graphgpo", "gigpo"), ("graphgpo", "grpo"))
        ],
        ABLATED,
    ),
    "remedies": (
        [
            ("graphgpo dead_entropy=0.1", "graphgpo"),
            ("graphgpo entropy=0.05", "graphgpo"),
            ("graphgpo kl_coef=0.05", "graphgpo"),
            ("graphgpo kl_coef=0.05", "grpo"),
            ("gigpo dead_entropy=0.1", "gigpo"),
            ("grpo dead_entropy=0.1", "grpo"),
        ],
        ("coin110",),
    ),
}


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


def origin(experiment: str) -> dict[str, Any]:
    """Where and with what the runs were made."""
    packages = ("graphgpo", "torch", "numpy", "textworld", "gym-sokoban")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT
    )
    return {
        "command": f"python examples/compare.py --experiment {experiment}",
        "commit": commit.stdout.strip(),
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
    """CSV files and tables of the study of spread credit, as far as it is run."""
    results = ROOT / "bench" / "results" / "spread"
    if finished:
        report.write_results(finished, results, origin("spread spread_memory"))
    if not results.exists():
        return
    finished = report.read_results(results)
    where = json.loads((results / "origin.json").read_text())
    planned = len(jobs(["spread", "spread_memory"], None, None))
    page = ROOT / "docs" / "spread.md"
    report.fill(
        page,
        "study origin",
        f"{'' if len(finished) == planned else '**Partial:** '}{len(finished)} of the {planned} "
        f"runs of `{where['command']}` are finished, commit {where['commit']}; {where['machine']}.",
    )
    runs = report.Runs(finished, fewest_seeds=1)
    arms = [arm.name for arm in (*STUDY.arms, *MEMORY.arms)]
    report.fill(page, "study", report.study_table(runs, arms, STUDY.settings))
    report.fill(page, "study paired", report.contrasts_table(runs, STUDY_CONTRASTS, STUDY.settings))


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
