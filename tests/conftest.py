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
settings.register_profile("fast", max_examples=60, derandomize=True, **COMMON)
settings.register_profile("heavy", max_examples=1000, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(params=["cpu", "reference"])
def compute(request: pytest.FixtureRequest) -> Compute:
    """`compute_advantages` of every back end: what holds of one holds of all."""
    if request.param == "reference":
        return reference.compute_advantages
    return graphgpo.compute_advantages


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked heavy run with the heavy profile, or where they are asked for by `-m heavy`."""
    if os.environ.get("HYPOTHESIS_PROFILE") == "heavy" or "heavy" in config.getoption("-m"):
        return
    for item in items:
        if item.get_closest_marker("heavy"):
            item.add_marker(pytest.mark.skip(reason="heavy: minutes"))
