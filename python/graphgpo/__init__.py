"""Step-level credit for LLM agents trained with reinforcement learning."""

from __future__ import annotations

from typing import Any

from graphgpo import estimators
from graphgpo._core import __version__
from graphgpo.advantages import compute_advantages
from graphgpo.estimators import Estimator
from graphgpo.estimators import make as estimator
from graphgpo.graph import StateGraph, Terminal, build_graph
from graphgpo.keys import state_key, state_keys
from graphgpo.memory import GraphMemory
from graphgpo.result import StepAdvantages
from graphgpo.rollouts import Rollouts

__all__ = [
    "Estimator",
    "GraphMemory",
    "Rollouts",
    "StateGraph",
    "StepAdvantages",
    "Terminal",
    "__version__",
    "build_graph",
    "compute_advantages",
    "estimator",
    "estimators",
    "state_key",
    "state_keys",
]


def __getattr__(name: str) -> Any:
    """Estimators by their class names, imported when they are asked for."""
    try:
        return getattr(estimators, name)
    except AttributeError:
        raise AttributeError(f"module 'graphgpo' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return list(__all__)
