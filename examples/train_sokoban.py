"""Train a small policy on Sokoban (6x6 rooms, one box) with GraphGPO, GiGPO or GRPO.

    pip install '.[examples]'
    python examples/train_sokoban.py
    python examples/train_sokoban.py --estimator grpo    # the same seed, another estimator
    python examples/train_sokoban.py --log runs/sokoban  # TensorBoard, CSV, checkpoint

The rooms and their rules are gym-sokoban's, made of a seed each. A state is the board as text: `#`
wall, `_` floor, `O` goal, `X` box, `√` box on its goal, `P` player, `S` player on the goal.
"""

from __future__ import annotations

import argparse
import importlib
import io
import itertools
import random
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np

import ppo
from ppo import Scene, Stop

EXPLORED_STEPS = 30  # from the start, to find the shortest solution
ACTIONS = {"up": 1, "down": 2, "left": 3, "right": 4}  # gym-sokoban's pushes; they walk as well
CELLS = {0: "#", 1: "_", 2: "O", 3: "√", 4: "X", 5: "P"}
INSTALL = "pip install 'graphgpo[examples]'"


def sokoban_environment(**options: Any) -> Any:
    """gym-sokoban's own environment, without the picture that it paints at every step."""
    # Gym announces its end of life whenever it is imported.
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            module = importlib.import_module("gym_sokoban.envs.sokoban_env")
        except ImportError as error:
            raise Stop(f"gym-sokoban is not installed ({error}): {INSTALL}") from error

    class Unpainted(module.SokobanEnv):  # type: ignore[name-defined, misc]
        def render(self, *_: Any, **__: Any) -> None:
            pass

    return Unpainted(**options)


class Sokoban:
    """One room. gym-sokoban makes a new one at every reset, so the room's start is kept here."""

    def __init__(self, size: int, boxes: int, seed: int) -> None:
        # The room is drawn from both global generators; whoever else uses them gets them back.
        python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        with redirect_stdout(io.StringIO()):  # it tells of rooms it throws away
            self.environment = sokoban_environment(
                dim_room=(size, size), num_boxes=boxes, max_steps=10**9
            )
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        self.room = self.environment.room_state.copy()

    def reset(self) -> Scene:
        game = self.environment
        game.room_state = self.room.copy()
        game.player_position = np.argwhere(self.room == 5)[0]
        game.num_env_steps = game.reward_last = game.boxes_on_target = 0
        return self._scene(done=False)

    def step(self, action: str) -> Scene:
        _, _, done, _ = self.environment.step(ACTIONS[action])
        return self._scene(done)

    def _scene(self, done: bool) -> Scene:
        goals = self.environment.room_fixed == 2
        rows = []
        for cells, goal_row in zip(self.environment.room_state, goals, strict=True):
            drawn = zip(cells.astype(int).tolist(), goal_row.tolist(), strict=True)
            rows.append("".join("S" if (c, goal) == (5, True) else CELLS[c] for c, goal in drawn))
        return Scene("\n".join(rows), () if done else tuple(ACTIONS), done)


@dataclass(frozen=True)
class SokobanTask:
    seed: int
    size: int = 6
    boxes: int = 1

    @property
    def name(self) -> str:
        return f"sokoban_{self.size}x{self.size}_{self.boxes}_box_seed{self.seed}"

    def open(self) -> Sokoban:
        return Sokoban(self.size, self.boxes, self.seed)


def board_words(board: str) -> list[str]:
    """Every cell but walls with its place: player and boxes first, then goals, then floor."""
    cells = [
        (kind, row, column)
        for row, line in enumerate(board.split("\n"))
        for column, kind in enumerate(line)
        if kind != "#"
    ]
    cells.sort(key=lambda cell: ("PSX√O_".index(cell[0]), cell))
    return [f"{kind}{row}.{column}" for kind, row, column in cells]


def sokoban(
    num_rooms: int, num_held_out: int, first_seed: int = 1, min_solution: int = 5
) -> ppo.Problem:
    """Rooms of increasing seeds, those held out after those to train on.

    More than half of the rooms gym-sokoban makes are solved by a step or two: rooms whose shortest
    solution has fewer than `min_solution` steps are left out.
    """
    tasks: list[SokobanTask] = []
    for seed in itertools.count(first_seed):
        if len(tasks) == num_rooms + num_held_out:
            break
        transitions = ppo.cached_transitions(SokobanTask(seed), EXPLORED_STEPS)
        if min_solution <= transitions.shortest_solution() < float("inf"):
            tasks.append(SokobanTask(seed))
    return ppo.Problem(tasks[:num_rooms], tasks[num_rooms:], board_words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    rooms = parser.add_argument_group("rooms")
    rooms.add_argument("--rooms", type=int, default=16, help="to train on")
    rooms.add_argument("--held-out", type=int, default=16, help="rooms to be judged by alone")
    rooms.add_argument("--first-room", type=int, default=1, help="seed of the first room")
    rooms.add_argument("--min-solution", type=int, default=5, help="fewest steps of a room")
    ppo.add_arguments(parser, max_steps=30, iterations=60)
    arguments = parser.parse_args()
    problem = sokoban(
        arguments.rooms, arguments.held_out, arguments.first_room, arguments.min_solution
    )
    ppo.main(arguments, problem)


if __name__ == "__main__":
    main()
