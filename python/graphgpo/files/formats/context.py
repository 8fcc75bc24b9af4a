"""What every reader of a format is given."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..mapping import Plan
from ..report import Report


@dataclass
class Context:
    """One reading."""

    report: Report
    plan: Plan | None = None
    """The user's mapping."""

    score: str | None = None
    """Which of several scores is the outcome."""

    preset: str = ""
    fills_next_states: bool = True
    """Whether a file without next states gets those of the following steps, for which all of it is
    held in memory. If not, the report says that they are lacking."""

    _policies: set[str] = field(default_factory=set)

    def leave_out(self, reason: str) -> None:
        """Count a rollout that is left out."""
        self.report.left_out[reason] += 1

    def saw_policy(self, name: str) -> None:
        """Say so where rollouts of several policies come together."""
        self._policies.add(name)
        if len(self._policies) == 2:
            self.report.warn(
                f"rollouts of several policies ({', '.join(sorted(self._policies))}) are compared "
                "with one another; read those of one policy at a time"
            )

    def saw_shell(self) -> None:
        """Say what a shell agent's observations are not."""
        self.report.warn(
            "shell agents: what a command printed is not the state (folder and files are not in "
            "it), so some steps are merged that were in different situations"
        )


UNSCORED = "unscored (no outcome)"
CRASHED = "crashed"
EMPTY = "empty (no step of the policy)"
