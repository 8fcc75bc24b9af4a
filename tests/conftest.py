"""What several test files share: the back ends, and how hard Hypothesis tries."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import devices
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


def _why_no_twin() -> str:
    if importlib.util.find_spec("graphgpo._cuda_on_cpu"):
        return ""
    return "cuda-on-cpu: graphgpo was built without -C cmake.define.GRAPHGPO_CUDA_ON_CPU=ON"


def _why_no_gpu() -> str:
    status = graphgpo.cuda.status()
    return "" if status.name == "ok" else f"cuda: {status.reason}"


# What can play `graphgpo._cuda`, and why it cannot: the same source on the CPU, and a GPU.
WHY_NOT = {"cuda-on-cpu": _why_no_twin(), "cuda": _why_no_gpu()}


def _devices(*names: str) -> list[Any]:
    """Those that are here; if none is, one that says why its tests are skipped."""
    marks: dict[str, list[pytest.MarkDecorator]] = {"cuda-on-cpu": [], "cuda": [pytest.mark.gpu]}
    here = [pytest.param(name, marks=marks[name]) for name in names if not WHY_NOT[name]]
    reason = "; ".join(WHY_NOT[name] for name in names)
    return here or [pytest.param("none", marks=pytest.mark.skip(reason=reason))]


DEVICES = _devices("cuda-on-cpu", "cuda")
GPUS = _devices("cuda")


@pytest.fixture(params=["cpu", "reference", *(DEVICES if not all(WHY_NOT.values()) else [])])
def compute(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Compute:
    """`compute_advantages` of every back end: what holds of one holds of all."""
    if request.param == "reference":
        return reference.compute_advantages
    if request.param == "cpu":
        return graphgpo.compute_advantages
    _use(request.param, monkeypatch)
    return devices.compute_advantages


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The native module of a device, in its place."""
    return _use(request.param, monkeypatch)


@pytest.fixture(params=_devices("cuda-on-cpu"))
def twin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The one on the CPU, whose memory is NumPy's."""
    return _use(request.param, monkeypatch)


def _use(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    if name == "cuda":
        return importlib.import_module("graphgpo._cuda")
    extension = importlib.import_module("graphgpo._cuda_on_cpu")
    monkeypatch.setitem(sys.modules, "graphgpo._cuda", extension)
    return extension
