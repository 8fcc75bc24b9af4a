"""What several test files share: the back ends, and how hard Hypothesis tries."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import graphgpo
from graphgpo import reference

Compute = Callable[..., graphgpo.StepAdvantages]

COMMON: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
settings.register_profile("fast", max_examples=30, derandomize=True, **COMMON)
settings.register_profile("brief", max_examples=10, derandomize=True, **COMMON)  # what runs twice
settings.register_profile("heavy", max_examples=1000, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(params=["cpu", "reference"])
def compute(request: pytest.FixtureRequest) -> Compute:
    """`compute_advantages` of every back end: what holds of one holds of all."""
    if request.param == "reference":
        return reference.compute_advantages
    return graphgpo.compute_advantages


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes, unless it is asked for."""
    if "heavy" in config.option.markexpr:
        return
    heavy = [item for item in items if item.get_closest_marker("heavy")]
    items[:] = [item for item in items if not item.get_closest_marker("heavy")]
    config.hook.pytest_deselected(items=heavy)
