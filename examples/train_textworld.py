"""Train a small policy on TextWorld's coin collector with GraphGPO, GiGPO or GRPO.

    pip install '.[examples]'
    python examples/train_textworld.py                     # about a minute
    python examples/train_textworld.py --estimator grpo    # the same seed, another estimator
    python examples/train_textworld.py --log runs/first    # TensorBoard, CSV, checkpoint

In a coin collector game the coin lies `level % 100` rooms away; levels above 100 have rooms that
lead nowhere. A state is the room's description and the inventory, which here say everything.
Games are made at first use, a few seconds each, and kept in a cache folder.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ppo
from ppo import Scene, Stop

INSTALL = "pip install 'graphgpo[examples]'"


def textworld() -> Any:
    try:
        import textworld
    except ImportError as error:
        raise Stop(f"TextWorld is not installed: {INSTALL}") from error
    return textworld


class CoinCollector:
    """One game, played through TextWorld."""

    def __init__(self, game: Path) -> None:
        shown = textworld().EnvInfos(
            description=True, inventory=True, admissible_commands=True, won=True
        )
        self.environment = textworld().start(str(game), shown)

    def reset(self) -> Scene:
        return self._scene(self.environment.reset(), done=False)

    def step(self, action: str) -> Scene:
        shown, _, done = self.environment.step(action)
        return self._scene(shown, done)

    @staticmethod
    def _scene(shown: Any, done: bool) -> Scene:
        state = f"{' '.join(shown.description.split())} | {' '.join(shown.inventory.split())}"
        actions = () if done else tuple(sorted(shown.admissible_commands))
        return Scene(state, actions, bool(shown.won))


@dataclass(frozen=True)
class CoinCollectorTask:
    level: int
    seed: int

    @property
    def name(self) -> str:
        return f"coin_collector_level{self.level}_seed{self.seed}"

    def open(self) -> CoinCollector:
        return CoinCollector(game(self))


def games_folder() -> Path:
    return ppo.cache_folder() / f"textworld-{textworld().__version__}"


def game(task: CoinCollectorTask) -> Path:
    """The game's file: made and tried if it is not there, whole if it is."""
    folder = games_folder() / task.name
    if not folder.exists():
        make(task, folder)
    sums = folder / "SHA256SUMS"
    if not sums.exists() or sums.read_text() != checksums(folder):
        raise Stop(f"{folder} holds a game that is not whole; delete the folder, it is made again")
    return folder / "game.z8"


def make(task: CoinCollectorTask, folder: Path) -> None:
    """Beside its place and moved there once it has been tried, so that no half of it can be met."""
    maker = shutil.which(
        "tw-make", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if maker is None:
        raise Stop(
            f"tw-make, which makes the games, is not there; it comes with TextWorld: {INSTALL}"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{task.name}.") as beside:
        new = Path(beside) / "new"
        new.mkdir()
        command = [maker, "tw-coin_collector", "--level", str(task.level), "--seed", str(task.seed)]
        done = subprocess.run(
            [*command, "--silent", "--output", str(new / "game.z8")], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise Stop(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        (new / "game.ni").unlink(missing_ok=True)  # the source; nothing needs it
        start = CoinCollector(new / "game.z8").reset()
        if start.won or not start.actions:
            raise Stop(f"{' '.join(command)} made a game without a beginning: {start}")
        (new / "SHA256SUMS").write_text(checksums(new))
        try:
            new.rename(folder)
        except OSError:  # another process was first
            if not folder.exists():
                raise


def checksums(folder: Path) -> str:
    files = sorted(file for file in folder.glob("game.*") if file.is_file())
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    return "".join(sums)


def coin_collector(
    level: int, num_games: int, num_held_out: int, first_seed: int = 1
) -> ppo.Problem:
    """Games of consecutive seeds, those held out after those to train on."""
    tasks = [CoinCollectorTask(level, first_seed + i) for i in range(num_games + num_held_out)]
    return ppo.Problem(tasks[:num_games], tasks[num_games:], ppo.words)


def make_games(problem: ppo.Problem) -> None:
    """Those that are not there yet, of tasks and of what tasks are made of."""
    for task in [*problem.tasks, *problem.held_out]:
        made: Any = getattr(task, "task", task)
        game(made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    games = parser.add_argument_group("games")
    games.add_argument("--level", type=int, default=105, help="1 to 300")
    games.add_argument("--games", type=int, default=8, help="to train on")
    games.add_argument("--held-out", type=int, default=8, help="games to be judged by alone")
    games.add_argument("--first-game", type=int, default=1, help="seed of the first game")
    ppo.add_arguments(parser, max_steps=None, iterations=30)
    arguments = parser.parse_args()
    if arguments.max_steps is None:
        arguments.max_steps = 5 * (arguments.level % 100 or 100)
    problem = coin_collector(
        arguments.level, arguments.games, arguments.held_out, arguments.first_game
    )
    make_games(problem)
    ppo.main(arguments, problem)


if __name__ == "__main__":
    main()
