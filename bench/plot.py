"""Time and peak memory against the number of steps, drawn from the JSON of a `--scaling` run.

    python bench/end_to_end.py --scaling --json bench/results/scaling.json
    python bench/plot.py bench/results/scaling.json docs/images/scaling.svg

Both axes are logarithmic: a line that rises as steeply as the dotted one is linear. Grey text and
no background, so that one picture serves GitHub's light and dark pages.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

GREY = "#8b949e"  # readable on white and on GitHub's dark #0d1117
STYLES = {  # label, colour, marker
    "graphgpo": ("graphgpo", "#2f81f7", "o"),
    "vectorised": ("best vectorised Python", "#d29922", "s"),
    "vectorised_batch": ("vectorised, whole batch", "#e0823d", "^"),
    "numba": ("numba", "#3fb950", "P"),
    "plain": ("plain Python", "#a371f7", "D"),
    "recipe": ("as the official recipe", "#f85149", "v"),
}
STYLE: Any = {
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": GREY,
    "font.family": "sans-serif",
    "font.size": 10,
    "grid.alpha": 0.25,
    "grid.color": GREY,
    "svg.fonttype": "path",  # looks the same everywhere
    "svg.hashsalt": "graphgpo",  # the same bytes for the same numbers
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}

Series = dict[str, list[tuple[float, float]]]


def times(report: dict[str, Any]) -> Series:
    """(steps, ms) by contender."""
    series: Series = {}
    for row in report["times"]:
        for name, cell in row["contenders"].items():
            series.setdefault(name, []).append((row["steps"], cell["median_ms"]))
    return series


def peaks(report: dict[str, Any]) -> Series:
    """(steps, MB) by contender, where the call added anything to measure."""
    series: Series = {}
    for row in report["memory"]:
        if row["peak_bytes"] > 0:
            point = (row["steps"], row["peak_bytes"] / 1e6)
            series.setdefault(row["contender"], []).append(point)
    return series


def draw(axes: Any, series: Series, title: str, unit: str) -> None:
    for name, points in series.items():
        label, colour, marker = STYLES[name]
        steps, values = zip(*points, strict=True)
        axes.loglog(steps, values, color=colour, marker=marker, markersize=4, label=label)
        axes.annotate(
            f" {values[-1]:,.3g} {unit}", (steps[-1], values[-1]), color=colour, va="center"
        )
    first, last = series["graphgpo"][0], series["graphgpo"][-1]
    linear = [last[1] * first[0] / last[0], last[1]]
    axes.loglog([first[0], last[0]], linear, ":", color=GREY, linewidth=1, zorder=0)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("steps in the batch")
    axes.set_xlim(right=last[0] * 6)  # room for the last values
    axes.grid(which="major")
    axes.minorticks_off()


def main(source: Path, target: Path) -> None:
    report = json.loads(source.read_text())
    with mpl.rc_context(STYLE):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(9.5, 3.8), width_ratios=(3, 2), layout="constrained"
        )
        draw(left, times(report), "whole call, ms (ALFWorld-like, lists of str, 1 thread)", "ms")
        draw(right, peaks(report), "peak memory beyond the inputs, MB", "MB")
        left.legend(frameon=False, fontsize=9)
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target, transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
