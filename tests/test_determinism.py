"""The same batch has the same bits: for any number of threads, in any process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import graphgpo

ARRAYS = (
    "advantages",
    "step_advantages",
    "episode_advantages",
    "edge_returns",
    "distances",
    "next_distances",
    "state_ids",
    "next_state_ids",
)


def random_walks(num_rows: int = 40_000) -> dict[str, Any]:
    """Groups of random walks over few states, enough rows for threads to start."""
    random = np.random.default_rng(7)
    row = np.arange(num_rows)
    return {
        "states": [f"room {i}" for i in random.integers(0, 12, num_rows)],
        "group_ids": row // 200,
        "trajectory_ids": row // 10,
        "success": row // 10 % 3 == 0,
        "rewards": random.normal(size=num_rows),
        "edge_costs": random.uniform(0.1, 2, num_rows),
    }


def digest(result: graphgpo.StepAdvantages) -> str:
    bits = hashlib.sha256()
    for name in ARRAYS:
        bits.update(getattr(result, name).tobytes())
    bits.update(repr(result.metrics).encode())
    return bits.hexdigest()


@pytest.mark.parametrize("estimator", ["graphgpo", "gigpo", "grpo"])
def test_any_number_of_threads_gives_the_same_bits(estimator: str) -> None:
    batch = random_walks()
    alone = digest(graphgpo.compute_advantages(**batch, estimator=estimator, num_threads=1))
    for num_threads in (None, 2, 3, 8, 64):
        result = graphgpo.compute_advantages(**batch, estimator=estimator, num_threads=num_threads)
        assert digest(result) == alone


def test_every_process_gives_the_same_bits() -> None:
    # The interner's table is seeded differently in every process.
    program = (
        "import sys; sys.path[:0] = sys.argv[1:];"
        "from test_determinism import *;"
        "print(digest(graphgpo.compute_advantages(**random_walks())))"
    )
    here = os.path.dirname(__file__)  # noqa: PTH120
    environments = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2")]
    digests = [
        subprocess.run(
            [sys.executable, "-c", program, here],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for environment in environments
    ]
    assert digests[0] == digests[1] == digest(graphgpo.compute_advantages(**random_walks())) + "\n"
