"""Every wrong connection of `docs/limits.md` shows in the metrics it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import graphgpo
from batches import Columns, num_rows, random_walks

PAGE = Path(__file__).resolve().parents[1] / "docs" / "limits.md"


def metrics(columns: Columns, **wrong: Any) -> dict[str, float]:
    result = graphgpo.compute_advantages(**(columns | wrong))
    return {name.removeprefix("graphgpo/"): value for name, value in result.metrics.items()}


@pytest.fixture
def walks() -> Columns:
    columns = random_walks(0, num_groups=4, has_unit_costs=True)
    return columns | {"episode_returns": None}


def rollout_of_row(columns: Columns) -> list[str]:
    ids = zip(columns["group_ids"], columns["trajectory_ids"], strict=True)
    return [f"{group}/{trajectory}" for group, trajectory in ids]


def test_right_connections_show_nothing(walks: Columns) -> None:
    found = metrics(walks)
    assert (found["num_groups"], found["num_trajectories"]) == (4, 24)
    assert found["num_steps"] > 100
    assert found["groups_without_success"] < found["num_groups"]
    assert found["num_states"] > 5 * found["num_groups"]
    assert found["max_distance"] > 1
    assert found["singleton_share"] < 0.5
    assert (found["inert"], found["broken_links"], found["duplicate_rows"]) == (0, 0, 0)


def test_a_group_for_every_rollout(walks: Columns) -> None:
    found = metrics(walks, group_ids=rollout_of_row(walks))
    assert found["num_trajectories"] == found["num_groups"]


def test_one_group_for_all_tasks(walks: Columns) -> None:
    found = metrics(walks, group_ids=[0] * num_rows(walks), trajectory_ids=rollout_of_row(walks))
    assert found["num_groups"] == 1


def test_a_trajectory_for_every_step(walks: Columns) -> None:
    steps = list(range(num_rows(walks)))
    found = metrics(walks, trajectory_ids=steps)
    assert found["num_steps"] == found["num_trajectories"]
    assert metrics(walks, trajectory_ids=steps, next_states=None)["max_distance"] == 1


def test_two_rollouts_with_one_id() -> None:
    twice = {
        "states": ["hall", "kitchen"] * 2,
        "group_ids": [0] * 4,
        "trajectory_ids": [0] * 4,
        "step_ids": [0, 1] * 2,
        "success": [True] * 4,
    }
    assert metrics(twice)["duplicate_rows"] == 2


def test_success_is_never_set(walks: Columns) -> None:
    found = metrics(walks, success=[False] * num_rows(walks))
    assert found["groups_without_success"] == found["num_groups"]
    assert found["inert"] == 1


def test_states_that_never_repeat(walks: Columns) -> None:
    found = metrics(
        walks, states=[f"row {row}" for row in range(num_rows(walks))], next_states=None
    )
    assert (found["inert"], found["singleton_share"]) == (1, 1)


def test_states_that_are_all_the_same(walks: Columns) -> None:
    blank = [""] * num_rows(walks)
    found = metrics(walks, states=blank, next_states=blank)
    assert found["num_states"] <= 2 * found["num_groups"]


def test_columns_shifted_by_a_row(walks: Columns) -> None:
    found = metrics(walks, next_states=[*walks["next_states"][1:], "room 0"])
    assert found["broken_links"] > 0


def test_success_of_single_steps(walks: Columns) -> None:
    steps = list(range(num_rows(walks)))
    found = metrics(walks, trajectory_ids=steps, success=[True] * num_rows(walks))
    assert found["max_distance"] == 1


def test_an_inverted_mask(walks: Columns) -> None:
    found = metrics(walks, mask=[False] * num_rows(walks))
    assert found["masked_rows"] == num_rows(walks)


def test_the_page_names_metrics_that_exist(walks: Columns) -> None:
    section = PAGE.read_text("utf-8").partition("## It does nothing?")[2]
    first_cells = re.findall(r"^\| (`.*?) \|", section, re.M)
    named = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert len(named) > 8
    assert named <= set(metrics(walks))
