"""A problem of a batch, and how it is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from graphgpo.states.diagnose import NearState


@dataclass(frozen=True)
class Advice:
    """What to do, in the words of one trainer; the defaults are those of a plain loop."""

    record_steps: str = "Pass what the environment showed before and after each step"
    set_success: str = "passed as `success`"
    more_rollouts: str = (
        "Play each task four times or more; if you do, its rollouts do not share a group id"
    )
    mark_invalid: str = "Pass action_valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is probably wrong. Prints readably."""

    name: str
    """What `python -m graphgpo.problems NAME` explains."""
    words: str
    """What was seen, and what to do."""
    certainty: float
    """0 to 1."""
    remedy: str = ""
    """The argument of `compute_advantages` that mends it, as it is written; "": none does."""
    switch: dict[str, Any] = field(default_factory=dict)
    """The same as a dict: `compute_advantages(..., **problem.switch)`."""
    nearest: tuple[NearState, NearState] | None = None
    """Two states of this batch, what differs marked."""

    @property
    def link(self) -> str:
        """The command that prints more; it needs nothing but the installed package."""
        return f"python -m graphgpo.problems {self.name.replace(' ', '-')}"

    def __str__(self) -> str:
        lines = [f"{self.name} ({self.certainty:.0%}): {self.words}"]
        if self.remedy:
            lines.append(f"  write: {self.remedy}")
        for near in self.nearest or ():
            lines.append(f"  row {near.row}: {near.marked!r}")
        return "\n".join([*lines, f"  more: {self.link}"])


def counted(number: float, thing: str) -> str:
    """A number of things in words.

    >>> counted(1, "group"), counted(1200, "step")
    ('1 group', '1,200 steps')
    """
    return f"{number:,.0f} {thing}{'' if number == 1 else 's'}"


class Problems(tuple[Problem, ...]):
    """Problems, the most certain first. Prints readably.

    >>> print(Problems([]))
    no problems found
    """

    __slots__ = ()

    def __new__(cls, problems: Iterable[Problem] = ()) -> Problems:
        return super().__new__(cls, sorted(problems, key=lambda problem: -problem.certainty))

    @property
    def names(self) -> list[str]:
        """What each is called, in order."""
        return [problem.name for problem in self]

    def named(self, name: str) -> Problem:
        """The problem of that name."""
        return next(problem for problem in self if problem.name == name)

    def text(self) -> str:
        """All of them, for a terminal."""
        return "\n".join(map(str, self)) or "no problems found"

    __str__ = text
