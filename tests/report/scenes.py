"""Batches that several tests of the report draw."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np

import graphgpo
from graphgpo.demo import ENVIRONMENTS, load_actions, load_rollouts
from graphgpo.report.figure import MOST_STATES
from graphgpo.report.traffic import Traffic, most_visited, traffic_of

HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "</template><img src=x onerror=\"document.title='owned'\">",
    "\u202egnp.exe\u2066 &amp; <b>bold</b> \ud800 \x00\x1b[31m",
    "]]> <!-- \u2028 'quotes' \"quotes\"",
)


@functools.cache
def shipped(environment: str) -> graphgpo.Rollouts:
    return graphgpo.Rollouts(**load_rollouts(environment), actions=load_actions(environment))


@functools.cache
def shipped_graph(environment: str) -> graphgpo.StateGraph:
    return shipped(environment).graph()


def shipped_traffics() -> list[Traffic]:
    return [
        traffic_of(shipped_graph(environment), group)
        for environment in ENVIRONMENTS
        for group in range(4)
    ]


def walks(seed: int, num_states: int, num_rollouts: int, length: int) -> graphgpo.Rollouts:
    """Random walks over a world of this many rooms; a few end at its last."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        name: [] for name in ("states", "next_states", "trajectory_ids", "success", "actions")
    }
    for rollout in range(num_rollouts):
        room = 0
        path = [room]
        for _ in range(length):
            room = int(np.clip(room + rng.integers(-3, 5), 0, num_states - 1))
            path.append(room)
            if room == num_states - 1:
                break
        won = path[-1] == num_states - 1
        for here, there in itertools.pairwise(path):
            columns["states"].append(f"room {here}")
            columns["next_states"].append(f"room {there}")
            columns["trajectory_ids"].append(rollout)
            columns["success"].append(won)
            columns["actions"].append(f"go {there - here}")
    return graphgpo.Rollouts(**columns, group_ids=[0] * len(columns["states"]))


def maze(num_states: int) -> graphgpo.Rollouts:
    """One task of so many states and the goal, a quarter of them without a way to it."""
    wide = 8
    with_way = num_states - num_states // 4
    columns: dict[str, Any] = {
        name: [] for name in ("states", "next_states", "trajectory_ids", "success", "actions")
    }

    def add(rollout: int, path: list[int], won: bool) -> None:
        for here, there in itertools.pairwise(path):
            columns["states"].append(f"cell {here:05d} of the maze, a page of text")
            columns["next_states"].append(f"cell {there:05d} of the maze, a page of text")
            columns["trajectory_ids"].append(rollout)
            columns["success"].append(won)
            columns["actions"].append(f"to {there}")

    rng = np.random.default_rng(0)
    layers = [list(range(i, min(i + wide, with_way))) for i in range(1, with_way, wide)]
    for rollout in range(wide):
        path = [0, *(layer[rollout % len(layer)] for layer in layers), num_states]
        add(rollout, path, won=True)
    lost = list(range(with_way, num_states))
    for rollout in range(wide, 2 * wide):
        path = [0, int(rng.choice(layers[0])), *lost[rollout - wide :: wide]]
        add(rollout, path, won=False)
    return graphgpo.Rollouts(**columns, group_ids=[0] * len(columns["states"]))


def hostile() -> graphgpo.Rollouts:
    """Rollouts of which every text is an attack or a nuisance."""
    states = [*HOSTILE, *HOSTILE]
    return graphgpo.Rollouts(
        states=[text.replace("\ud800", "\ufffd") for text in states],
        group_ids=[HOSTILE[0]] * 8,
        trajectory_ids=[HOSTILE[1]] * 4 + [HOSTILE[2].replace("\ud800", "")] * 4,
        actions=[text.replace("\ud800", "") for text in reversed(states)],
        success=[True] * 4 + [False] * 4,
    )


def drawn(graph: graphgpo.StateGraph, group: Any = None) -> Traffic:
    return most_visited(traffic_of(graph, group), MOST_STATES)
