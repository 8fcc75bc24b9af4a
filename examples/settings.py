"""What is played by which name, and for how long."""

from __future__ import annotations

import re
from dataclasses import dataclass

import harder
import ppo
import train_frozenlake
import train_sokoban
import train_textworld


@dataclass(frozen=True)
class Setting:
    """What is played, for how long."""

    problem: ppo.Problem
    max_steps: int
    iterations: int


def setting(name: str, seed: int) -> Setting:
    """The same games for every seed, except in "coin105_own_games"."""
    game, _, variant = name.partition("_")
    if game == "lake":
        slip = 0.2 if variant == "slip" else 0.0
        return Setting(train_frozenlake.lakes(16, 16, slip), max_steps=40, iterations=60)
    if game == "sokoban":
        first_seed = 1001 if variant == "other_rooms" else 1
        rooms = train_sokoban.sokoban(16, 16, first_seed=first_seed)
        return Setting(rooms, max_steps=30, iterations=60)
    level = int(game.removeprefix("coin"))
    max_steps = 5 * (level % 100)
    return Setting(
        _coin_collector(level, variant, seed, max_steps),
        max_steps=max_steps,
        iterations=60 if level > 105 else 30,
    )


def _coin_collector(level: int, variant: str, seed: int, max_steps: int) -> ppo.Problem:
    """Eight games, and eight held out, or what its variant says."""
    made = train_textworld.coin_collector
    if variant == "own_games":
        return made(level, 8, 0, first_seed=101 + 8 * seed)
    if alone := re.fullmatch(r"game(\d+)", variant):
        return made(level, 1, 0, first_seed=int(alone[1]))
    if many := re.fullmatch(r"(\d+)games", variant):
        return made(level, int(many[1]), 0)
    problem = made(level, 8, 8)
    if in_vain := re.fullmatch(r"hopeless(\d+)", variant):
        return harder.hopeless(problem, int(in_vain[1]))
    if noise := re.fullmatch(r"noise(12)?(_read)?", variant):
        texts = int(noise[1]) if noise[1] else None
        return harder.noisy(problem, texts, read=bool(noise[2]), max_steps=max_steps)
    if variant:
        raise ValueError(f"no setting coin{level}_{variant}")
    return problem


def make_games(name: str, seed: int) -> None:
    """So that they are made once, and not by every run that finds them missing."""
    if name.startswith("coin"):
        train_textworld.make_games(setting(name, seed).problem)
