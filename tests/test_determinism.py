"""The same batch has the same bits: for any number of threads, in any process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

import graphgpo
from examples_of import an_estimator
from graphgpo import estimators

ARRAYS = tuple(field.name for field in fields(graphgpo.StepAdvantages) if field.name != "metrics")


def random_walks(num_rows: int = 40_000) -> dict[str, Any]:
    """Groups of random walks over few states, enough rows for threads to start."""
    random = np.random.default_rng(7)
    row = np.arange(num_rows)
    return {
        "states": [f"room {i}" for i in random.integers(0, 12, num_rows)],
        "group_ids": row // 200,
        "trajectory_ids": row // 10,
        "success": row // 10 % 3 == 0,
        "actions": random.integers(0, 3, num_rows),
        "rewards": random.normal(size=num_rows),
        "edge_costs": random.uniform(0.1, 2, num_rows),
        "peer_keys": row // 50,
    }


def digest(result: graphgpo.StepAdvantages) -> str:
    bits = hashlib.sha256()
    for name in ARRAYS:
        bits.update(getattr(result, name).tobytes())
    bits.update(repr(result.metrics).encode())
    return bits.hexdigest()


@pytest.fixture(scope="module")
def rollouts() -> graphgpo.Rollouts:
    return graphgpo.Rollouts(**random_walks())


@pytest.mark.parametrize("name", estimators.names())
def test_any_number_of_threads_gives_the_same_bits(rollouts: graphgpo.Rollouts, name: str) -> None:
    chosen = an_estimator(name)
    alone = digest(rollouts.advantages(chosen, num_threads=1))
    for num_threads in (None, 2, 3, 8, 64):
        assert digest(rollouts.advantages(chosen, num_threads=num_threads)) == alone


@pytest.mark.parametrize("num_threads", [1, 3])
def test_columns_read_by_any_number_of_threads_are_the_same(num_threads: int) -> None:
    read = graphgpo.Rollouts(**random_walks(), num_threads=num_threads)
    expected = graphgpo.compute_advantages(**random_walks())
    assert digest(read.advantages()) == digest(expected)


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
