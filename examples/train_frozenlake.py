"""Train a small policy on FrozenLake (6x6 maps) with GraphGPO, GiGPO or GRPO.

    pip install '.[examples]'
    python examples/train_frozenlake.py
    python examples/train_frozenlake.py --slip 0.2           # a step goes astray one time in five
    python examples/train_frozenlake.py --estimator spread   # the same seed, another estimator

The lakes and their rules are gymnasium's, made of a seed each. A state is the map as text: `_` ice,
`O` hole, `G` goal, `P` player. A hole ends the rollout. With a slip the lake draws: its transitions
are never cached, and every rollout has a seed of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ppo
from ppo import Scene, Stop

ACTIONS = {"left": 0, "down": 1, "right": 2, "up": 3}
CELLS = {b"S": "_", b"F": "_", b"H": "O", b"G": "G"}
INSTALL = "pip install 'graphgpo[examples]'"


def frozen_lake() -> Any:
    try:
        from gymnasium.envs.toy_text import frozen_lake
    except ImportError as error:
        raise Stop(f"gymnasium is not installed: {INSTALL}") from error
    return frozen_lake


class Lake:
    """One map. `seed`: of what goes astray."""

    def __init__(self, size: int, map_seed: int, slip: float, seed: Sequence[int] = (0,)) -> None:
        desc = frozen_lake().generate_random_map(size, seed=map_seed)
        self.environment = frozen_lake().FrozenLakeEnv(
            desc=desc, is_slippery=slip > 0, success_rate=1 - slip
        )
        self.environment.reset(seed=int.from_bytes(b"".join(n.to_bytes(4, "big") for n in seed)))
        self.size = size

    def reset(self) -> Scene:
        return self._scene(self.environment.reset()[0])

    def step(self, action: str) -> Scene:
        return self._scene(self.environment.step(ACTIONS[action])[0])

    def _scene(self, place: int) -> Scene:
        cells = [CELLS[cell] for cell in self.environment.desc.ravel().tolist()]
        on = cells[place]
        cells[place] = "P"
        rows = ["".join(cells[i : i + self.size]) for i in range(0, len(cells), self.size)]
        return Scene("\n".join(rows), tuple(ACTIONS) if on == "_" else (), on == "G")


@dataclass(frozen=True)
class LakeTask:
    seed: int
    size: int = 6

    @property
    def name(self) -> str:
        return f"lake_{self.size}x{self.size}_seed{self.seed}"

    def open(self) -> Lake:
        return Lake(self.size, self.seed, slip=0.0)


@dataclass(frozen=True)
class SlipperyLakeTask:
    seed: int
    slip: float
    size: int = 6

    @property
    def name(self) -> str:
        return f"lake_{self.size}x{self.size}_slip{self.slip}_seed{self.seed}"

    def open(self) -> Lake:
        return self.open_seeded((0,))

    def open_seeded(self, seed: Sequence[int]) -> Lake:
        return Lake(self.size, self.seed, self.slip, seed)


def lake_words(state: str) -> list[str]:
    """Every cell with its place: the player first, then the goal, holes and ice."""
    cells = [
        (kind, row, column)
        for row, line in enumerate(state.split("\n"))
        for column, kind in enumerate(line)
    ]
    cells.sort(key=lambda cell: ("PGO_".index(cell[0]), cell))
    return [f"{kind}{row}.{column}" for kind, row, column in cells]


def lakes(num_lakes: int, num_held_out: int, slip: float = 0.0, first_seed: int = 1) -> ppo.Problem:
    """Maps of consecutive seeds, those held out after those to train on."""
    seeds = range(first_seed, first_seed + num_lakes + num_held_out)
    tasks = [SlipperyLakeTask(seed, slip) if slip > 0 else LakeTask(seed) for seed in seeds]
    return ppo.Problem(tasks[:num_lakes], tasks[num_lakes:], lake_words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    maps = parser.add_argument_group("lakes")
    maps.add_argument("--lakes", type=int, default=16, help="to train on")
    maps.add_argument("--held-out", type=int, default=16, help="lakes to be judged by alone")
    maps.add_argument("--first-lake", type=int, default=1, help="seed of the first map")
    maps.add_argument("--slip", type=float, default=0.0, help="share of steps that go astray")
    ppo.add_arguments(parser, max_steps=40, iterations=60)
    arguments = parser.parse_args()
    problem = lakes(arguments.lakes, arguments.held_out, arguments.slip, arguments.first_lake)
    ppo.main(arguments, problem)


if __name__ == "__main__":
    main()
