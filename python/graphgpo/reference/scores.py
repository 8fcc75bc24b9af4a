"""A number per step; NaN where it is unknown."""

from __future__ import annotations

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from graphgpo.blocks import (
    ActionMean,
    BellmanMean,
    Block,
    Difference,
    EdgeReturn,
    Given,
    NewStates,
    Outcome,
    ReturnToGo,
    Standing,
    Surprisal,
    Target,
    Trace,
)
from graphgpo.reference.potentials import potential, returns_to_go, rewards, step_numbers
from graphgpo.reference.rollouts import Rollouts
from graphgpo.reference.sums import mean


@functools.singledispatch
def score(block: object, rollouts: Rollouts) -> list[float]:
    """The score of every step."""
    raise TypeError(f"the reference knows no score {type(block).__name__}")


@score.register
def _given(block: Given, rollouts: Rollouts) -> list[float]:
    return step_numbers(block, rollouts)


@score.register
def _edge_return(block: EdgeReturn, rollouts: Rollouts) -> list[float]:
    returns = []
    for step in rollouts.steps:
        before = rollouts.distance(step.group, step.source)
        after = rollouts.distance(step.group, step.target)
        exponent = edge_exponent(block, before, after, step.cost)
        returns.append(block.success_reward * block.omega**exponent)
    return returns


def edge_exponent(block: EdgeReturn, before: Any, after: Any, cost: Any) -> Any:
    """What omega is raised to: of distances before and after a step, numbers or tensors."""
    return {
        "paper": after + cost,
        "recipe": after + cost - 1,
        "progress": (after - before) + cost,
    }[block.exponent]


@score.register
def _target(block: Target, rollouts: Rollouts) -> list[float]:
    _, after = potential(block.potential, rollouts)
    return [block.gamma * value for value in after]


@score.register
def _difference(block: Difference, rollouts: Rollouts) -> list[float]:
    before, after = potential(block.potential, rollouts)
    if not block.rewards:
        return [block.gamma * v - u for u, v in zip(before, after, strict=True)]
    received = rewards(rollouts, block.success_reward)
    return [r + block.gamma * v - u for r, u, v in zip(received, before, after, strict=True)]


@score.register
def _trace(block: Trace, rollouts: Rollouts) -> list[float]:
    differences = score(block.difference, rollouts)
    decay = block.difference.gamma * block.lam
    traces = [math.nan] * len(differences)
    for trajectory in rollouts.trajectories:
        trace = 0.0
        for step in reversed(trajectory.steps):
            trace = differences[step.index] + decay * trace
            traces[step.index] = trace
    return traces


@score.register
def _return_to_go(block: ReturnToGo, rollouts: Rollouts) -> list[float]:
    return returns_to_go(rollouts, block.gamma, block.success_reward)


@score.register
def _outcome(block: Outcome, rollouts: Rollouts) -> list[float]:
    outcomes = {trajectory: trajectory.outcome for trajectory in rollouts.trajectories}
    return [outcomes[step.trajectory] for step in rollouts.steps]


@score.register
def _new_states(block: NewStates, rollouts: Rollouts) -> list[float]:
    shares = {}
    for trajectory in rollouts.trajectories:
        reached = {trajectory.steps[0].source} | {step.target for step in trajectory.steps}
        shares[trajectory] = (len(reached) - 1) / len(trajectory.steps)
    return [shares[step.trajectory] for step in rollouts.steps]


@score.register
def _surprisal(block: Surprisal, rollouts: Rollouts) -> list[float]:
    found = surprisals(rollouts)
    if not block.actions:
        return found
    return [y - z for y, z in zip(found, surprisals_given_action(rollouts), strict=True)]


def surprisals(rollouts: Rollouts) -> list[float]:
    """ln(n(s) / n(s, c)), c the target; those that one step alone takes from s are one target."""
    return _surprisals_among([step.source for step in rollouts.steps], rollouts)


def surprisals_given_action(rollouts: Rollouts) -> list[float]:
    """The same among the steps with one state and action."""
    return _surprisals_among(same_action(rollouts), rollouts)


def _surprisals_among(keys: Sequence[Hashable], rollouts: Rollouts) -> list[float]:
    edges = [(step.source, step.target) for step in rollouts.steps]
    times = Counter(edges)
    pooled = [target if times[edge] > 1 else None for edge in edges for _, target in [edge]]
    leaving, going = Counter(keys), Counter(zip(keys, pooled, strict=True))
    return [math.log(leaving[k] / going[k, c]) for k, c in zip(keys, pooled, strict=True)]


@score.register
def _action_mean(block: ActionMean, rollouts: Rollouts) -> list[float]:
    scores = score(block.score, rollouts)
    actions, states = same_action(rollouts), [step.source for step in rollouts.steps]
    numbers = counts(actions, scores)
    return [
        shrunk(q, m, n, block.kappa)
        for q, m, n in zip(means(actions, scores), means(states, scores), numbers, strict=True)
    ]


def shrunk(q: float, m: float, n: int, kappa: float) -> float:
    """(n q + kappa m) / (n + kappa): exactly q where there is nothing to draw it to."""
    return q if kappa == 0 or q == m else (n * q + kappa * m) / (n + kappa)


def same_action(rollouts: Rollouts) -> list[Hashable]:
    """A key of the state and what was done there."""
    pairs = zip(rollouts.steps, rollouts.actions(), strict=True)
    return [(step.source, action) for step, action in pairs]


def counts(keys: Iterable[Hashable], values: Iterable[float]) -> list[int]:
    """Of every step the number of known values with its key."""
    return [sum(not math.isnan(value) for value in found) for found in _shared(keys, values)]


def means(keys: Iterable[Hashable], values: Iterable[float]) -> list[float]:
    """Of every step the mean of the known values with its key."""
    return [mean(found) for found in _shared(keys, values)]


def _shared(keys: Iterable[Hashable], values: Iterable[float]) -> list[list[float]]:
    keys = list(keys)
    found: dict[Hashable, list[float]] = defaultdict(list)
    for key, value in zip(keys, values, strict=True):
        found[key].append(value)
    return [found[key] for key in keys]


@score.register
def _standing(block: Standing, rollouts: Rollouts) -> list[float]:
    from graphgpo.reference.plan import Level, compare

    scores = score(block.score, rollouts)
    level = compare(Level(block.score, block.peers, block.normaliser, block.unit), rollouts)
    # What is unknown does not become known by being compared.
    return [s if math.isnan(s) else a for s, a in zip(scores, level.standings, strict=True)]


def is_iterated(block: Block) -> bool:
    """Whether a Bellman mean is anywhere inside it, so that its last digits are noise."""
    return isinstance(block, BellmanMean) or any(
        is_iterated(inner) for inner in vars(block).values() if isinstance(inner, Block)
    )
