"""What is wrong with a batch, in words, over all estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphgpo.report.batch import Batch

if TYPE_CHECKING:
    from graphgpo.problems import Problem


def problems_of(batch: Batch) -> list[tuple[Problem, str]]:
    """Problems, the most certain first, each once, and which estimators have it; "" is all."""
    from graphgpo.problems import problems_of as found_by
    from graphgpo.problems.batch import gives_step_credit

    found: dict[tuple[str, str], tuple[Problem, list[str]]] = {}
    for title, result in batch.results.items():
        for problem in found_by(result.metrics, batch.estimators[title]):
            key = (problem.name, problem.words)
            found.setdefault(key, (problem, []))[1].append(title)
    chosen = [title for title, one in batch.estimators.items() if gives_step_credit(one)]
    if chosen:  # states are those of all: looked at once, which takes a second or so
        metrics = batch.results[chosen[0]].metrics
        everyone = list(batch.results)
        for problem in found_by(metrics, batch.estimators[chosen[0]], batch.rollouts):
            found.setdefault((problem.name, problem.words), (problem, everyone))
    certain = sorted(found.values(), key=lambda pair: -pair[0].certainty)
    return [(problem, _whose(titles, batch)) for problem, titles in certain]


def facts_of(batch: Batch) -> list[str]:
    """What is no problem of the batch and still good to know, in sentences."""
    silent = [
        title for title, result in batch.results.items() if result.metrics["graphgpo/inert"] == 1
    ]
    num_groups = int(batch.first.metrics["graphgpo/num_groups"])
    num_lost = int(batch.first.metrics["graphgpo/groups_without_success"])
    facts = [f"No step gets credit from {listed(silent)}."] if silent else []
    if num_lost:
        facts.append(f"In {num_lost:,} of {num_groups:,} tasks no rollout reached the goal.")
    return facts


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[-1] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _whose(titles: Sequence[str], batch: Batch) -> str:
    return "" if len(titles) == len(batch.results) else ", ".join(titles)
