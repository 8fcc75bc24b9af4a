"""Make TextWorld games and the two Parquet files verl reads.

    python make_data.py --games 64 --level 5

writes `data/games/*.z8`, `data/train.parquet` and `data/val.parquet`. A game is made of its seed;
the last eighth of them is for validation.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).resolve().parent / "data"
PROMPT = (
    "You play a text game. Find the coin and take it. Think briefly, then answer with one of the "
    "listed commands, as <command>go east</command>."
)


def make_game(seed: int, level: int) -> Path:
    path = FOLDER / "games" / f"coin_collector_level{level}_seed{seed}.z8"
    if not path.exists():
        maker = Path(sys.executable).with_name("tw-make")
        arguments = ["tw-coin_collector", "--level", str(level), "--seed", str(seed), "--silent"]
        subprocess.run([maker, *arguments, "--output", path], check=True)
    return path


def row(index: int, game: Path) -> dict[str, object]:
    return {
        "data_source": "textworld",
        "agent_name": "textworld",
        "prompt": [{"role": "system", "content": PROMPT}],
        "reward_model": {"style": "rule", "ground_truth": ""},
        "extra_info": {"index": index, "game": str(game)},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=int, default=64, help="at least 2")
    parser.add_argument("--level", type=int, default=5)
    options = parser.parse_args()
    (FOLDER / "games").mkdir(parents=True, exist_ok=True)
    rows = [row(seed, make_game(seed, options.level)) for seed in range(options.games)]
    num_train = max(1, options.games - max(1, options.games // 8))
    pd.DataFrame(rows[:num_train]).to_parquet(FOLDER / "train.parquet")
    pd.DataFrame(rows[num_train:] or rows).to_parquet(FOLDER / "val.parquet")
    print(
        f"{num_train} games to train on, {len(rows) - num_train or len(rows)} to validate, {FOLDER}"
    )
