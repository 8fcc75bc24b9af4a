"""Step-level credit for LLM agents trained with reinforcement learning."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from graphgpo._core import __version__

if TYPE_CHECKING:
    from graphgpo import estimators
    from graphgpo.advantages import compute_advantages
    from graphgpo.estimators import Estimator
    from graphgpo.estimators import make as estimator
    from graphgpo.graph import StateGraph, Terminal, build_graph
    from graphgpo.keys import state_key, state_keys
    from graphgpo.memory import GraphMemory
    from graphgpo.problems import LostCreditWarning
    from graphgpo.result import StepAdvantages
    from graphgpo.rollouts import Rollouts

__all__ = [
    "Estimator",
    "GraphMemory",
    "LostCreditWarning",
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

# Where a public name lives: a module, or an attribute of one. Imported at its first use, because a
# program that imports graphgpo in every worker should pay for what it calls and no more.
_HOMES = {
    "Estimator": "graphgpo.estimators:Estimator",
    "GraphMemory": "graphgpo.memory:GraphMemory",
    "LostCreditWarning": "graphgpo.problems:LostCreditWarning",
    "Rollouts": "graphgpo.rollouts:Rollouts",
    "StateGraph": "graphgpo.graph:StateGraph",
    "StepAdvantages": "graphgpo.result:StepAdvantages",
    "Terminal": "graphgpo.graph:Terminal",
    "build_graph": "graphgpo.graph:build_graph",
    "compute_advantages": "graphgpo.advantages:compute_advantages",
    "estimator": "graphgpo.estimators:make",
    "estimators": "graphgpo.estimators",
    "state_key": "graphgpo.keys:state_key",
    "state_keys": "graphgpo.keys:state_keys",
}


def __getattr__(name: str) -> Any:
    """A public name, or an estimator by its class name, imported when it is asked for."""
    if name in _HOMES:
        module, _, attribute = _HOMES[name].partition(":")
        found = importlib.import_module(module)
        found = getattr(found, attribute) if attribute else found
        globals()[name] = found
        return found
    if name[:1].isupper():
        try:
            return getattr(importlib.import_module("graphgpo.estimators"), name)
        except AttributeError:
            pass
    raise AttributeError(f"module 'graphgpo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
