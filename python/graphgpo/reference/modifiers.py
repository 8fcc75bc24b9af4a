"""A factor per step."""

from __future__ import annotations

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Callable

from graphgpo.blocks import ActionEvidence, FailureRate, Live, NobodyWon, Polarised, Seen
from graphgpo.reference.rollouts import Group, Rollouts, Trajectory
from graphgpo.reference.scores import means, same_action, score


@functools.singledispatch
def factors(block: object, rollouts: Rollouts) -> list[float]:
    """The factor of every step."""
    raise TypeError(f"the reference knows no modifier {type(block).__name__}")


@factors.register
def _failure_rate(block: FailureRate, rollouts: Rollouts) -> list[float]:
    rates = {
        group: block.beta * (1 - _share(group, lambda t: t.outcome > 0)) ** block.alpha
        for group in rollouts.groups
    }
    return [rates[step.group] for step in rollouts.steps]


@factors.register
def _polarised(block: Polarised, rollouts: Rollouts) -> list[float]:
    b = block.span / (_logistic(1.0) - 0.5)
    found = {}
    for group in rollouts.groups:
        p = _share(group, lambda t: _won(t, rollouts))
        for trajectory in group.trajectories.values():
            x = (1 - p) ** block.alpha if _won(trajectory, rollouts) else -(p**block.alpha)
            found[trajectory] = 1 + b * (_logistic(x) - 0.5) if trajectory.has_verdict else 1.0
    return [found[step.trajectory] for step in rollouts.steps]


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _won(trajectory: Trajectory, rollouts: Rollouts) -> bool:
    """Whether it succeeded; without a column that says so, whether its outcome is above 0."""
    return trajectory.succeeded if rollouts.has("success") else trajectory.outcome > 0


def _share(group: Group, holds: Callable[[Trajectory], bool]) -> float:
    """Of the trajectories with a verdict those of which it holds; 0 where there are none."""
    judged = [holds(t) for t in group.trajectories.values() if t.has_verdict]
    return sum(judged) / len(judged) if judged else 0.0


@factors.register
def _seen(block: Seen, rollouts: Rollouts) -> list[float]:
    targets = [step.target for step in rollouts.steps]
    kinds = rollouts.actions() if block.what == "actions" else targets
    found = defaultdict(set)
    for step, kind in zip(rollouts.steps, kinds, strict=True):
        found[step.source].add(kind)
    return [float(len(found[step.source]) >= block.at_least) for step in rollouts.steps]


@factors.register
def _action_evidence(block: ActionEvidence, rollouts: Rollouts) -> list[float]:
    states, scores = [step.source for step in rollouts.steps], score(block.score, rollouts)
    q, m = means(same_action(rollouts), scores), means(states, scores)
    between = [(qi - mi) ** 2 if s == s else s for s, qi, mi in zip(scores, q, m, strict=True)]
    within = [(s - qi) ** 2 for s, qi in zip(scores, q, strict=True)]
    n = Counter(states)
    return [
        0.0 if math.isnan(b) else math.tanh(n[u] / block.tau) * b / (b + w + block.epsilon)
        for u, b, w in zip(states, means(states, between), means(states, within), strict=True)
    ]


@factors.register
def _nobody_won(block: NobodyWon, rollouts: Rollouts) -> list[float]:
    lost = {group: nobody_won(group, rollouts) for group in rollouts.groups}
    share = sum(lost.values()) / len(lost) if block.times_share and lost else 1.0
    return [share * lost[step.group] for step in rollouts.steps]


def nobody_won(group: Group, rollouts: Rollouts) -> bool:
    """Whether none of a group's rollouts succeeded."""
    return not any(_won(t, rollouts) for t in group.trajectories.values())


@factors.register
def _live(block: Live, rollouts: Rollouts) -> list[float]:
    live = sum(not nobody_won(group, rollouts) for group in rollouts.groups)
    return [(live + 1) / (len(rollouts.groups) + 1)] * len(rollouts.steps)
