"""Estimators as the native core reads them: nested dicts of parameters, blocks by name."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graphgpo import _core
from graphgpo.blocks import BellmanMean, Block, Difference, Given, Log, Target, Term
from graphgpo.estimators import Estimator

if TYPE_CHECKING:
    from graphgpo.rollouts import Rollouts


def plan_of(estimator: Estimator, rollouts: Rollouts) -> _core.Plan:
    """The plan of an estimator, made once for each that holds no numbers of a batch."""
    try:
        return _cached_plan(estimator)
    except _HoldsNumbersError:
        return _core.Plan(plan=_Lowering(rollouts).plan(estimator))


class _HoldsNumbersError(Exception):
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
                lowered[field.name] = self.boundary(value)
            elif isinstance(value, Block):
                lowered[field.name] = self.block(value)
            else:
                lowered[field.name] = value
        return lowered

    def rows(self, given: Given) -> NDArray[np.float64]:
        """One number a row."""
        rollouts = self._rollouts()
        return given.numbers(rollouts, len(rollouts), "one per row")

    def nodes(self, given: Given) -> dict[str, Any]:
        """One number a node, as each row's step sees both its ends."""
        rollouts = self._rollouts()
        source, target = rollouts.node_ids()
        num_nodes = int(max(source.max(initial=-1), target.max(initial=-1))) + 1
        how_many = "one per node of Rollouts.graph()"
        values = given.numbers(rollouts, num_nodes, how_many)
        known = np.append(values, np.nan)  # a masked row's nodes are -1
        return {"block": "GivenNodes", "source": known[source], "target": known[target]}

    def boundary(self, given: Given) -> NDArray[np.float64]:
        """One number a row in [0, 1], of which masked rows may have any."""
        values = self.rows(given)
        is_wrong = ~((values >= 0) & (values <= 1))
        if is_wrong.any():
            is_masked = self._rollouts().node_ids()[0] < 0
            for row in np.flatnonzero(is_wrong & ~is_masked):
                raise ValueError(f"boundary[{row}] is {values[row]}; expected a number in [0, 1]")
        return np.where(is_wrong, 0.0, values)

    def _rollouts(self) -> Rollouts:
        if self.rollouts is None:
            raise _HoldsNumbersError
        return self.rollouts
