"""Why every step of a task has its credit: the peers of each, once, by estimator, term and level.

Computed by the reference, as `graphgpo.explain` is, but for all steps of a task together: what is
compared is found once, and steps that share their peers share what is said of these.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graphgpo.columns import COLUMNS
from graphgpo.estimators import Estimator
from graphgpo.explain import is_batch_wide
from graphgpo.graph import value_at

if TYPE_CHECKING:
    from graphgpo.reference.plan import Level
    from graphgpo.reference.rollouts import Rollouts as Read
    from graphgpo.reference.rollouts import Step
    from graphgpo.rollouts import Rollouts

MOST_STEPS = 20_000
"""That are explained at once; the reference takes about 50 us a step and estimator."""

MOST_PEERS = 12
"""Of one comparison that are listed."""


class Reader:
    """The reference's view of a batch: of a task or, for estimators that need it, of all."""

    def __init__(self, rollouts: Rollouts) -> None:
        self._rollouts = rollouts
        self._whole: tuple[Read, list[int]] | None = None

    def explained(
        self, estimator: Estimator, rows: Sequence[int], task: tuple[Read, list[int]] | None
    ) -> dict[str, Any] | None:
        """What the page says of the steps in `rows`; None: there are too many to look at.

        `task` is what `read` made of the task's rows, all of them.
        """
        reading = task
        if any(is_batch_wide(term) for term in estimator.terms()):
            if self._whole is None and len(self._rollouts) <= MOST_STEPS:
                self._whole = self.read(range(len(self._rollouts)))
            reading = self._whole
        return None if reading is None else _explained(estimator, rows, *reading)

    def read(self, rows: Sequence[int]) -> tuple[Read, list[int]] | None:
        """The rows as the reference reads them; None: there are too many."""
        from graphgpo import reference

        if len(rows) > MOST_STEPS:
            return None
        plain: dict[str, Any] = dict.fromkeys(COLUMNS)
        for name, column in self._rollouts.merged_columns.items():
            plain[name] = [value_at(column, row) for row in rows]
        return reference.read(plain), list(rows)


def words(name: str) -> str:
    """A block's name as words.

    >>> words("EdgeReturn"), words("MeanStd")
    ('edge return', 'mean std')
    """
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


def rounded(x: float) -> float | None:
    """Six digits are enough for people, and JSON knows no NaN."""
    return None if math.isnan(x) else float(f"{x:.6g}")


def _explained(
    estimator: Estimator, rows: Sequence[int], read: Read, all_rows: list[int]
) -> dict[str, Any]:
    from graphgpo.reference.plan import compare, levels_of, standings

    by_row = {all_rows[step.row]: step for step in read.steps}
    steps = [by_row[row] for row in rows]
    shown = {step.index: i for i, step in enumerate(steps)}
    terms = []
    for term in estimator.terms():
        levels = levels_of(term)
        found = [compare(level, read) for level in levels]
        values = standings(term, found, read)
        terms.append(
            {
                "episodic": bool(term.is_episodic),
                "weight": rounded(term.weight),
                "values": [rounded(values[step.index]) for step in steps],
                "levels": [
                    _level(level, compared, steps, shown, read)
                    for level, compared in zip(levels, found, strict=True)
                ],
            }
        )
    return {
        "stepWeight": rounded(estimator.step_weight),
        "episodeWeight": rounded(estimator.episode_weight),
        "terms": terms,
    }


def _level(
    level: Level, compared: Any, steps: Sequence[Step], shown: Mapping[int, int], read: Read
) -> dict[str, Any]:
    from graphgpo.reference.peers import peer_keys

    keys = peer_keys(level.peers, read)
    members: dict[Hashable, list[Step]] = defaultdict(list)
    for step, key in zip(read.steps, keys, strict=True):
        if key is not None:
            members[key].append(step)
    numbers: dict[Hashable, int] = {}
    for step in steps:
        key = keys[step.index]
        if key is not None:
            numbers.setdefault(key, len(numbers))
    return {
        "score": words(type(level.score).__name__),
        "peersBy": words(type(level.peers).__name__),
        "normaliser": words(type(level.normaliser).__name__),
        "unit": "rollouts" if level.unit == "trajectories" else level.unit,
        "sets": [_peers(level, members[key], compared, shown) for key in numbers],
        "set": [numbers.get(keys[step.index], -1) for step in steps],
        "own": [rounded(compared.scores[step.index]) for step in steps],
        "standings": [rounded(compared.standings[step.index]) for step in steps],
        "void": [int(compared.is_void[step.index]) for step in steps],
    }


def _peers(
    level: Level, members: list[Step], compared: Any, shown: Mapping[int, int]
) -> dict[str, Any]:
    """What is compared under one key: how many, mean, deviation, and the peers by score."""
    if level.unit == "trajectories":
        first: dict[object, Step] = {}
        for step in sorted(members, key=lambda s: s.turn):
            first.setdefault(step.trajectory, step)
        members = list(first.values())
    scores: NDArray[np.float64] = np.array([compared.scores[s.index] for s in members])
    known = scores[~np.isnan(scores)]
    order = sorted(
        range(len(members)), key=lambda i: (math.isnan(scores[i]), -scores[i], members[i].row)
    )
    return {
        "num": len(known),
        "mean": rounded(float(known.mean())) if len(known) else None,
        "std": rounded(float(known.std(ddof=1))) if len(known) > 1 else 0.0,
        "low": rounded(float(known.min())) if len(known) else None,
        "high": rounded(float(known.max())) if len(known) else None,
        "peers": [
            [
                shown.get(members[i].index, -1),
                rounded(float(scores[i])),
                rounded(compared.standings[members[i].index]),
            ]
            for i in _evenly(order, MOST_PEERS)
        ],
    }


def _evenly(order: list[int], most: int) -> list[int]:
    """At most `most` of them, first and last among them."""
    if len(order) <= most:
        return order
    return [order[round(i * (len(order) - 1) / (most - 1))] for i in range(most)]
