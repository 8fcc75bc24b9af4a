"""Worlds with wrong states: what credit they get, what the library says, and what its remedy gives.

    python bench/wrong_states.py

Prints two tables in Markdown. Worlds are those of `tests/worlds.py`, whose normalisers by hand are
the yardstick. The second one is of recorded rollouts (`tests/golden`): near-duplicates at 0.95
as components and as the recipe merges them (the first state that fits by `difflib`'s ratio), with
rows in five orders.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import graphgpo  # noqa: E402
import worlds  # noqa: E402
from graphgpo.states import similar_components  # noqa: E402

THRESHOLD = 0.95

World = tuple[str, worlds.World, Callable[[str], bool]]


def main() -> None:
    print("\n".join(noise_table()))
    print()
    print("\n".join(similarity_table()))


def noisy_worlds() -> Iterator[World]:
    def paid(state: str) -> bool:
        return "Paid" in state

    for noises in (("counter",), ("clock", "counter"), worlds.NOISES):
        yield f"ticket shop, {' + '.join(noises)}", worlds.ticket_shop(*noises), paid
    yield "web page, advertisements", worlds.web_page(), lambda state: "within" in state
    yield "shell, times and pids", worlds.shell(), lambda state: "job running" in state
    yield "ticket shop", worlds.ticket_shop(), paid
    yield "board game", worlds.board_game(), lambda state: "keys: 2" in state
    yield "train 1 or train 2", worlds.trains(), lambda state: "Bern" in state


def noise_table() -> Iterator[str]:
    yield "| world | states | without credit | said | then states | without credit | by hand |"
    yield "|---|---:|---:|---|---:|---:|---:|"
    for name, world, wins in noisy_worlds():
        columns = {**world.columns, "success": successes(world, wins)}
        before = graphgpo.compute_advantages(**columns)
        found = [one for one in before.problems() if one.name == "noise"]
        said, after = "nothing", before
        for problem in found:
            said = f"`{problem.remedy}`"
            after = graphgpo.compute_advantages(**columns, **problem.switch)
        by_hand = graphgpo.compute_advantages(
            **{
                **columns,
                "states": [*map(world.clean, world.states)],
                "next_states": [*map(world.clean, world.next_states)],
            }
        )
        yield (
            f"| {name} | {states(before)} | {lost(before):.0%} | {said} | {states(after)} | "
            f"{lost(after):.0%} | {states(by_hand)} |"
        )


def successes(world: worlds.World, wins: Callable[[str], bool]) -> list[bool]:
    ids = [*world.trajectory_ids, None]
    return [ids[row] != ids[row + 1] and wins(state) for row, state in enumerate(world.next_states)]


def states(result: graphgpo.StepAdvantages) -> int:
    return round(
        result.metrics["graphgpo/num_steps"] * (1 - result.metrics["graphgpo/merge_ratio"])
    )


def lost(result: graphgpo.StepAdvantages) -> float:
    return result.metrics["graphgpo/zero_advantage_share"]


def similarity_table() -> Iterator[str]:
    yield "| rollouts | states | components | largest | the recipe, five orders of rows |"
    yield "|---|---:|---:|---:|---|"
    for path in sorted((ROOT / "tests" / "golden").glob("*.npz")):
        stored = np.load(path)
        texts = stored["state__texts"][stored["state"]].tolist()
        groups = stored["group_id"].tolist()
        found = similar_components(texts, THRESHOLD, group_ids=groups)
        num_states = len(set(zip(groups, texts, strict=True)))
        left = sorted({greedy(groups, texts, seed) for seed in range(5)})
        yield (
            f"| {path.stem} | {num_states} | {num_states - found.merged} | {found.largest} | "
            f"{left[0]}{'' if len(left) == 1 else f' to {left[-1]}'} |"
        )


def greedy(groups: list[Any], texts: list[str], seed: int) -> int:
    """States left where each goes to the first one that fits by difflib, rows in some order."""
    distinct = list(dict.fromkeys(zip(groups, texts, strict=True)))
    random.Random(seed).shuffle(distinct)
    kept: dict[Any, list[str]] = {}
    for group, text in distinct:
        known = kept.setdefault(group, [])
        if not any(SequenceMatcher(None, text, one).ratio() >= THRESHOLD for one in known):
            known.append(text)
    return sum(map(len, kept.values()))


if __name__ == "__main__":
    main()
