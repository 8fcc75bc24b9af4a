"""Step-level credit for LLM agents trained with reinforcement learning."""

from __future__ import annotations

from graphgpo._core import __version__
from graphgpo.advantages import compute_advantages
from graphgpo.config import GraphGPOConfig
from graphgpo.graph import StateGraph, Terminal, build_graph
from graphgpo.keys import state_key, state_keys
from graphgpo.result import StepAdvantages

__all__ = [
    "GraphGPOConfig",
    "StateGraph",
    "StepAdvantages",
    "Terminal",
    "__version__",
    "build_graph",
    "compute_advantages",
    "state_key",
    "state_keys",
]
