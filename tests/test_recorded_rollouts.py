"""Rollouts of policies in training (tests/data), as an Arrow table holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import graphgpo
from batches import assert_same_bits
from conftest import Compute
from test_reference import assert_agree

FILES = sorted((Path(__file__).parent / "data").glob("*.parquet"))
OPTIONS: list[dict[str, Any]] = [
    {},
    {"omega": 0.8, "exponent": "progress"},
    {"epsilon_scale": "absolute", "episode_weighting": "step"},
    {"normalization": "mean"},
    {"estimator": "gigpo"},
    {"estimator": "grpo"},
]


def batch_of(table: Any) -> dict[str, Any]:
    return {
        "states": table["state"],
        "next_states": table["next_state"],
        "group_ids": table["group_id"],
        "trajectory_ids": table["trajectory_id"],
        "step_ids": table["step_id"],
        "success": table["success"],
    }


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def table(request: pytest.FixtureRequest) -> Any:
    return pq.read_table(request.param)


def test_there_are_policies_at_both_stages_of_both_environments() -> None:
    assert [path.stem for path in FILES] == [
        "sokoban_half_trained",
        "sokoban_trained",
        "textworld_half_trained",
        "textworld_trained",
    ]
    wins = {path.stem: int(np.sum(pq.read_table(path)["success"])) for path in FILES}
    for environment in ("sokoban", "textworld"):
        half_trained = wins[f"{environment}_half_trained"]
        assert 0 < half_trained < wins[f"{environment}_trained"] <= 32  # rollouts


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_fast_and_plain_agree(table: Any, options: dict[str, Any]) -> None:
    lists = {name: column.to_pylist() for name, column in batch_of(table).items()}
    assert_agree(lists, options)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_arrow_columns_are_the_same_batch_as_lists(table: Any, options: dict[str, Any]) -> None:
    arrow = batch_of(table)
    lists = {name: column.to_pylist() for name, column in arrow.items()}
    as_arrow = graphgpo.compute_advantages(**arrow, **options)
    as_lists = graphgpo.compute_advantages(**lists, **options)
    assert_same_bits(as_arrow, as_lists)
    assert as_arrow.metrics == as_lists.metrics


def test_rows_in_another_order_have_the_same_credit(compute: Compute, table: Any) -> None:
    order = np.random.default_rng(0).permutation(table.num_rows)
    lists = {name: column.to_pylist() for name, column in batch_of(table).items()}
    shuffled = {name: [column[row] for row in order] for name, column in lists.items()}
    assert_same_bits(compute(**shuffled), compute(**lists), order)


def test_every_edge_bounds_the_distance_and_no_link_is_broken(table: Any) -> None:
    result = graphgpo.compute_advantages(**batch_of(table))
    assert (result.distances <= 1 + result.next_distances).all()
    assert (result.next_distances[np.array(table["success"])] == 0).all()
    assert result.metrics["graphgpo/broken_links"] == 0


def test_steps_that_end_equally_near_have_equal_credit(table: Any) -> None:
    result = graphgpo.compute_advantages(**batch_of(table))
    credit: dict[tuple[int, float], float] = {}
    for state, distance, advantage in zip(
        result.state_ids, result.next_distances, result.step_advantages, strict=True
    ):
        assert credit.setdefault((int(state), float(distance)), advantage) == advantage
