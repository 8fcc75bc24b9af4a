"""Real rollouts that ship with the package, and the credit three estimators give them.

`load_rollouts` and `load_actions` are for everybody who wants real data to try the library on; the
rest is what `graphgpo demo` shows, as numbers. How it looks is `demo_page`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

import graphgpo
from graphgpo import estimators
from graphgpo.result import StepAdvantages


class RolloutColumns(TypedDict):
    """Columns as `graphgpo.compute_advantages` takes them, one row per step."""

    states: list[str]
    next_states: list[str]
    group_ids: NDArray[np.int64]
    trajectory_ids: NDArray[np.int64]
    step_ids: NDArray[np.int64]
    success: NDArray[np.bool_]


def load_rollouts(name: str = "textworld") -> RolloutColumns:
    """Real rollouts that ship with the package: "textworld", "sokoban" or "minigrid".

    Four tasks (groups) of eight rollouts each by a random policy, some of which reach the goal.
    One row per step: `states` and `next_states` are lists of N str; `group_ids`, `trajectory_ids`
    and `step_ids` (N,) int64; `success` (N,) bool, the rollout's outcome on each of its rows. All
    are arguments of `graphgpo.compute_advantages`. Another name is a `ValueError`.

    >>> rollouts = load_rollouts("textworld")
    >>> rollouts["states"][1][:40]
    "-= Studio =- You've entered a studio. Th"
    >>> graphgpo.compute_advantages(**rollouts).advantages.shape
    (937,)
    """
    arrays = _load_arrays(name)
    texts = arrays["texts"].tolist()
    return {
        "states": [texts[i] for i in arrays["state"]],
        "next_states": [texts[i] for i in arrays["next_state"]],
        "group_ids": arrays["group_id"].astype(np.int64),
        "trajectory_ids": arrays["trajectory_id"].astype(np.int64),
        "step_ids": arrays["step_id"].astype(np.int64),
        "success": arrays["success"],
    }


def load_actions(name: str = "textworld") -> list[str]:
    """The action of every row of `load_rollouts(name)`: no estimator needs it, readers do.

    >>> load_actions("textworld")[:3]
    ['look', 'inventory', 'inventory']
    """
    arrays = _load_arrays(name)
    action_names = arrays["action_names"].tolist()
    return [action_names[i] for i in arrays["action"]]


def _load_arrays(name: str) -> dict[str, NDArray[Any]]:
    if name not in ENVIRONMENTS:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(map(repr, ENVIRONMENTS))}")
    file = resources.files("graphgpo").joinpath("data", f"{name}.npz")
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return dict(arrays)


@dataclass(frozen=True)
class Environment:
    """How to speak of one environment's rollouts."""

    title: str
    task: str
    state_label: Callable[[str], str]
    """A short line that tells a state from its neighbours."""
    state_note: str
    """What that line says."""


def _textworld_label(state: str) -> str:
    """'Cellar, coin here' from '-= Cellar =- You are in a cellar. There is a coin ...'."""
    room = state.removeprefix("-= ").split(" =-", 1)[0]
    if "carrying: a coin" in state:
        return f"{room}, coin taken"
    return f"{room}, coin here" if "a coin" in state else room


def _sokoban_label(state: str) -> str:
    """The board's rows without the wall around them: '__##/_O__/__X_/_#P_'."""
    return "/".join(row[1:-1] for row in state.split("\n")[1:-1])


def _minigrid_label(state: str) -> str:
    """'1,3 < key locked': column and row of the agent, where it faces, the key it has, the door."""
    _mission, *rows, carrying = state.split("\n")
    facing = {"<<": "<", ">>": ">", "^^": "^", "VV": "v"}
    cells = {
        (left // 2, row): text[left : left + 2]  # two characters a cell
        for row, text in enumerate(rows)
        for left in range(0, len(text), 2)
    }
    column, row = next(place for place, cell in cells.items() if cell in facing)
    kinds = {cell[0] for cell in cells.values()}
    door = "locked" if "L" in kinds else "closed" if "D" in kinds else "open"
    key = "key " if "key" in carrying else ""
    return f"{column},{row} {facing[cells[column, row]]} {key}{door}"


ENVIRONMENTS: dict[str, Environment] = {
    "textworld": Environment(
        "TextWorld coin collector",
        "find the coin and take it",
        _textworld_label,
        "the room the agent is in",
    ),
    "sokoban": Environment(
        "Sokoban 6x6",
        "push the box X onto the goal O",
        _sokoban_label,
        "the rows of the board inside its outer wall",
    ),
    "minigrid": Environment(
        "MiniGrid DoorKey 5x5",
        "unlock the door with the key and reach G",
        _minigrid_label,
        "column,row of the agent and where it faces, the key if it has it, the door",
    ),
}

ESTIMATORS = {estimators.load(name).__name__: name for name in ("grpo", "gigpo", "graphgpo")}
"""Title of a column and the estimator behind it, in the order they stand on the page."""


@dataclass(frozen=True)
class CreditedGroup:
    """The rows of one group and what each estimator makes of them."""

    number: int
    rollouts: RolloutColumns
    actions: list[str]
    results: dict[str, StepAdvantages]
    """By title, see ESTIMATORS."""

    @property
    def trajectories(self) -> list[int]:
        return [int(t) for t in np.unique(self.rollouts["trajectory_ids"])]

    def rows_of(self, trajectory: int) -> NDArray[np.intp]:
        """Rows of one trajectory in the order of its steps."""
        rows = np.flatnonzero(self.rollouts["trajectory_ids"] == trajectory)
        return rows[np.argsort(self.rollouts["step_ids"][rows])]

    def succeeded(self, trajectory: int) -> bool:
        return bool(self.rollouts["success"][self.rows_of(trajectory)].any())

    @property
    def has_success(self) -> bool:
        return bool(self.rollouts["success"].any())

    @property
    def distances(self) -> NDArray[np.float64]:
        return self.results["GraphGPO"].distances

    @property
    def next_distances(self) -> NDArray[np.float64]:
        return self.results["GraphGPO"].next_distances

    @property
    def closer(self) -> NDArray[np.bool_]:
        return self.next_distances < self.distances

    @property
    def farther(self) -> NDArray[np.bool_]:
        return self.next_distances > self.distances

    @property
    def max_known_distance(self) -> float:
        """Beyond it lie the states from which no rollout shows a way to the goal."""
        return self.results["GraphGPO"].metrics["graphgpo/max_distance"]

    def disagree(self, title: str, other: str) -> NDArray[np.bool_]:
        """Steps one of the two rewards and the other punishes."""
        return self.results[title].advantages * self.results[other].advantages < 0


def credit_group(environment: str, number: int, *, omega: float | None = None) -> CreditedGroup:
    """Run the three estimators on one group, every option but omega at its default."""
    rollouts, actions = load_rollouts(environment), load_actions(environment)
    rows = np.flatnonzero(rollouts["group_ids"] == number)
    group: RolloutColumns = {
        "states": [rollouts["states"][row] for row in rows],
        "next_states": [rollouts["next_states"][row] for row in rows],
        "group_ids": rollouts["group_ids"][rows],
        "trajectory_ids": rollouts["trajectory_ids"][rows],
        "step_ids": rollouts["step_ids"][rows],
        "success": rollouts["success"][rows],
    }
    chosen = [
        {"estimator": name} if name != "graphgpo" or omega is None else {"omega": omega}
        for name in ESTIMATORS.values()
    ]
    results = graphgpo.Rollouts(**group).compare(chosen)
    return CreditedGroup(
        number,
        group,
        [actions[row] for row in rows],
        {title: results[name] for title, name in ESTIMATORS.items()},
    )


def telling_trajectories(group: CreditedGroup) -> list[int]:
    """A failure and a success worth reading, as far as the group has them.

    The failure that came nearest to the goal, and the shortest success that strayed on its way.
    """

    def nearest(trajectory: int) -> float:
        return float(group.next_distances[group.rows_of(trajectory)].min())

    def straight_then_length(trajectory: int) -> tuple[bool, int]:
        rows = group.rows_of(trajectory)
        return not group.farther[rows].any(), len(rows)

    failures = [t for t in group.trajectories if not group.succeeded(t)]
    successes = [t for t in group.trajectories if group.succeeded(t)]
    return [
        *([min(failures, key=nearest)] if failures else []),
        *([min(successes, key=straight_then_length)] if successes else []),
    ]
