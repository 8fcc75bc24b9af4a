"""Estimators as the native core reads them: nested dicts of parameters, blocks by name."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from graphgpo import _core
from graphgpo.blocks import BellmanMean, Block, Difference, Given, Log, Target, Term
from graphgpo.estimators import Estimator

if TYPE_CHECKING:
    from graphgpo.rollouts import Rollouts


def plan_of(estimator: Estimator, rollouts: Rollouts) -> _core.Plan:
    """The plan of an estimator, made once for each that holds no numbers of a batch."""
    try:
        return _cached_plan(estimator)
    except _HoldsNumbers:
        return _core.Plan(plan=_Lowering(rollouts).plan(estimator))


class _HoldsNumbers(Exception):
    """A `Given` needs the rollouts it is for."""


@functools.lru_cache(maxsize=64)
def _cached_plan(estimator: Estimator) -> _core.Plan:
    return _core.Plan(plan=_Lowering(None).plan(estimator))


class _Lowering:
    """What a plan is made of, in the core's words. `rollouts` resolve what is `Given`."""

    def __init__(self, rollouts: Rollouts | None) -> None:
        self.rollouts = rollouts

    def plan(self, estimator: Estimator) -> dict[str, Any]:
        return {
            "terms": [self.term(term) for term in estimator.terms()],
            "step_weight": float(estimator.step_weight),
            "episode_weight": float(estimator.episode_weight),
        }

    def term(self, term: Term) -> dict[str, Any]:
        weights = list(term.peer_weights)
        base = [] if term.base is None else [self.comparison(term.base, 0, weights.pop(0))]
        levels = [self.comparison(term, k, weight) for k, weight in enumerate(weights)]
        return {
            "comparisons": levels + base,
            "average": None if term.average is None else self.block(term.average),
            "modifiers": [self.block(modifier) for modifier in term.modifiers],
            "weight": float(term.weight),
        }

    def comparison(self, term: Term, level: int, weight: float) -> dict[str, Any]:
        return {
            "score": self.block(term.score),
            "peers": self.block(term.levels[level]),
            "normaliser": self.block(term.normaliser),
            "unit": term.unit,
            "penalty": float(term.penalty),
            "weight": float(weight),
        }

    def block(self, block: Block) -> dict[str, Any]:
        if isinstance(block, Given):
            return {"block": "Given", "values": self.rows(block)}
        lowered: dict[str, Any] = {"block": type(block).__name__}
        for field in dataclasses.fields(block):
            value = getattr(block, field.name)
            if isinstance(value, Given) and isinstance(block, (Target, Difference, Log)):
                lowered[field.name] = self.nodes(value)
            elif isinstance(value, Given) and isinstance(block, BellmanMean):
                lowered[field.name] = self.rows(value)
            elif isinstance(value, Block):
                lowered[field.name] = self.block(value)
            else:
                lowered[field.name] = value
        return lowered

    def rows(self, given: Given) -> np.ndarray[Any, np.dtype[np.float64]]:
        """One number a row."""
        return self._numbers(given)

    def nodes(self, given: Given) -> dict[str, Any]:
        """One number a node, as each row's step sees both its ends."""
        values = self._numbers(given)
        assert self.rollouts is not None
        source, target = self.rollouts.node_ids()
        known = np.append(values, np.nan)  # a masked row's nodes are -1
        num_nodes = int(max(source.max(initial=-1), target.max(initial=-1))) + 1
        if len(values) != num_nodes:
            raise ValueError(
                f"a Given potential has {len(values)} values but the graph has {num_nodes} nodes; "
                "expected one for each, in the order of Rollouts.graph()"
            )
        return {"block": "GivenNodes", "source": known[source], "target": known[target]}

    def _numbers(self, given: Given) -> np.ndarray[Any, np.dtype[np.float64]]:
        if self.rollouts is None:
            raise _HoldsNumbers
        values = np.ascontiguousarray(given.resolved(self.rollouts), dtype=np.float64)
        if values.ndim != 1:
            raise ValueError(f"values of a Given have shape {values.shape}; expected one axis")
        return values
