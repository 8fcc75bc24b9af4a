"""An estimator's terms, interpreted: every step compared with its peers, and summed up."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphgpo.blocks import EdgeReturn, Raw, Surprisal, Term
from graphgpo.estimators import Estimator
from graphgpo.reference.modifiers import factors
from graphgpo.reference.normalisers import normal
from graphgpo.reference.peers import peer_keys
from graphgpo.reference.rollouts import Rollouts, Step
from graphgpo.reference.scores import is_iterated, means, score

SAME = 1e-9
"""Values of a Bellman mean that differ by less, relative to the largest, are the same."""


@dataclass(frozen=True, eq=False)
class Credit:
    """What an estimator makes of a batch, by step: arrays here, tensors on a device."""

    advantages: Any
    step_advantages: Any
    episode_advantages: Any
    first: Any
    """`Compared` at the first term's own level, or the first of them."""
    has_step_term: bool
    surprisal: Surprisal | None
    """What the first term that credits where steps go is made of."""


def interpret(estimator: Estimator, rollouts: Rollouts) -> Credit:
    """What an estimator makes of the rollouts."""
    return summed(
        estimator,
        lambda level: compare(level, rollouts),
        lambda term, levels: np.array(standings(term, levels, rollouts)),
        np.zeros(len(rollouts.steps)),
    )


def summed(
    estimator: Estimator,
    compared: Callable[[Level], Any],
    standings: Callable[[Term, Sequence[Any]], Any],
    zeros: Any,
) -> Credit:
    """A = step_weight * S + episode_weight * E, the sums of the terms that differ along a
    trajectory and of those that do not.

    Of whatever compares a level, and makes a term's standings of its levels.
    """
    terms = estimator.terms()
    found = [[compared(level) for level in levels_of(term)] for term in terms]
    sums = {False: zeros, True: zeros}
    for term, levels in zip(terms, found, strict=True):
        sums[term.is_episodic] = sums[term.is_episodic] + term.weight * standings(term, levels)
    return Credit(
        advantages=estimator.step_weight * sums[False] + estimator.episode_weight * sums[True],
        step_advantages=sums[False],
        episode_advantages=sums[True],
        first=found[0][1 if terms[0].base else 0],
        has_step_term=not all(term.is_episodic for term in terms),
        surprisal=next((t.score for t in terms if isinstance(t.score, Surprisal)), None),
    )


def standings(term: Term, levels: Sequence[Compared], rollouts: Rollouts) -> list[float]:
    """A term, without its weight: the weighted mean of its levels, averaged and modified."""
    result = []
    for step in rollouts.steps:
        spoken = [
            (weight, level.standings[step.index])
            for weight, level in zip(term.peer_weights, levels, strict=True)
            if not level.is_void[step.index]
        ]
        total = sum(weight for weight, _ in spoken)
        weighted = sum(weight * standing for weight, standing in spoken)
        result.append(weighted / total if total else 0.0)
    if term.average is not None:
        keys = peer_keys(term.average, rollouts)
        averages = means(keys, result)
        result = [
            own if key is None else average
            for key, own, average in zip(keys, result, averages, strict=True)
        ]
    for modifier in term.modifiers:
        result = [x * f for x, f in zip(result, factors(modifier, rollouts), strict=True)]
    return result


# --- one level ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Level:
    """A score compared with one kind of peers."""

    score: Any
    peers: Any
    normaliser: Any
    unit: str
    penalty: float = 0.0

    @property
    def is_relative(self) -> bool:
        return getattr(self.normaliser, "scale", "absolute") == "relative"

    def is_for_winners(self, has_invalid_actions: bool) -> bool:
        """Whether it is void in a group that nobody won: an edge return is, but for penalties at
        absolute scale.
        """
        is_punished = has_invalid_actions and self.penalty != 0 and not self.is_relative
        return isinstance(self.score, EdgeReturn) and not is_punished


@dataclass(frozen=True, eq=False)
class Compared:
    """By step: its score, its standing, whether that is void, and how many peers it was among.

    Lists here, tensors on a device.
    """

    scores: Any
    standings: Any
    is_void: Any
    num_peers: Any


def levels_of(term: Term) -> list[Level]:
    """The base, if there is one, and one a peer rule."""
    base = [] if term.base is None else levels_of(term.base)
    return base + [
        Level(term.score, peers, term.normaliser, term.unit, term.penalty) for peers in term.levels
    ]


def compare(level: Level, rollouts: Rollouts) -> Compared:
    """Every step's standing among the steps with its key.

    Void, and 0, where it has no key, where its score is unknown, where fewer than two known values
    are to be compared, and where these are all equal.
    """
    scores = score(level.score, rollouts)
    number = len(scores)
    if isinstance(level.normaliser, Raw):
        raw = [scores[step.index] - _penalty(level, step) for step in rollouts.steps]
        known = [0.0 if math.isnan(x) else x for x in raw]
        return Compared(scores, known, [False] * number, [0] * number)

    result = Compared(scores, [0.0] * number, [True] * number, [0] * number)
    is_for_winners = level.is_for_winners(rollouts.has("action_valid"))
    by_key: dict[Hashable, list[Step]] = defaultdict(list)
    for step, key in zip(rollouts.steps, peer_keys(level.peers, rollouts), strict=True):
        if key is not None:
            by_key[key].append(step)
    for steps in by_key.values():
        counted = [s for s in _counted(level, steps) if not math.isnan(scores[s.index])]
        values = _values(level, steps, counted, scores, rollouts)
        stands = normal(level.normaliser, [values[step] for step in counted])
        for step in steps:
            result.num_peers[step.index] = len(counted)
            teaches_nothing = is_for_winners and step.group.goal is None
            if stands is None or math.isnan(values[step]) or teaches_nothing:
                continue
            result.is_void[step.index] = False
            result.standings[step.index] = stands(values[step])
    return result


def _counted(level: Level, steps: Sequence[Step]) -> list[Step]:
    """Steps that count in the statistics: all, or of each trajectory the first."""
    if level.unit == "steps":
        return list(steps)
    first: dict[object, Step] = {}
    for step in sorted(steps, key=lambda step: step.turn):
        first.setdefault(step.trajectory, step)
    return list(first.values())


def _values(
    level: Level,
    steps: Sequence[Step],
    counted: Sequence[Step],
    scores: Sequence[float],
    rollouts: Rollouts,
) -> dict[Step, float]:
    """What is compared: scores, scaled if so, less the penalty for invalid actions."""
    if level.is_relative and isinstance(level.score, EdgeReturn):
        values = _relative_edge_returns(level, steps, counted, rollouts)
    else:
        values = {step: scores[step.index] for step in steps}
        largest = max((abs(values[step]) for step in counted), default=0.0)
        if level.is_relative and largest > 0:
            values = {step: value / largest for step, value in values.items()}
    values = {step: value - _penalty(level, step) for step, value in values.items()}
    if is_iterated(level.score) and counted:
        largest = max(values[step] for step in counted)
        return {
            step: largest if abs(largest - value) <= SAME * abs(largest) else value
            for step, value in values.items()
        }
    return values


def _relative_edge_returns(
    level: Level, steps: Sequence[Step], counted: Sequence[Step], rollouts: Rollouts
) -> dict[Step, float]:
    """Edge returns over the largest of them, which neither under- nor overflows.

    The kinds of exponent differ by a constant per source state, which cancels.
    """
    exponents = {s: rollouts.distance(s.group, s.target) + s.cost for s in steps}
    smallest = min(exponents[step] for step in counted)
    return {step: level.score.omega ** (e - smallest) for step, e in exponents.items()}


def _penalty(level: Level, step: Step) -> float:
    """What is taken from a step's score; at relative scale in groups with a success only."""
    is_spared = level.is_relative and step.group.goal is None
    return level.penalty if step.is_invalid and not is_spared else 0.0
