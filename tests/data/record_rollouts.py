"""Write the Parquet files beside this script: rollouts of policies in training.

    pip install '.[examples]' pyarrow
    python tests/data/record_rollouts.py

Same packages, same files. README.md says what the columns hold.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import graphgpo

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "examples"))

import ppo  # noqa: E402
import train_sokoban  # noqa: E402
import train_textworld  # noqa: E402

NUM_GROUPS = 4  # the first ones; the rest is more of the same


def as_table(rollouts: ppo.Rollouts) -> pa.Table:
    rows = [row for row, group in enumerate(rollouts.groups) if group < NUM_GROUPS]
    columns = {
        "state": [rollouts.scenes[row].state for row in rows],
        "action": [rollouts.scenes[row].actions[rollouts.choices[row]] for row in rows],
        "next_state": [rollouts.next_states[row] for row in rows],
        "log_prob": pa.array([rollouts.log_probs[row] for row in rows], pa.float32()),
        "group_id": pa.array([rollouts.groups[row] for row in rows], pa.int16()),
        "trajectory_id": pa.array([rollouts.trajectories[row] for row in rows], pa.int16()),
        "step_id": pa.array([rollouts.steps[row] for row in rows], pa.int16()),
        "success": [rollouts.won[row] for row in rows],
    }
    return pa.table(columns)


def record(name: str, problem: ppo.Problem, max_steps: int, half: int, whole: int) -> None:
    """Train with the defaults and keep the rollouts of iterations `half` and `whole`."""

    def keep(run: ppo.Run, rollouts: ppo.Rollouts, _: graphgpo.StepAdvantages) -> None:
        stage = {half: "half_trained", whole: "trained"}.get(len(run.curve))
        if stage:
            file = HERE / f"{name}_{stage}.parquet"
            pq.write_table(as_table(rollouts), file, compression="zstd")

    run = ppo.Run(problem, ppo.Options(max_steps=max_steps))
    ppo.train(run, whole, after=keep)


if __name__ == "__main__":
    record("textworld", train_textworld.coin_collector(105, 8, 0), 25, half=3, whole=20)
    record("sokoban", train_sokoban.sokoban(16, 0), 30, half=6, whole=40)
