"""Every public function, and values that nobody should give it.

Whatever a caller gives is taken, or refused with a `TypeError` or `ValueError` in the library's own
words: never another exception, never Python's or NumPy's about something inside.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import functools
import inspect
import math
import random
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import torch

import graphgpo
import graphgpo.torch
from graphgpo import blocks, estimators, report, states


class Unequal:
    """Raises where it is compared or asked for its truth."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compared")

    def __bool__(self) -> bool:
        raise RuntimeError("asked for its truth")

    __hash__ = None  # type: ignore[assignment]


VALUES: list[Callable[[], Any]] = [
    *map(
        lambda value: lambda: value,
        [
            *(None, True, False, 0, 1, 2, 3, -1, 10**30, 2**63, 0.5, -0.0, math.nan, math.inf, 1j),
            *("", "hall", "0.5", "graphgpo", "mean_std", "token", "light", "\ud800", b"\0", ...),
            *((), [], [None], [[]], ["a", "b", "c"], [1, 2, 3], [True] * 3, [1.0, 2.0, 3.0]),
            *(["a", None, "c"], ["a", 1, 2.0], ["\ud800"] * 3, [math.nan] * 3, [10**25] * 3),
            *({}, {"states": 1}, {1, 2, 3}, object(), int, print, range(3), memoryview(b"abc")),
            *(decimal.Decimal("0.5"), fractions.Fraction(1, 3), uuid.UUID(int=1)),
            *(datetime.datetime(2020, 1, 1), bytearray(b"abc"), Unequal(), lambda *_: 1),
        ],
    ),
    lambda: iter([1, 2, 3]),
    lambda: np.array(1),
    lambda: np.array([1.0, 2.0, math.nan]),
    lambda: np.array([1, 2, 3], ">i4"),
    lambda: np.array(["a", "b", "c"]),
    lambda: np.array([None, "b", 3], object),
    lambda: np.zeros((3, 2)),
    lambda: np.zeros(3, [("a", int)]),
    lambda: np.ma.masked_array([1, 2, 3]),
    lambda: np.array(["2020-01-01"] * 3, "datetime64[D]"),
    *(lambda: np.bool_(1), lambda: np.float32("nan"), lambda: np.int8(3), lambda: np.str_("a")),
    *(lambda: torch.tensor(1.0), lambda: torch.tensor([0, 1, 2]), lambda: torch.zeros(2, 3)),
    *(lambda: torch.ones(2, 3, dtype=torch.long), lambda: torch.zeros(3, requires_grad=True)),
    *(lambda: torch.zeros(3, dtype=torch.bfloat16), lambda: torch.zeros(0)),
    *(lambda: torch.zeros(2, 3).to_sparse(), lambda: torch.empty(3, device="meta")),
    lambda: [torch.zeros(2), torch.zeros(3)],
    lambda: pd.Series(["a", "b", "c"]),
    lambda: pa.array(["a", None, "c"]),
    lambda: pl.Series([1, 2, 3]),
]

GOOD: dict[str, Any] = {
    "states": ["a", "b", "a"],
    "next_states": ["b", "c", "c"],
    "group_ids": [0, 0, 0],
    "trajectory_ids": [0, 0, 1],
    "success": [True, True, False],
}


class Target(NamedTuple):
    """A function, arguments it takes, and the names of all it has."""

    call: Callable[..., Any]
    good: dict[str, Any]
    names: list[str]


def target(call: Callable[..., Any], of: Any = None, **good: Any) -> Target:
    parameters = inspect.signature(call if of is None else of).parameters.values()
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return Target(call, good, named)


@functools.cache
def targets() -> dict[str, Target]:
    """By name."""
    rollouts = graphgpo.Rollouts(**GOOD)
    tokens = torch.zeros(2, 3)
    spans: dict[str, Any] = {"rows": [0, 1], "starts": [0, 0], "stops": [1, 2]}
    ones = torch.ones(2, 3)
    found = {
        "compute_advantages": target(graphgpo.compute_advantages, **GOOD),
        "Rollouts": target(graphgpo.Rollouts, **GOOD),
        "Rollouts.read": target(graphgpo.Rollouts.read, paths="nowhere.jsonl"),
        "advantages": target(rollouts.advantages),
        "compare": target(rollouts.compare, chosen=["grpo"]),
        "explain": target(rollouts.explain, row=0),
        "state_key": target(graphgpo.state_key, state="a"),
        "state_keys": target(graphgpo.state_keys, states=["a"]),
        "estimator": target(graphgpo.estimator, estimator="gigpo"),
        "load": target(estimators.load, name="gigpo"),
        "GraphMemory": target(graphgpo.GraphMemory),
        "Normaliser": target(states.Normaliser),
        "normalise": target(states.normalise, states=["a 12:00:01"]),
        "similar": target(states.similar_components, texts=["abc", "abc."], threshold=0.5),
        "diagnose": target(states.diagnose, states=["a", "b", "a"] * 5),
        "draw": target(report.draw, graph=rollouts.graph()),
        "page": target(report.page, rollouts=rollouts),
        "to_tokens": target(graphgpo.torch.to_tokens, step_values=[1.0, 2.0], response_mask=ones),
        "spans_to_tokens": target(
            graphgpo.torch.spans_to_tokens, step_values=[1.0, 2.0], shape=(2, 3), **spans
        ),
        "tokens_without_span": target(
            graphgpo.torch.tokens_without_span, response_mask=ones, **spans
        ),
        "policy_loss": target(
            graphgpo.torch.policy_loss,
            log_probs=tokens,
            old_log_probs=tokens,
            advantages=tokens,
            mask=ones,
        ),
        "Term": target(blocks.Term, score=blocks.Outcome()),
        "MeanReturn": target(blocks.MeanReturn, gamma=0.9, success_reward=1.0),
        "EdgeReturn": target(blocks.EdgeReturn, omega=0.5, success_reward=1.0),
        "LastStates": target(blocks.LastStates, count=2),
    }
    for name in estimators.names():
        cls = estimators.load(name)
        required = {"ecpo": {"tau": 1.0, "step_weight": 1.0}, "gagpo": {"gamma": 0.9, "lam": 0.9}}

        def credit(chosen: str = name, **options: Any) -> Any:
            return rollouts.advantages(chosen, **options)

        found[name] = target(credit, cls, **required.get(name, {}))
    return found


FOREIGN = (
    "is ambiguous",
    "unhashable",
    "has no attribute",
    "object is not",
    "not supported between",
    "incompatible function arguments",
    "could not convert",
    "must be real number",
    "argument must be",
    "positional argument",
)
"""What others say of what is inside."""

TORCH_SAYS = ("Device", "device", "meta", "utf-8")
"""Of a name that is no device, which torch itself explains, and of tensors without values."""


def some_wrong(rng: random.Random, known: Target) -> dict[str, Any]:
    """Values for one to three of its arguments."""
    chosen = rng.sample(known.names, min(len(known.names), rng.choice([1, 1, 2, 3])))
    return {name: rng.choice(VALUES)() for name in chosen}


def is_taken_or_refused_in_words(known: Target, wrong: dict[str, Any]) -> bool:
    """Whether a call with these is taken, or refused by the library and not by what is inside."""
    try:
        known.call(**known.good | wrong)
    except (TypeError, ValueError, IndexError) as refused:
        return not any(word in str(refused) for word in FOREIGN)
    except RuntimeError as refused:
        return any(word in str(refused) for word in TORCH_SAYS)
    return True
