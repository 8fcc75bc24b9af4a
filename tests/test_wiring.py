"""Every wrong connection of `docs/limits.md` shows in the metrics it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import graphgpo
from batches import Columns, num_rows, one_group, random_walks
from graphgpo import estimators
from graphgpo.problems import Advice, problems_of

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


# ---- what a trainer's user is told of it ---------------------------------------------------------

ADVICE = Advice(
    record_steps="Record.", set_success="set", more_rollouts="More.", mark_invalid="Mark."
)


def told(columns: Columns, estimator: str = "graphgpo", **options: Any) -> dict[str, str]:
    chosen = estimators.make(estimator, options)
    result = graphgpo.compute_advantages(**columns, estimator=chosen)
    problems = problems_of(result.metrics, chosen, advice=ADVICE)
    return {problem.name: problem.words for problem in problems}


def test_spread_of_noise_is_told_of() -> None:
    clock = one_group("s t1", "s t1", "s t2", "s t2", actions=["wait"] * 4)
    problems = told(clock, "graphgpo", spread_weight=1.0)
    assert problems["spread of noise"] == (
        "in groups without success 100% of the entropy of where steps lead is not explained by "
        "their actions, so spread_weight credits steps that do nothing for noise in the "
        "observation (a clock?). Take it out of the states, or pass spread_actions=True"
    )
    assert "spread of noise" not in told(clock, "graphgpo", spread_weight=1.0, spread_actions=True)
    assert "spread of noise" not in told({**clock, "actions": list("xxyy")}, "spread")
    assert "spread of noise" not in told(clock)


NEVER_WON: Columns = {
    "states": ["hall", "kitchen", "hall", "kitchen"],
    "next_states": ["kitchen", "sink", "bedroom", "stove"],
    "group_ids": [0] * 4,
    "trajectory_ids": [0, 0, 1, 2],
    "success": [False] * 4,
}


def test_without_success_no_step_earns_credit_where_success_is_all_there_is() -> None:
    for estimator in ("graphgpo", "gigpo", "rewardflow"):
        problems = told(NEVER_WON, estimator)
        assert list(problems) == ["no success"], estimator
        assert "none of the 3 rollouts succeeded, so no step earns credit" in problems["no success"]


def test_steps_with_credit_are_not_said_to_have_none() -> None:
    rewarded = NEVER_WON | {"rewards": [0.0, 1.0, 0.0, 0.0]}
    assert told(rewarded, "gigpo") == {}
    assert list(told(rewarded, "graphgpo")) == ["no success"]
    judged = NEVER_WON | {"episode_returns": [1.0, 1.0, 0.0, 0.0], "success": None}
    assert told(judged, "grpo") == {}


def test_rows_hidden_inside_a_trajectory_are_reported() -> None:
    walks: Columns = {
        "states": ["hall", "kitchen", "sink", "hall", "sink"],
        "group_ids": [0] * 5,
        "trajectory_ids": [0, 0, 0, 1, 1],
        "success": [True] * 3 + [False] * 2,
    }
    assert told(walks) == {}
    problems = told(walks | {"mask": [True, False, True, True, True]})
    assert "1 masked rows lie between unmasked rows" in problems["masked inside"]
    assert "give next_states or step_ids" in problems["masked inside"]


def test_an_environment_that_resets_itself_is_reported() -> None:
    walks: Columns = {
        "states": ["hall", "kitchen", *["hall"] * 5],
        "next_states": ["kitchen", "sink", "attic", "cellar", "roof", "attic", "roof"],
        "group_ids": [0] * 7,
        "trajectory_ids": [0, 0, 1, 2, 3, 4, 5],
        "success": [False, True, *[False] * 5],
    }
    assert told(walks) == {}
    some = walks | {"next_states": ["kitchen", "sink", *["hall"] * 3, "attic", "roof"]}
    assert told(some) == {}  # they may have walked back
    most = walks | {"next_states": ["kitchen", "sink", *["hall"] * 4, "roof"]}
    problem = told(most)["ends at a start"]
    assert problem.startswith("the last step of 4 of 5 failed rollouts leads to a state that")
    assert "record what it showed before the reset" in problem


def test_a_penalty_without_flags_is_reported_of_estimators_that_have_one() -> None:
    won = NEVER_WON | {"success": [False, True, False, False]}
    assert list(told(won, "gigpo", invalid_action_penalty=0.5)) == ["no flags"]
    assert told(won, "rewardflow") == {}
