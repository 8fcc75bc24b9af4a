"""CSV files, tables and figures of finished runs, for docs/does_it_help.md; see compare.py.

Whatever is compared is paired by seed: same policy at the start, same first rollouts, same games.
Intervals are 95 % bootstrap intervals over seeds (10,000 resamples, percentiles).
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("svg")
import matplotlib.pyplot as plt

NUM_RESAMPLES = 10_000
NUM_FINAL = 5  # iterations, at the end of a run, whose mean is called final
FEWEST_SEEDS = 4  # of an arm, to stand in a table
TITLES = {
    "coin103": "Coin collector, 3 rooms away",
    "coin105": "Coin collector, 5 rooms away",
    "coin105_own_games": "5 rooms away, other games for every seed",
    "coin110": "Coin collector, 10 rooms away",
    "sokoban": "Sokoban 6x6",
    "coin108": "Coin collector, 8 rooms away",
    "sokoban_other_rooms": "Sokoban 6x6, other rooms",
    "lake": "Frozen lake 6x6",
    "lake_slip": "Frozen lake 6x6, 20 % slip",
    "coin110_noise": "10 rooms away, noise that never recurs",
    "coin110_noise12": "10 rooms away, noise of 12 texts",
    "coin110_noise_read": "10 rooms away, noise that never recurs, read by the policy",
    "coin110_noise12_read": "10 rooms away, noise of 12 texts, read by the policy",
    "coin105_hopeless2": "5 rooms away, 2 of 8 games hopeless (at most .75)",
    "coin105_hopeless6": "5 rooms away, 6 of 8 games hopeless (at most .25)",
    "coin110_hopeless2": "10 rooms away, 2 of 8 games hopeless (at most .75)",
    "coin110_16games": "10 rooms away, 16 games",
    "coin110_32games": "10 rooms away, 32 games",
}
ESTIMATORS = {"grpo": "GRPO", "gigpo": "GiGPO", "graphgpo": "GraphGPO"}
NAMES = {**ESTIMATORS, "spread": "Spread"}
COLOURS = {"grpo": "#a371f7", "gigpo": "#d29922", "graphgpo": "#2f81f7"}
STUDY_COLOURS = {**COLOURS, "spread": "#3fb950"}
GREY = "#8b949e"  # readable on white and on GitHub's dark background
METRICS = ("auc", "final", "iterations_to_90", "length", "held_out", "held_out_length")
CURVES = (
    "success",
    "solution_length",
    "dead_groups",
    "singleton_share",
    "surprise",
    "surprise_dead_groups",
)


@dataclass(frozen=True)
class Finished:
    """What is left of a run."""

    setting: str
    arm: str
    seed: int
    curve: Mapping[str, NDArray[np.float64]]
    metrics: Mapping[str, float]
    seconds: Mapping[str, float]
    wall: float
    commit: str = ""
    """Of the program; a + stands for changes beyond it."""


def read_runs(folder: Path) -> list[Finished]:
    runs = [_read(json.loads(file.read_text())) for file in sorted(folder.glob("*/*/seed*.json"))]
    return sorted(runs, key=lambda run: (run.setting, run.arm, run.seed))


def _read(result: Mapping[str, Any]) -> Finished:
    curve = {name: np.array([row[name] for row in result["curve"]], dtype=float) for name in CURVES}
    success = curve["success"]
    above = np.flatnonzero(success >= 0.9)
    nothing = {"success": math.nan, "solution_length": math.nan}
    held_out, untrained = result.get("held_out", nothing), result.get("untrained", nothing)
    metrics = {
        "auc": success.mean(),
        "final": success[-NUM_FINAL:].mean(),
        "iterations_to_90": above[0] + 1 if len(above) else math.nan,
        "length": _mean(curve["solution_length"][-NUM_FINAL:]),
        "held_out": held_out["success"],
        "held_out_length": held_out["solution_length"],
        "untrained": untrained["success"],
        "dead_groups": curve["dead_groups"][-NUM_FINAL:].mean(),
        "surprise": curve["surprise"][-NUM_FINAL:].mean(),
        "surprise_dead_groups": _mean(curve["surprise_dead_groups"][-NUM_FINAL:]),
    }
    return Finished(
        result["setting"],
        result["arm"],
        result["options"]["seed"],
        curve,
        {name: float(value) for name, value in metrics.items()},
        result["seconds"],
        result["wall"],
        result.get("commit", ""),
    )


def games_alone(runs: Sequence[Finished], together: str, settings: Sequence[str]) -> list[Finished]:
    """Runs of one game each, gathered to one run of the setting that has them together.

    A metric is the mean over the games for which it is a number.
    """
    by_run: dict[tuple[str, int], list[Finished]] = {}
    for run in runs:
        if run.setting in settings:
            by_run.setdefault((run.arm, run.seed), []).append(run)
    return [
        Finished(
            together,
            f"{arm} games=alone",
            seed,
            {"success": np.mean([game.curve["success"] for game in games], axis=0)},
            {
                name: _mean(np.array([game.metrics[name] for game in games]))
                for name in games[0].metrics
            },
            {},
            sum(game.wall for game in games),
        )
        for (arm, seed), games in by_run.items()
        if len(games) == len(settings)
    ]


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


# --- statistics -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its interval."""

    mean: float
    low: float
    high: float
    values: NDArray[np.float64]

    @property
    def above(self) -> int:
        return int((self.values > 0).sum())

    @property
    def below(self) -> int:
        return int((self.values < 0).sum())


def estimate(values: Iterable[float]) -> Estimate:
    """Of the values that are numbers; NaN without any."""
    numbers = np.array([value for value in values if not math.isnan(value)])
    if not len(numbers):
        return Estimate(math.nan, math.nan, math.nan, numbers)
    draws = np.random.default_rng(0).integers(len(numbers), size=(NUM_RESAMPLES, len(numbers)))
    low, high = np.percentile(numbers[draws].mean(axis=1), [2.5, 97.5])
    return Estimate(float(numbers.mean()), float(low), float(high), numbers)


class Runs:
    """Finished runs, by setting and arm."""

    def __init__(self, runs: Sequence[Finished], fewest_seeds: int = FEWEST_SEEDS) -> None:
        self.fewest_seeds = fewest_seeds
        self.by_arm: dict[tuple[str, str], dict[int, Finished]] = {}
        for run in runs:
            self.by_arm.setdefault((run.setting, run.arm), {})[run.seed] = run

    def shared_seeds(self, setting: str, arms: Iterable[str]) -> list[int]:
        """Seeds that every one of the arms has finished."""
        finished = [self.by_arm.get((setting, arm), {}).keys() for arm in arms]
        return sorted(set.intersection(*map(set, finished))) if finished else []

    def values(self, setting: str, arm: str, metric: str, seeds: Sequence[int]) -> list[float]:
        return [self.by_arm[setting, arm][seed].metrics[metric] for seed in seeds]

    def difference(
        self, setting: str, arm: str, other: str, metric: str, seeds: Sequence[int]
    ) -> Estimate:
        """Of arm minus other, seed by seed."""
        mine = self.values(setting, arm, metric, seeds)
        theirs = self.values(setting, other, metric, seeds)
        return estimate(m - t for m, t in zip(mine, theirs, strict=True))

    def settings(self, arms: Sequence[str]) -> list[str]:
        """In which all arms have enough seeds."""
        return [name for name in TITLES if len(self.shared_seeds(name, arms)) >= self.fewest_seeds]


# --- tables ---------------------------------------------------------------------------------------


def number(value: float, digits: int) -> str:
    return (
        "-"
        if math.isnan(value)
        else f"{value:.{digits}f}".replace("0.", ".", 1)
        if abs(value) < 1
        else f"{value:.{digits}f}"
    )


def interval(e: Estimate, digits: int) -> str:
    if math.isnan(e.mean):
        return "-"
    return f"{number(e.mean, digits)} [{number(e.low, digits)}, {number(e.high, digits)}]"


def signed(e: Estimate, digits: int) -> str:
    """Mean difference, interval, and in how many seeds it is above and below 0."""
    if math.isnan(e.mean):
        return "-"
    sign = "+" if e.mean > 0 else ""
    return f"{sign}{interval(e, digits)}, {e.above}:{e.below}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines)


def estimators_table(runs: Runs) -> str:
    rows = []
    for setting in runs.settings(list(ESTIMATORS)):
        seeds = runs.shared_seeds(setting, ESTIMATORS)
        for arm, title in ESTIMATORS.items():
            of = {m: estimate(runs.values(setting, arm, m, seeds)) for m in METRICS}
            reached = of["iterations_to_90"].values
            to_90 = f"{np.median(reached):.0f} ({len(reached)})" if len(reached) else "- (0)"
            rows.append(
                [
                    f"{TITLES[setting]}, {len(seeds)} seeds" if arm == "grpo" else "",
                    title,
                    interval(of["auc"], 3),
                    interval(of["final"], 2),
                    to_90,
                    interval(of["length"], 1),
                    interval(of["held_out"], 2),
                ]
            )
        untrained = estimate(runs.values(setting, "grpo", "untrained", seeds))
        if not math.isnan(untrained.mean):
            rows.append(["", "untrained", "", "", "", "", interval(untrained, 2)])
    head = ["games", "", "AUC", "final", "to 90 % (seeds)", "steps to the goal", "held out"]
    return table(head, rows)


def dead_groups_table(runs: Runs, arms: Sequence[str], settings: Sequence[str]) -> str:
    """How the arms end: games that are never won, and how sure the policy is in them."""
    rows = []
    for setting in settings:
        for arm in arms:
            seeds = runs.shared_seeds(setting, [arm])
            if len(seeds) < FEWEST_SEEDS:
                continue
            final, dead, surprise = (
                estimate(runs.values(setting, arm, metric, seeds))
                for metric in ("final", "dead_groups", "surprise_dead_groups")
            )
            numbers = [interval(final, 2), interval(dead, 2), interval(surprise, 2)]
            rows.append([TITLES[setting], str(len(seeds)), label(arm), *numbers])
    head = ["games", "seeds", "", "final", "dead games", "entropy there (nats)"]
    return table(head, without_repetition(rows))


def study_table(runs: Runs, arms: Sequence[str], settings: Sequence[str]) -> str:
    """How the arms that were begun did, over the seeds that every one of them has."""
    rows = []
    metrics = {"auc": 3, "final": 2, "dead_groups": 2, "length": 1}
    for setting in settings:
        begun = [arm for arm in arms if (setting, arm) in runs.by_arm]
        seeds = runs.shared_seeds(setting, begun)
        for arm in begun if len(seeds) >= runs.fewest_seeds else ():
            found = {m: estimate(runs.values(setting, arm, m, seeds)) for m in metrics}
            numbers = [interval(found[m], digits) for m, digits in metrics.items()]
            rows.append([f"{TITLES[setting]}, {len(seeds)} seeds", label(arm), *numbers])
    head = ["games", "", "AUC", "final", "dead games", "steps to the goal"]
    return table(head, without_repetition(rows))


def contrasts_table(runs: Runs, pairs: Sequence[tuple[str, str]], settings: Sequence[str]) -> str:
    """One row per setting and pair of arms, over the seeds that both arms have."""
    rows = []
    for setting in settings:
        for arm, other in pairs:
            seeds = runs.shared_seeds(setting, [arm, other])
            if len(seeds) < runs.fewest_seeds:
                continue
            of = {m: runs.difference(setting, arm, other, m, seeds) for m in METRICS}
            rows.append(
                [
                    TITLES[setting],
                    str(len(seeds)),
                    f"{label(arm)} *minus* {label(other)}",
                    signed(of["auc"], 3),
                    signed(of["final"], 2),
                    signed(of["length"], 1),
                    signed(of["held_out"], 2),
                ]
            )
    head = ["games", "seeds", "", "AUC", "final", "steps to the goal", "held out"]
    return table(head, without_repetition(rows))


def cost_table(runs: Sequence[Finished]) -> str:
    """Seconds of a run, and what they were spent on."""
    rows = []
    for arm, title in ESTIMATORS.items():
        of_arm = [run for run in runs if run.arm == arm]
        if of_arm:
            spent = {name: sum(run.seconds[name] for run in of_arm) for name in of_arm[0].seconds}
            shares = [f"{seconds / sum(spent.values()):.2%}" for seconds in spent.values()]
            wall = np.mean([run.wall for run in of_arm])
            rows.append([title, str(len(of_arm)), f"{wall:.0f}", *shares])
    return table(["", "runs", "seconds a run", "rollouts", "advantages", "update"], rows)


def without_repetition(rows: Sequence[list[str]]) -> list[list[str]]:
    """The first column only where it changes."""
    before = ["", *(row[0] for row in rows)]
    return [["" if row[0] == b else row[0], *row[1:]] for row, b in zip(rows, before, strict=False)]


def label(arm: str) -> str:
    estimator, _, options = arm.partition(" ")
    title = NAMES.get(estimator, estimator.partition(":")[2] or estimator)
    changed = [option.replace("_", " ").replace("=", " ") for option in options.split()]
    return ", ".join([title, *changed])


def write_csv(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    rows = list(rows)
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def rounded(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def write_results(
    runs: Sequence[Finished],
    folder: Path,
    origin: Mapping[str, Any],
    arms: Iterable[str] = ESTIMATORS,
    curves: Sequence[str] = CURVES,
) -> None:
    """runs.csv has a row per run, curves.csv a row per iteration of the runs of these arms."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(
        folder / "runs.csv",
        (
            {"setting": run.setting, "arm": run.arm, "seed": run.seed}
            | {name: rounded(value) for name, value in run.metrics.items()}
            | {"commit": run.commit}
            for run in runs
        ),
    )
    write_csv(
        folder / "curves.csv",
        (
            {"setting": run.setting, "estimator": run.arm, "seed": run.seed, "iteration": i + 1}
            | {name: rounded(run.curve[name][i]) for name in curves}
            for run in runs
            if run.arm in arms
            for i in range(len(run.curve["success"]))
        ),
    )
    (folder / "origin.json").write_text(json.dumps(origin, indent=2) + "\n")


def read_results(folder: Path) -> list[Finished]:
    """The runs that `write_results` wrote, to four digits."""
    with (folder / "curves.csv").open() as stream:
        curves: dict[tuple[str, ...], list[dict[str, str]]] = {}
        for row in csv.DictReader(stream):
            curves.setdefault((row["setting"], row["estimator"], row["seed"]), []).append(row)
    with (folder / "runs.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return [
        Finished(
            row["setting"],
            row["arm"],
            int(row["seed"]),
            {
                name: np.array([number_or_nan(point[name]) for point in points])
                for name in CURVES
                if (points := curves.get((row["setting"], row["arm"], row["seed"])))
                and name in points[0]
            },
            {name: number_or_nan(row[name]) for name in list(row)[3:] if name != "commit"},
            {},
            math.nan,
            row.get("commit", ""),
        )
        for row in rows
    ]


def number_or_nan(text: str) -> float:
    return float(text) if text else math.nan


# --- figures --------------------------------------------------------------------------------------

STYLE: Any = {
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": GREY,
    "axes.titlesize": 10,
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.alpha": 0.25,
    "grid.color": GREY,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "graphgpo",  # the same bytes for the same numbers
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def band(axes: Any, curves: NDArray[np.float64], colour: str, title: str, style: str = "-") -> None:
    """Mean over seeds, and the seeds between the lowest and the highest tenth."""
    known = np.where(np.isnan(curves).all(axis=0), 0.0, curves)
    x = np.arange(1, curves.shape[1] + 1)
    low, high = np.nanpercentile(known, [10, 90], axis=0)
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(x, np.nanmean(known, axis=0), style, color=colour, label=title, linewidth=1.6)


def stacked(runs: Runs, setting: str, arm: str, curve: str, seeds: Sequence[int]) -> Any:
    return np.array([runs.by_arm[setting, arm][seed].curve[curve] for seed in seeds])


def learning_curves(runs: Runs) -> Any:
    settings = runs.settings(list(ESTIMATORS))
    figure, panels = plt.subplots(1, len(settings), figsize=(3.1 * len(settings), 2.9))
    for axes, setting in zip(np.atleast_1d(panels), settings, strict=True):
        seeds = runs.shared_seeds(setting, ESTIMATORS)
        for arm, title in ESTIMATORS.items():
            band(axes, stacked(runs, setting, arm, "success", seeds), COLOURS[arm], title)
        axes.set(title=TITLES[setting], xlabel="iteration", ylim=(0, 1.02))
        axes.grid(True)
    panels[0].set_ylabel("success on training games")
    panels[0].legend(loc="lower right")
    return figure


def over_training(runs: Runs) -> Any:
    """Dead groups, singletons, entropy and solution length."""
    settings = [s for s in ("coin105", "coin110", "sokoban") if s in runs.settings([*ESTIMATORS])]
    shown = {
        "dead_groups": "games no rollout won",
        "singleton_share": "steps from states with one edge",
        "surprise": "entropy of the policy (nats)",
        "solution_length": "steps to the goal",
    }
    figure, panels = plt.subplots(
        len(settings), len(shown), figsize=(12.4, 2.3 * len(settings)), squeeze=False
    )
    for axes, title in zip(panels[0], shown.values(), strict=True):
        axes.set_title(title)
    for axes in panels[-1]:
        axes.set_xlabel("iteration")
    for row, setting in zip(panels, settings, strict=True):
        seeds = runs.shared_seeds(setting, ESTIMATORS)
        for axes, curve in zip(row, shown, strict=True):
            for arm, name in ESTIMATORS.items():
                band(axes, stacked(runs, setting, arm, curve, seeds), COLOURS[arm], name)
            axes.grid(True)
            axes.set_ylim(bottom=0)
        row[0].set_ylabel(TITLES[setting].removeprefix("Coin collector, "))
    panels[0][0].legend(loc="upper right")
    return figure


def iterations_to_90(runs: Runs) -> Any:
    """A dot per seed; those that never got there stand above the line."""
    settings = runs.settings(list(ESTIMATORS))
    figure, panels = plt.subplots(1, len(settings), figsize=(3.1 * len(settings), 2.6))
    for axes, setting in zip(np.atleast_1d(panels), settings, strict=True):
        seeds = runs.shared_seeds(setting, ESTIMATORS)
        length = len(runs.by_arm[setting, "grpo"][seeds[0]].curve["success"])
        for i, (arm, _) in enumerate(ESTIMATORS.items()):
            values = np.array(runs.values(setting, arm, "iterations_to_90", seeds))
            spread = np.linspace(-0.25, 0.25, len(values))
            where = np.where(np.isnan(values), length * 1.12, values)
            axes.scatter(i + spread, where, s=12, color=COLOURS[arm], alpha=0.8, linewidths=0)
        axes.axhline(length * 1.04, color=GREY, linewidth=0.8, linestyle=":")
        ticks = range(0, length + 1, 10 if length < 60 else 20)
        axes.set_yticks([*ticks, length * 1.12], [*map(str, ticks), "never"])
        axes.set_xticks(range(3), list(ESTIMATORS.values()))
        axes.set(title=TITLES[setting], ylim=(0, length * 1.2))
        axes.grid(True, axis="y")
    panels[0].set_ylabel("iterations to 90 % success")
    return figure


def games_apart(runs: Runs) -> Any:
    """The sparse games, trained together by one policy and each by a policy of its own."""
    figure, panels = plt.subplots(1, 3, figsize=(9.6, 2.9), sharey=True)
    for axes, (arm, title) in zip(panels, ESTIMATORS.items(), strict=True):
        alone = f"{arm} games=alone"
        for name, colour, style in ((arm, GREY, "--"), (alone, COLOURS[arm], "-")):
            seeds = runs.shared_seeds("coin110", [name])
            shown = "a policy each" if name == alone else "one policy for all games"
            band(axes, stacked(runs, "coin110", name, "success", seeds), colour, shown, style)
        axes.set(title=f"{title}, 10 rooms away", xlabel="iteration", ylim=(0, 1.02))
        axes.grid(True)
        axes.legend(loc="lower right")
    panels[0].set_ylabel("success on training games")
    return figure


def spread_curves(runs: Runs) -> Any:
    """With spread credit and without, where a policy may collapse before all games are won."""
    begun = [s for s in ("coin110", "coin108", "sokoban", "lake") if (s, "spread") in runs.by_arm]
    figure, panels = plt.subplots(1, len(begun), figsize=(3.1 * len(begun), 2.9), squeeze=False)
    for axes, setting in zip(panels[0], begun, strict=True):
        seeds = runs.shared_seeds(setting, NAMES)
        for arm, title in NAMES.items():
            band(axes, stacked(runs, setting, arm, "success", seeds), STUDY_COLOURS[arm], title)
        axes.set(title=TITLES[setting], xlabel="iteration", ylim=(0, 1.02))
        axes.grid(True)
    panels[0][0].set_ylabel("success on training games")
    panels[0][0].legend(loc="upper left")
    return figure


STUDY_FIGURES = {"spread_curves": spread_curves}
FIGURES = {
    "training_curves": learning_curves,
    "training_metrics": over_training,
    "training_to_90": iterations_to_90,
    "training_apart": games_apart,
}


def write_figures(
    runs: Runs, folder: Path, figures: Mapping[str, Callable[[Runs], Any]] = FIGURES
) -> None:
    with plt.rc_context(STYLE):
        for name, draw in figures.items():
            figure = draw(runs)
            figure.tight_layout()
            figure.savefig(folder / f"{name}.png", dpi=90, transparent=True)
            figure.savefig(folder / f"{name}.svg", transparent=True, metadata={"Date": None})
            plt.close(figure)
            svg = folder / f"{name}.svg"
            # A tenth of a point is finer than any screen; the rest is weight.
            text = re.sub(r"(\d+\.\d)\d{2,}", r"\1", svg.read_text())
            svg.write_text(text.replace(" \nL ", "L"))


def fill(file: Path, name: str, text: str) -> None:
    """Put `text` between the markers of `name`."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = file.read_text().partition(begin)
    _, _, after = rest.partition(end)
    if not after:
        raise SystemExit(f"{file} has no place for the table {name!r}")
    file.write_text(f"{before}{begin}\n{text}\n\n{end}{after}")
