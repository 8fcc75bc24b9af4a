"""Said once per process: credit is lost, and nobody would notice."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

from graphgpo.problems.batch import MANY_LONE, gives_step_credit, has_few_positions

if TYPE_CHECKING:
    from graphgpo.estimators import Estimator
    from graphgpo.problems.problem import Problem
    from graphgpo.rollouts import Rollouts
    from graphgpo.torch.device import HostCopy

FEWEST_STEPS = 64
"""Of a batch; what fewer steps share, or do not, may be chance."""

FEWEST_ROLLOUTS = 4
"""Of a group on average; a pair of rollouts need not meet."""

SURE = 0.5
"""Certainty from which on a problem is worth a warning that nobody asked for."""


class LostCreditWarning(UserWarning):
    """Steps get no credit because states that should be one differ.

    Comes once per process. To turn it off:
    ``warnings.filterwarnings("ignore", category=graphgpo.LostCreditWarning)``.
    """


_is_told_elsewhere: ContextVar[bool] = ContextVar("graphgpo_is_told_elsewhere", default=False)
_has_looked = False


@contextlib.contextmanager
def told_elsewhere() -> Iterator[None]:
    """No warning inside: an adapter logs problems in its trainer's words."""
    token = _is_told_elsewhere.set(True)
    try:
        yield
    finally:
        _is_told_elsewhere.reset(token)


def warn_of_lost_credit(
    metrics: Mapping[str, float], estimator: Estimator, rollouts: Rollouts | HostCopy
) -> None:
    """Look at the first batch of this process whose metrics say that states may be wrong."""
    global _has_looked
    if _has_looked or _is_told_elsewhere.get() or not may_lose_credit(metrics, estimator):
        return
    _has_looked = True
    problem = lost_credit(rollouts.in_host_memory())
    if problem is not None:
        warnings.warn(
            f"{problem}\n(said once per process; result.problems() has all that was found)",
            LostCreditWarning,
            stacklevel=_level_of_the_caller(),
        )


def _level_of_the_caller() -> int:
    """How far up the first frame is that is none of this package, for who calls this."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] == "graphgpo":
        level, frame = level + 1, frame.f_back
    return level


def may_lose_credit(metrics: Mapping[str, float], estimator: Estimator) -> bool:
    """Whether states hardly meet, or at one position only, in a batch that is large enough."""
    if metrics["graphgpo/num_steps"] < FEWEST_STEPS:
        return False
    if metrics["graphgpo/group_size_mean"] < FEWEST_ROLLOUTS:
        return False
    hardly_meet = metrics["graphgpo/singleton_share"] >= MANY_LONE or has_few_positions(metrics)
    return hardly_meet and gives_step_credit(estimator)


def lost_credit(rollouts: Rollouts) -> Problem | None:
    """What is surely wrong with the states; None: nothing is."""
    from graphgpo.problems.problem import Problems
    from graphgpo.problems.states import state_problems

    sure = [one for one in Problems(state_problems(rollouts)) if one.certainty >= SURE]
    return sure[0] if sure else None
