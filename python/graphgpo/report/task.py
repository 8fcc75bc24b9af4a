"""Everything the page says of one task, as values for JSON, and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphgpo.graph import value_at
from graphgpo.report.batch import Batch, outcome, task_name, trajectories
from graphgpo.report.figure import MOST_STATES, node_names, title_of
from graphgpo.report.labels import MOST_TEXT, are_telling, as_text, common_beginning, shortened
from graphgpo.report.layout import place
from graphgpo.report.svg import graph_svg
from graphgpo.report.traffic import Ints, Kind, Traffic, most_visited, traffic_at
from graphgpo.report.why import Reader, rounded

MOST_ROLLOUTS = 64
"""Of a task that are shown step by step."""

MOST_TURNS = 500
"""Of a rollout that are shown."""

MOST_CHARACTERS = 1_000_000
"""Of states of a task; where there are more, each is cut."""


@dataclass(frozen=True)
class Task:
    """One task of the page."""

    name: str
    training_step: int | None
    num_rollouts: int
    num_solved: int
    num_steps: int
    num_disagreements: int
    picture: str
    values: dict[str, Any]
    notes: tuple[str, ...]
    """What was left out, in words."""


def task_of(batch: Batch, position: int, reader: Reader, label: Any = None) -> Task:
    """The task at a position of `batch.nodes`. `label` names a state, see `draw`."""
    group = list(batch.nodes)[position]
    rows = batch.rows_of(position)
    by_rollout = trajectories(batch.rollouts, rows)
    starts = [int(batch.first.state_ids[own[0]]) for own in by_rollout.values()]
    traffic = traffic_at(batch.graph, group, batch.nodes[group], np.array(starts, np.int64))
    drawn = most_visited(traffic, MOST_STATES)
    chosen = _chosen(batch, by_rollout)
    shown = {name: by_rollout[name][:MOST_TURNS] for name in chosen}
    steps = np.concatenate(list(shown.values()))
    verdicts = {key: outcome(batch.rollouts, own) for key, own in by_rollout.items()}
    task, training_step = task_name(group)

    notes = []
    if len(drawn.nodes) < len(traffic.nodes):
        notes.append(
            f"The {len(drawn.nodes)} most visited of {len(traffic.nodes)} states are drawn."
        )
    if len(chosen) < len(by_rollout):
        notes.append(f"{len(chosen)} of {len(by_rollout)} rollouts are listed.")
    num_long = sum(len(by_rollout[key]) > MOST_TURNS for key in chosen)
    if num_long:
        notes.append(f"Of {num_long} rollouts the first {MOST_TURNS} steps are listed.")
    whole_task = reader.read(np.sort(rows).tolist())
    why = {
        title: reader.explained(estimator, steps.tolist(), whole_task)
        for title, estimator in batch.estimators.items()
    }
    if None in why.values():
        notes.append("Too many steps to explain each: the peers of a step are left out.")

    position_of = dict(zip(traffic.nodes.tolist(), range(len(traffic.nodes)), strict=True))
    state_names = node_names(traffic, label, 40)
    texts = [as_text(state) for state in traffic.states]
    drawn_names = [state_names[position_of[node]] for node in drawn.nodes.tolist()]
    layout = place(drawn, names=are_telling(drawn_names))
    credit = {
        title: [
            [rounded(x) for x in drawn.mean_per_edge(values).tolist()]
            for values in (result.advantages, result.step_advantages)
        ]
        for title, result in batch.results.items()
    }
    values = {
        "name": task,
        "nodes": _nodes(traffic, state_names, texts),
        "at": [[round(x, 1), round(y, 1)] for x, y in zip(layout.x, layout.y, strict=True)],
        "drawn": [position_of[node] for node in drawn.nodes.tolist()],
        "edges": {
            "source": drawn.sources.tolist(),
            "target": drawn.targets.tolist(),
            "count": drawn.counts.tolist(),
            "credit": credit,
        },
        "rollouts": [
            {
                "name": name,
                "solved": verdicts[key],
                "length": len(by_rollout[key]),
                "shown": len(own),
            }
            for name, (key, own) in zip(_rollout_names(chosen), shown.items(), strict=True)
        ],
        "steps": _steps(batch, steps, position_of, drawn),
        "why": why,
    }
    first = next(iter(batch.results.values()))
    picture = graph_svg(
        drawn,
        layout,
        drawn.mean_per_edge(first.advantages),
        drawn_names,
        title=title_of(drawn),
        is_figure=False,
    )
    return Task(
        name=task,
        training_step=training_step,
        num_rollouts=len(by_rollout),
        num_solved=sum(verdict is True for verdict in verdicts.values()),
        num_steps=len(rows),
        num_disagreements=int(batch.disagrees[rows].sum()),
        picture=picture,
        values=values,
        notes=tuple(notes),
    )


def _chosen(batch: Batch, by_rollout: dict[Any, Ints]) -> list[Any]:
    """Rollouts that are listed: all or, of many, those with the most disagreements, in order."""
    keys = list(by_rollout)
    if len(keys) <= MOST_ROLLOUTS:
        return keys
    counts = [int(batch.disagrees[by_rollout[key]].sum()) for key in keys]
    best = sorted(range(len(keys)), key=lambda i: (-counts[i], i))[:MOST_ROLLOUTS]
    return [keys[i] for i in sorted(best)]


def _rollout_names(keys: Sequence[Any]) -> list[str]:
    """Their ids, without a long beginning that all share."""
    texts = [shortened(as_text(key), 80) for key in keys]
    shared = common_beginning(set(texts)) if len(texts) > 1 else ""
    begin = max(shared.rfind(mark) for mark in "_-|/ .") + 1
    return texts if begin < _LONG else [f"…{text[begin - 1 :]}" for text in texts]


_LONG = 8


def _nodes(traffic: Traffic, short: Sequence[str], texts: Sequence[str]) -> dict[str, Any]:
    most = min(MOST_TEXT, MOST_CHARACTERS // max(len(texts), 1))
    is_state = [kind is Kind.STATE for kind in traffic.kinds]
    return {
        "name": list(short),
        "kind": [kind.value for kind in traffic.kinds],
        "text": [t[:most] if own else "" for t, own in zip(texts, is_state, strict=True)],
        "left": [
            max(0, len(t) - most) if own else 0 for t, own in zip(texts, is_state, strict=True)
        ],
        "distance": [rounded(d) for d in traffic.distances.tolist()],
        "reached": traffic.reached.astype(int).tolist(),
        "visits": traffic.visits.tolist(),
    }


def _steps(batch: Batch, rows: Ints, position_of: dict[int, int], drawn: Traffic) -> dict[str, Any]:
    first = batch.first
    edge_of_row = dict(zip(drawn.rows.tolist(), drawn.edge_of_step.tolist(), strict=True))
    actions = batch.rollouts.columns.get("actions")
    done = [None if actions is None else value_at(actions, row) for row in rows.tolist()]

    def numbers(values: Any) -> list[float | None]:
        return [rounded(x) for x in values[rows].tolist()]

    return {
        "source": [position_of[n] for n in first.state_ids[rows].tolist()],
        "target": [position_of[n] for n in first.next_state_ids[rows].tolist()],
        "edge": [edge_of_row.get(row, -1) for row in rows.tolist()],
        "row": rows.tolist(),
        "action": ["" if a is None else as_text(a)[:400] for a in done],
        "distance": numbers(first.distances),
        "nextDistance": numbers(first.next_distances),
        "disagrees": batch.disagrees[rows].astype(int).tolist(),
        "credit": {
            title: {
                "all": numbers(result.advantages),
                "step": numbers(result.step_advantages),
                "episode": numbers(result.episode_advantages),
            }
            for title, result in batch.results.items()
        },
    }
