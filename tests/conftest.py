"""What several test files share: the back ends, and how hard Hypothesis tries."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

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


@pytest.fixture(autouse=True)
def _no_warning_of_lost_credit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many batches of the tests are wrong on purpose; tests of the warning look again."""
    monkeypatch.setattr("graphgpo.problems.warning._has_looked", True)


@pytest.fixture
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was warned of yet."""
    monkeypatch.setattr("graphgpo.problems.warning._has_looked", False)


def on_device(where: str) -> Compute:
    """`compute_advantages` in torch operations, its results as arrays."""
    import torch

    from graphgpo.torch import device

    def compute(*states: Any, **given: Any) -> graphgpo.StepAdvantages:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # batches are tiny: a second one only waits
        try:
            return device.to_host(device.compute_advantages(*states, **given, device=where))
        finally:
            torch.set_num_threads(threads)

    return compute


def _devices() -> list[str]:
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:  # without torch, the folder of its tests is found
        return []
    from graphgpo.torch import device

    return ["torch_cpu", *(["torch_cuda"] if device.is_available() else [])]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every back end for tests that ask for `compute`; those in torch operations for examples.

    Random batches would take minutes there: `torch/test_device_plans.py` has a few of them.
    """
    is_own = any("compute" in mark.args for mark in metafunc.definition.iter_markers("parametrize"))
    if "compute" in metafunc.fixturenames and not is_own:
        devices = [] if is_hypothesis_test(metafunc.function) else _devices()
        metafunc.parametrize("compute", ["cpu", "reference", *devices], indirect=True)


@pytest.fixture
def compute(request: pytest.FixtureRequest) -> Compute:
    """`compute_advantages` of every back end: what holds of one holds of all."""
    return back_end(request.param)


def back_end(name: str) -> Compute:
    if name == "reference":
        return reference.compute_advantages
    if name == "cpu":
        return graphgpo.compute_advantages
    return on_device(name.removeprefix("torch_"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked heavy run with the heavy profile, or where they are asked for by `-m heavy`."""
    if os.environ.get("HYPOTHESIS_PROFILE") == "heavy" or "heavy" in config.getoption("-m"):
        return
    for item in items:
        if item.get_closest_marker("heavy"):
            item.add_marker(pytest.mark.skip(reason="heavy: minutes"))
