"""Options: declared once, checked when made."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

import graphgpo
from graphgpo import GraphGPOConfig


def test_the_defaults_are_the_papers() -> None:
    assert dataclasses.asdict(GraphGPOConfig()) == {
        "estimator": "graphgpo",
        "omega": 0.1,
        "success_reward": 10.0,
        "exponent": "paper",
        "normalization": "mean_std",
        "epsilon": 1e-6,
        "epsilon_scale": "relative",
        "step_weight": 1.0,
        "episode_weight": 1.0,
        "episode_weighting": "trajectory",
        "invalid_action_penalty": 0.0,
        "gamma": None,
    }


def test_the_recipe_differs_in_four_options() -> None:
    recipe = dataclasses.asdict(GraphGPOConfig.recipe())
    paper = dataclasses.asdict(GraphGPOConfig())
    assert {name: value for name, value in recipe.items() if value != paper[name]} == {
        "exponent": "recipe",
        "epsilon_scale": "absolute",
        "episode_weighting": "step",
        "invalid_action_penalty": 0.1,
    }
    assert GraphGPOConfig.recipe(omega=0.2, exponent="progress").exponent == "progress"


def test_a_config_cannot_be_changed_or_given_by_position() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GraphGPOConfig().omega = 0.5  # type: ignore[misc]
    with pytest.raises(TypeError):
        GraphGPOConfig("gigpo")  # type: ignore[call-arg]


class Node(Mapping[str, Any]):
    """What an OmegaConf node looks like."""

    def __init__(self, **values: Any) -> None:
        self.values_ = values

    def __getitem__(self, key: str) -> Any:
        return self.values_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


@dataclasses.dataclass
class TrainerConfig:
    """A trainer's own options."""

    omega: float = 0.3
    estimator: str = "gigpo"
    gamma: float = 0.9


@pytest.mark.parametrize(
    "mapping",
    [
        {"omega": 0.3, "estimator": "gigpo", "gamma": 0.9},
        Node(omega=0.3, estimator="gigpo", gamma=0.9),
        TrainerConfig(),
        GraphGPOConfig(omega=0.3, estimator="gigpo", gamma=0.9),
    ],
)
def test_configs_come_from_mappings_nodes_and_dataclasses(mapping: Any) -> None:
    expected = GraphGPOConfig(omega=0.3, estimator="gigpo", gamma=0.9)
    assert GraphGPOConfig.from_mapping(mapping) == expected


def test_single_options_override_the_config() -> None:
    columns: dict[str, Any] = {
        "states": ["a", "a"],
        "group_ids": [0, 0],
        "trajectory_ids": [0, 1],
        "success": [True, False],
    }
    for config in (GraphGPOConfig(success_reward=3.0, omega=0.2), {"success_reward": 3.0}):
        result = graphgpo.compute_advantages(**columns, config=config, omega=0.5)
        assert result.edge_returns[0] == 1.5


def test_numbers_of_other_types_are_taken_as_floats() -> None:
    omega: Any = np.float32(0.5)
    config = GraphGPOConfig(omega=omega, success_reward=1)
    assert type(config.omega) is float
    assert type(config.success_reward) is float
