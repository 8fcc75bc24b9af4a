"""How a training run fares: metrics by training step, and small charts of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphgpo.problems.warning import told_elsewhere
from graphgpo.report.batch import Batch, taken, task_name
from graphgpo.report.labels import shortened
from graphgpo.report.svg import attribute, escaped
from graphgpo.rollouts import Rollouts

CHARTS = {
    "success_rate": "rollouts that reach the goal",
    "groups_mixed": "tasks with successes and failures",
    "zero_advantage_share": "steps without credit",
    "merge_ratio": "steps that share their state",
    "progress_in_failed": "progress inside failures",
    "mean_distance": "mean distance to the goal",
}
"""Metrics that are drawn, and what they say."""

MOST_POINTS = 400
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 264.0, 116.0, 8.0, 58.0, 12.0, 20.0
_DASHES = ("", "5 3", "1.5 3", "8 3 2 3")


@dataclass(frozen=True)
class Health:
    """Metrics over training: `values[estimator][i]` are those of `steps[i]`."""

    steps: tuple[int, ...]
    values: dict[str, tuple[dict[str, float], ...]]


def health_of(batch: Batch) -> Health | None:
    """The metrics of each training step; None: there are not several."""
    training_steps = [task_name(group)[1] for group in batch.nodes]
    distinct = sorted({step for step in training_steps if step is not None})
    if len(distinct) < 2:
        return None
    if len(distinct) > MOST_POINTS:
        places = np.linspace(0, len(distinct) - 1, MOST_POINTS).round().astype(int)
        distinct = [distinct[i] for i in np.unique(places).tolist()]
    of_task = np.array([math.nan if s is None else float(s) for s in training_steps])
    of_row = of_task[batch.edge_tasks]
    values: dict[str, list[dict[str, float]]] = {title: [] for title in batch.results}
    for step in distinct:
        rows = np.sort(batch.graph.edge_rows[of_row == step])
        columns: dict[str, Any] = {
            name: taken(column, rows)
            for name, column in batch.rollouts.merged_columns.items()
            if name != "mask"  # masked rows are no steps
        }
        with told_elsewhere():
            results = Rollouts(**columns).compare(list(batch.estimators.values()))
        for title, result in zip(batch.results, results.values(), strict=True):
            values[title].append(
                {k.removeprefix("graphgpo/"): v for k, v in result.metrics.items()}
            )
    return Health(tuple(distinct), {title: tuple(found) for title, found in values.items()})


def charts(health: Health) -> list[tuple[str, str, str]]:
    """Of every metric: its name, what it says, and its chart."""
    return [
        (metric, meaning, chart(metric, health))
        for metric, meaning in CHARTS.items()
        if all(metric in one for found in health.values.values() for one in found)
    ]


def chart(metric: str, health: Health) -> str:
    """One metric over training steps, a line for every estimator that has its own values."""
    lines = _distinct_lines(metric, health)
    known = [v for _, values in lines for v in values if math.isfinite(v)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    span = (high - low) or 1.0
    first, last = health.steps[0], health.steps[-1]

    def x(step: float) -> float:
        return _LEFT + (step - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _TOP + (1 - (value - low) / span) * (_HEIGHT - _TOP - _BOTTOM)

    words = "; ".join(
        f"{f'{title}: ' if title else ''}{values[0]:.3g} at step {first}, {values[-1]:.3g} at "
        f"step {last}"
        for title, values in lines
    )
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" '
        f"aria-label={attribute(f'{metric}: {words}')}>"
    ]
    for value in (low, high):
        parts.append(
            f'<path class="rule" d="M{_LEFT:g} {y(value):.1f}H{_WIDTH - _RIGHT:g}"/>'
            f'<text class="tick" x="{_LEFT:g}" y="{y(value) - 3:.1f}">{value:.3g}</text>'
        )
    parts.append(
        f'<text class="tick" x="{_LEFT:g}" y="{_HEIGHT - 5:g}">step {first}</text>'
        f'<text class="tick" x="{_WIDTH - _RIGHT:g}" y="{_HEIGHT - 5:g}" text-anchor="end">'
        f"{last}</text>"
    )
    ends: list[float] = []
    for i, (title, values) in enumerate(lines):
        points = [
            f"{x(step):.1f} {y(value):.1f}"
            for step, value in zip(health.steps, values, strict=True)
            if math.isfinite(value)
        ]
        if not points:
            continue
        dash = _DASHES[i % len(_DASHES)]
        parts.append(f'<path class="curve" d="M{"L".join(points)}" stroke-dasharray="{dash}"/>')
        end = float(points[-1].split()[1])
        parts.append(f'<circle class="end" cx="{points[-1].split()[0]}" cy="{end}" r="2.5"/>')
        if all(abs(end - other) >= 11 for other in ends):
            label = f"{values[-1]:.2f}" if not title else escaped(shortened(title, 11))
            parts.append(
                f'<text class="value" x="{_WIDTH - _RIGHT + 6:g}" y="{end + 3.5:.1f}">'
                f"{label}</text>"
            )
            ends.append(end)
    return "".join([*parts, "</svg>"])


def _distinct_lines(metric: str, health: Health) -> list[tuple[str, Sequence[float]]]:
    """One nameless line where all estimators agree, else one each."""
    lines = [(title, [one[metric] for one in found]) for title, found in health.values.items()]
    first = lines[0][1]
    if all(np.array_equal(first, values, equal_nan=True) for _, values in lines):
        return [("", first)]
    return list(lines)
