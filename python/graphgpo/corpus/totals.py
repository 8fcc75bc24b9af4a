"""What was credited, as counts that add up to the same numbers however a corpus is cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphgpo.result import StepAdvantages

_COUNTS = (
    "num_groups",
    "num_trajectories",
    "num_steps",
    "num_states",
    "num_edges",
    "groups_solved",
    "groups_mixed",
    "groups_without_success",
    "equal_outcome_groups",
    "ends_at_a_start",
    "duplicate_rows",
    "broken_links",
)
_SHARES = {
    "success_rate": "num_trajectories",
    "group_size_mean": "num_groups",
    "distinct_starts": "num_groups",
    "merge_ratio": "num_steps",
    "singleton_share": "num_steps",
    "reachable_share": "num_steps",
}
"""Metrics that are a count by another: added up as counts. Rows on disk have a verdict each."""

NO_CREDIT = 1e-6
"""Credit no larger is none, as in the metric `inert`."""


@dataclass
class Credit:
    """How many steps one estimator raises and lowers."""

    raised: int = 0
    lowered: int = 0
    none: int = 0
    smallest: float = 0.0
    largest: float = 0.0
    has_step_credit: bool = False
    """Whether any step has credit of its own: the metric `inert` is its opposite."""

    def update(self, other: Credit) -> None:
        """Add another partition's."""
        self.raised += other.raised
        self.lowered += other.lowered
        self.none += other.none
        self.smallest = min(self.smallest, other.smallest)
        self.largest = max(self.largest, other.largest)
        self.has_step_credit |= other.has_step_credit


@dataclass
class Totals:
    """Counts of some partitions."""

    counts: Counter[str] = field(default_factory=Counter)
    max_distance: float = 0.0
    credits: dict[str, Credit] = field(default_factory=dict)

    @classmethod
    def of(cls, results: Mapping[str, StepAdvantages]) -> Totals:
        """Of the results of one partition."""
        totals = cls()
        for name, result in results.items():
            totals.credits[name] = _credit(result)
        metrics = {
            name.removeprefix("graphgpo/"): value
            for name, value in next(iter(results.values())).metrics.items()
        }
        for name in _COUNTS:
            totals.counts[name] = round(metrics[name])
        for name, whole in _SHARES.items():
            totals.counts[name] = round(metrics[name] * metrics[whole])
        totals.max_distance = metrics["max_distance"]
        return totals

    def update(self, other: Totals) -> None:
        """Add another partition's."""
        self.counts.update(other.counts)
        self.max_distance = max(self.max_distance, other.max_distance)
        for name, credit in other.credits.items():
            self.credits.setdefault(name, Credit()).update(credit)

    @property
    def inert(self) -> list[str]:
        """Estimators that credit no step."""
        return [name for name, credit in self.credits.items() if not credit.has_step_credit]

    def metrics(self) -> dict[str, float]:
        """Of all partitions, under the names of `compute_advantages`."""
        values: dict[str, float] = {name: self.counts[name] for name in _COUNTS}
        for name, whole in _SHARES.items():
            values[name] = self.counts[name] / self.counts[whole] if self.counts[whole] else 0.0
        values["max_distance"] = self.max_distance
        return values

    def to_plain(self) -> dict[str, Any]:
        """For JSON; `from_plain` reads it."""
        return {
            "counts": dict(self.counts),
            "max_distance": self.max_distance,
            "credits": {name: vars(credit) for name, credit in self.credits.items()},
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Totals:
        """What `to_plain` gave."""
        credits = {name: Credit(**credit) for name, credit in plain["credits"].items()}
        return cls(Counter(plain["counts"]), plain["max_distance"], credits)


def _credit(result: StepAdvantages) -> Credit:
    advantages = result.advantages
    raised = int((advantages > NO_CREDIT).sum())
    lowered = int((advantages < -NO_CREDIT).sum())
    return Credit(
        raised=raised,
        lowered=lowered,
        none=len(advantages) - raised - lowered,
        smallest=float(np.min(advantages, initial=0.0)),
        largest=float(np.max(advantages, initial=0.0)),
        has_step_credit=result.metrics["graphgpo/inert"] == 0.0,
    )
