"""The page: one HTML file that asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from graphgpo._core import __version__
from graphgpo.counts import at_least_one
from graphgpo.report import style
from graphgpo.report.batch import Batch, credited, named, telling
from graphgpo.report.health import charts, health_of
from graphgpo.report.labels import shortened, texts
from graphgpo.report.problems import facts_of, listed, problems_of
from graphgpo.report.svg import NO_CREDIT, attribute, escaped
from graphgpo.report.task import Task, task_of
from graphgpo.report.why import Reader

if TYPE_CHECKING:
    from graphgpo.problems import Problem
    from graphgpo.rollouts import Rollouts

ESTIMATORS = ("grpo", "gigpo", "graphgpo")
"""Compared unless others are chosen."""

TOP = 8
"""Tasks that are shown unless more or others are asked for."""


def page(
    rollouts: Rollouts,
    estimators: Sequence[Any] = ESTIMATORS,
    *,
    title: str = "Rollouts",
    tasks: Iterable[str] = (),
    top: int = TOP,
    notes: Sequence[str] = (),
    label: Any = None,
) -> str:
    """The report as HTML, the same for the same input.

    Parameters
    ----------
    rollouts : Rollouts
        The batch; its actions, where it has any, are shown.
    estimators : sequence
        Names, mappings or estimators, as `Rollouts.compare` takes them.
    title : str
        What stands above the page.
    tasks : iterable of str
        Ids of the tasks to show; a name without its training step means all of them. Empty: the
        `top` tasks with the most steps on whose credit the estimators disagree in sign.
    top : int
        How many tasks, >= 1.
    notes : sequence of str
        Sentences of the reader of the files that belong to the problems.
    label : callable, optional
        A short name for a state.

    Returns
    -------
    str
        The document. Of a task at most 500 states are drawn and 64 rollouts of 500 steps listed;
        it says so where there are more.

    Raises
    ------
    ValueError
        If there are no steps, no estimator, or no such task.

    Examples
    --------
    >>> import graphgpo
    >>> rollouts = graphgpo.Rollouts(
    ...     ["hall", "kitchen", "hall"], group_ids=[0] * 3, trajectory_ids=[0, 0, 1],
    ...     success=[True, True, False],
    ... )
    >>> page(rollouts, ["grpo", "graphgpo"], title="Mugs")[:15]
    '<!doctype html>'
    """
    most = at_least_one("top", top)
    if not isinstance(title, str):
        raise TypeError(f"title is a {type(title).__name__}; expected text")
    wanted, notes = texts("tasks", tasks), texts("notes", notes)
    batch = credited(rollouts, estimators)
    if not batch.nodes:
        raise ValueError("the rollouts have no steps; expected at least one")
    positions = named(batch, wanted) if wanted else telling(batch, most)
    reader = Reader(rollouts)
    shown = [task_of(batch, position, reader, label) for position in positions]
    return _document(title, batch, shown, notes)


def _document(title: str, batch: Batch, tasks: Sequence[Task], notes: Sequence[str]) -> str:
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    names = list(batch.results)
    colours = _colours(names)
    data = [_json("report", {"estimators": names, "colours": colours, "noCredit": NO_CREDIT})]
    data += [_json(f"task-{i}", task.values) for i, task in enumerate(tasks)]
    pictures = [
        f'<template id="graph-{i}">{task.picture}</template>' for i, task in enumerate(tasks)
    ]
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta name="generator" content="graphgpo {__version__}">',
        '<meta name="color-scheme" content="light dark">',
        f'<title>{escaped(shortened(title, 120))}</title>\n<link rel="icon" href="data:,">',
        f"<style>{_rules()}</style>\n</head>\n<body>",
        '<a class="skip" href="#tasks">Skip to the tasks</a>\n<div class="wrap">',
        _header(title, batch),
        "<main>",
        _problems(batch, notes),
        _health(batch),
        _tasks(batch, tasks),
        _metrics(batch),
        "</main>",
        f"<footer>Made by graphgpo {__version__}. This file holds everything it shows.</footer>",
        '</div>\n<p class="sr" id="status" role="status"></p>',
        *pictures,
        *data,
        f"<script>{script}</script>\n</body>\n</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _asset(name: str) -> str:
    return resources.files("graphgpo.report").joinpath(name).read_text(encoding="utf-8")


def _rules() -> str:
    return (
        f":root {{ color-scheme: light dark; --font: {style.FONT}; "
        f"{style.variables(style.LIGHT)} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ "
        f"{style.variables(style.DARK)} }} }}\n{style.graph_rules()}{_asset('page.css')}"
    )


def _json(name: str, value: Any) -> str:
    """Data for the script; `<` would end it too early, and U+2028 is no space to everyone."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    text = text.replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _colours(names: Sequence[str]) -> str:
    """The estimator whose credit the graph shows at first."""
    return "graphgpo" if "graphgpo" in names else names[0]


def _header(title: str, batch: Batch) -> str:
    m = {k.removeprefix("graphgpo/"): v for k, v in batch.first.metrics.items()}
    counts = {
        word: m[f"num_{name}"]
        for word, name in (
            ("task", "groups"),
            ("rollout", "trajectories"),
            ("step", "steps"),
            ("state", "states"),
        )
    }
    facts = {
        **{word if count == 1 else f"{word}s": f"{count:,.0f}" for word, count in counts.items()},
        "rollouts reach the goal": f"{m['success_rate']:.0%}",
        "steps share their state": f"{m['merge_ratio']:.0%}",
    }
    if len(batch.results) > 1:
        share = batch.disagrees[batch.graph.edge_rows].mean()
        facts["steps rewarded by one estimator, punished by another"] = f"{share:.0%}"
    items = "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in facts.items())
    by = escaped(listed(list(batch.results)))
    return (
        f'<header><p class="brand">Credit for single steps: {by}</p>'
        f'<h1><bdi>{escaped(title)}</bdi></h1><dl class="facts">{items}</dl></header>'
    )


def _problems(batch: Batch, notes: Sequence[str]) -> str:
    found = problems_of(batch)
    items = [_problem(problem, whose) for problem, whose in found]
    said = [*facts_of(batch), *notes]
    items += [f'<li class="said"><p><bdi>{escaped(note)}</bdi></p></li>' for note in said]
    if not items:
        return ""
    listed = "\n".join(items)
    return (
        '<section aria-labelledby="problems-title"><h2 id="problems-title">To know first</h2>'
        f'<ul class="problems">{listed}</ul></section>'
    )


def _problem(problem: Problem, whose: str) -> str:
    remedy = f'<p class="muted">Write <code>{escaped(problem.remedy)}</code>.</p>'
    near = problem.nearest or ()
    lines = "\n".join(escaped(state.marked) for state in near)
    shown = f'<pre dir="auto">{lines}</pre>' if near else ""
    words = f"{problem.words[:1].upper()}{problem.words[1:].removesuffix('.')}."
    aside = f'<span class="aside">{escaped(whose)}</span>' if whose else ""
    return (
        f"<li><p><b>{escaped(problem.name)}</b>{aside}</p><p><bdi>{escaped(words)}</bdi></p>"
        f"{remedy if problem.remedy else ''}{shown}</li>"
    )


def _health(batch: Batch) -> str:
    health = health_of(batch)
    if health is None:
        return ""
    figures = "\n".join(
        f"<figure>{drawing}<figcaption><b>{metric}</b><br>{meaning}</figcaption></figure>"
        for metric, meaning, drawing in charts(health)
    )
    return (
        '<section aria-labelledby="health-title"><h2 id="health-title">Over training</h2>'
        f'<div class="charts">{figures}</div></section>'
    )


def _tasks(batch: Batch, tasks: Sequence[Task]) -> str:
    number = len(batch.nodes)
    which = (
        "All tasks."
        if len(tasks) == number
        else f"{len(tasks)} of {number:,} tasks: those that were asked for, or on whose steps the "
        "estimators disagree most."
    )
    picker = "".join(f"<li>{_task_button(i, task)}</li>" for i, task in enumerate(tasks))
    about = "".join(_about(i, task) for i, task in enumerate(tasks))
    radios = "".join(
        f'<label><input type="radio" name="estimator" value={attribute(name)}'
        f"{' checked' if name == _colours(list(batch.results)) else ''}>{escaped(name)}</label>"
        for name in batch.results
    )
    return Template(_asset("tasks.html")).substitute(
        which=which, picker=picker, about=about, radios=radios, legend=_legend()
    )


def _task_button(i: int, task: Task) -> str:
    step = "" if task.training_step is None else f"step {task.training_step}, "
    apart = f", {task.num_disagreements} ≠" if task.num_disagreements else ""
    return (
        f'<button type="button" aria-current="{"true" if i == 0 else "false"}">'
        f'<bdi class="name">{escaped(shortened(task.name, 60))}</bdi>'
        f'<span class="sub">{step}{task.num_solved} of {task.num_rollouts} solved{apart}</span>'
        "</button>"
    )


def _about(i: int, task: Task) -> str:
    solved = (
        "none reached the goal" if task.num_solved == 0 else f"{task.num_solved} reached the goal"
    )
    apart = (
        f", on {task.num_disagreements:,} of which the estimators disagree in sign"
        if task.num_disagreements
        else ""
    )
    words = f"{task.num_rollouts} rollouts, {solved}; {task.num_steps:,} steps{apart}."
    notes = "".join(f' <span class="note">{escaped(note)}</span>' for note in task.notes)
    hidden = "" if i == 0 else " hidden"
    return (
        f'<div data-about="{i}"{hidden}>'
        f"<h3>Task <bdi>{escaped(shortened(task.name, 200))}</bdi></h3>"
        f'<p class="muted">{words}{notes}</p></div>'
    )


def _legend() -> str:
    def key(kind: str, words: str) -> str:
        sample = (
            f'<svg class="graph" viewBox="0 0 30 12" aria-hidden="true"><g class="edge {kind}">'
            '<path class="way" d="M1 6H22" stroke-width="3"/>'
            '<path class="tip" d="M29 6L21 10L21 2Z"/></g></svg>'
        )
        return f'<span class="key">{sample}{words}</span>'

    return "".join(
        [
            key("plus", "credit above 0"),
            key("minus", "credit below 0"),
            key("none", "none"),
            '<span class="key">width: how often it was taken</span>',
            '<span class="key">size: visits</span>',
            '<span class="key">▶ start, ◉ goal, ↻ the state stays</span>',
            '<span class="key hide">arrow keys follow transitions, Enter says why</span>',
        ]
    )


def _metrics(batch: Batch) -> str:
    by_name = {
        title: {k.removeprefix("graphgpo/"): v for k, v in result.metrics.items()}
        for title, result in batch.results.items()
    }
    names = dict.fromkeys(name for metrics in by_name.values() for name in metrics)
    values = {name: [metrics.get(name) for metrics in by_name.values()] for name in names}
    own = [name for name in names if len({*values[name]}) > 1]
    common = {name: values[name][:1] for name in names if name not in own}
    tables = [_table("of the batch", ["value"], common)]
    if own:
        tables.append(_table("of the credit", list(by_name), {name: values[name] for name in own}))
    return (
        '<section aria-labelledby="metrics-title"><h2 id="metrics-title">All metrics</h2>'
        f'<div class="pair">{"".join(tables)}</div></section>'
    )


def _table(title: str, heads: Sequence[str], rows: Mapping[str, Sequence[float | None]]) -> str:
    head = "".join(f'<th scope="col" class="right">{escaped(one)}</th>' for one in heads)
    body = "".join(
        f'<tr><th scope="row">{escaped(name)}</th>'
        + "".join(f'<td class="right">{_value(value)}</td>' for value in values)
        + "</tr>"
        for name, values in rows.items()
    )
    return (
        f'<div><table class="metrics"><thead><tr><th scope="col">{title}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _value(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"
