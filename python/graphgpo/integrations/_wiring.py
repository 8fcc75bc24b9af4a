"""What adapters tell their users: wrong wiring in plain words, and a version nobody has tried."""

from __future__ import annotations

import importlib.metadata
import logging
import re
import warnings
from collections.abc import Mapping
from typing import Any

import graphgpo
from graphgpo.columns import MERGING
from graphgpo.estimators import Estimator
from graphgpo.problems import Advice, problems_of
from graphgpo.problems.warning import lost_credit, may_lose_credit, told_elsewhere
from graphgpo.result import StepAdvantages

__all__ = ["Advice", "check_version", "merging_apart", "say_problems", "told_elsewhere"]

logger = logging.getLogger(__name__)

Version = tuple[int, ...]


_said: set[str] = set()


def say_problems(
    result: StepAdvantages | None,
    metrics: Mapping[str, float],
    advice: Advice,
    estimator: Estimator,
    *,
    num_rewarded: int,
    knows_action_valid: bool,
) -> None:
    """Log what is wrong with a batch as warnings, each the first time it is met in this process.

    `result`: None where its columns are not those of rollouts; `metrics`: its own and the
    trainer's. States are looked at once per process, in the first batch whose metrics say that they
    may be wrong.
    """
    found = problems_of(
        metrics,
        estimator,
        advice=advice,
        num_rewarded=num_rewarded,
        knows_action_valid=knows_action_valid,
    )
    new = [problem for problem in found if _is_new(problem.name)]
    asked = None if result is None else result.asked
    if asked is not None and may_lose_credit(metrics, estimator) and _is_new("states"):
        problem = lost_credit(asked.rollouts.in_host_memory())
        new = [problem, *new] if problem is not None else new
    for problem in new:
        logger.warning("graphgpo: %s (said once per process)", problem)


def _is_new(name: str) -> bool:
    if name in _said:
        return False
    _said.add(name)
    return True


def merging_apart(options: Any) -> tuple[Any, dict[str, Any]]:
    """A trainer's options: those of the estimator, and those that say what counts as one state.

    >>> merging_apart({"estimator": "gigpo", "similar": 0.95})
    ({'estimator': 'gigpo'}, {'similar': 0.95})
    """
    if not isinstance(options, Mapping):
        return options, {}
    given = {str(name): value for name, value in options.items()}
    merging = {name: given.pop(name) for name in MERGING if name in given}
    return given, merging


def check_version(package: str, oldest: Version, beyond: Version) -> None:
    """Warn, once per process, unless oldest <= the installed version < beyond."""
    if f"version of {package}" in _said:
        return
    _said.add(f"version of {package}")
    version = importlib.metadata.version(package)
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if not oldest <= numbers < beyond:
        warnings.warn(
            f"graphgpo {graphgpo.__version__} is tested with {package} >={_dotted(oldest)},"
            f"<{_dotted(beyond)}; this is {package} {version}",
            stacklevel=3,
        )


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
