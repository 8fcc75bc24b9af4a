"""Figures of a task's graph, for a talk or a paper."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from graphgpo.graph import StateGraph
from graphgpo.report import style
from graphgpo.report.labels import are_telling, as_text, names, shortened
from graphgpo.report.layout import place
from graphgpo.report.svg import graph_svg
from graphgpo.report.traffic import Kind, Traffic, most_visited, traffic_of

MOST_STATES = 500
"""Of a picture; of larger graphs it shows the most visited."""


def draw(
    graph: StateGraph,
    credits: Any = None,
    *,
    group: Any = None,
    labels: Any = None,
    theme: Literal["light", "dark"] = "light",
) -> str:
    """The merged graph of one task as SVG.

    Columns are distances, the goal stands on the right; lines are as wide as their transitions are
    common. Blue and solid: credit above 0 on average; orange and dashed: below 0; grey: none.
    States without a way to the goal have a band of their own, by steps from the start. Of more
    than 500 states the most visited are shown.

    Parameters
    ----------
    graph : StateGraph
        From `Rollouts.graph()`.
    credits : StepAdvantages or (N,) array, optional
        One number per row of the batch the graph was made of.
    group : id, optional
        Which task, where the graph has several.
    labels : callable, optional
        A short name for a state; None: its first line without what all states begin with.
    theme : {"light", "dark"}
        Which ground the picture is for.

    Returns
    -------
    str
        An SVG document that needs nothing else, the same for the same input.

    Raises
    ------
    ValueError
        If the graph has several tasks and `group` names none of them, or there are fewer credits
        than rows.

    Examples
    --------
    >>> import graphgpo
    >>> rollouts = graphgpo.Rollouts(
    ...     ["hall", "kitchen", "hall"], group_ids=[0] * 3, trajectory_ids=[0, 0, 1],
    ...     success=[True, True, False],
    ... )
    >>> picture = draw(rollouts.graph(), rollouts.advantages("graphgpo"))
    >>> picture.startswith("<svg"), picture.count("data-node"), picture.count("data-edge")
    (True, 4, 3)
    """
    if str(theme) not in ("light", "dark"):
        raise ValueError(f"theme is {theme!r}; expected 'light' or 'dark'")
    if not isinstance(graph, StateGraph):
        raise TypeError(f"graph is a {type(graph).__name__}; expected that of Rollouts.graph()")
    traffic = most_visited(traffic_of(graph, group), MOST_STATES)
    credit = None
    if credits is not None:
        try:
            per_row = np.asarray(credits, np.float64)
        except (TypeError, ValueError, RuntimeError):  # of a tensor with a gradient
            raise TypeError(
                f"credits is a {type(credits).__name__}; expected a number for each of the rows"
            ) from None
        needed = int(graph.edge_rows.max(initial=-1)) + 1
        if per_row.ndim != 1 or len(per_row) < needed:
            raise ValueError(
                f"credits has shape {per_row.shape}; expected a number for each of the "
                f"{needed} rows or more"
            )
        credit = traffic.mean_per_edge(per_row)
    short = node_names(traffic, labels)
    colours = style.DARK if theme == "dark" else style.LIGHT
    return graph_svg(
        traffic,
        place(traffic, names=are_telling(short)),
        credit,
        short,
        title=title_of(traffic),
        style=style.resolved(style.graph_rules(), colours),
    )


def node_names(traffic: Traffic, label: Any = None, most: int = 18) -> list[str]:
    """A short name for every node; `label` makes one of a state."""
    if label is not None and not callable(label):
        raise TypeError(f"labels is a {type(label).__name__}; expected a function of a state")
    short = [_NAMES.get(kind, "") for kind in traffic.kinds]
    own = [i for i, kind in enumerate(traffic.kinds) if kind is Kind.STATE]
    states = [traffic.states[i] for i in own]
    found = (
        names([as_text(state) for state in states], most)
        if label is None
        else [shortened(as_text(label(state)), most) for state in states]
    )
    for i, name in zip(own, found, strict=True):
        short[i] = name or "(empty)"
    return short


_NAMES = {Kind.GOAL: "goal", Kind.LEAF: "end"}


def title_of(traffic: Traffic) -> str:
    """The picture in words."""
    lost = int((~traffic.reached).sum())
    way = f", {lost} of them without a way to the goal" if lost else ""
    return (
        f"Merged graph of task {as_text(traffic.group)}: {len(traffic.nodes)} states{way}, "
        f"{len(traffic.sources)} transitions"
    )
