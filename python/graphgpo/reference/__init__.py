"""The whole method in plain Python: documentation that runs, and the oracle of the tests.

Read it from `compute_advantages` down. It takes lists, tuples and NumPy arrays, refuses what
`graphgpo.compute_advantages` refuses but for numbers that outgrow a float64 on the way, and is some
hundred times slower; its results are the same.

    columns -> steps -> graph -> potentials -> scores -> peers -> normalisers -> modifiers -> sum

One file each, with one plain function for every block of `graphgpo.blocks`, found by the block's
class. A block that has none is refused by name.
"""

from __future__ import annotations

from typing import Any

from graphgpo import estimators
from graphgpo.columns import COLUMNS, MERGING
from graphgpo.estimators import Estimator, check_needs
from graphgpo.reference.graph import measure_distances, merge_states
from graphgpo.reference.plan import interpret
from graphgpo.reference.results import by_row
from graphgpo.reference.rollouts import Rollouts, read_rollouts
from graphgpo.reference.states import canonical
from graphgpo.result import StepAdvantages
from graphgpo.states.merging import Merging

__all__ = ["Rollouts", "canonical", "compute_advantages", "credit", "read"]


def compute_advantages(
    states: Any,
    next_states: Any = None,
    *,
    estimator: Any = "graphgpo",
    **columns_and_options: Any,
) -> StepAdvantages:
    """What `graphgpo.compute_advantages` computes, step by step.

    >>> result = compute_advantages(
    ...     ["hall", "kitchen", "hall"],
    ...     ["kitchen", "sink", "bedroom"],
    ...     group_ids=[0, 0, 0],
    ...     trajectory_ids=[0, 0, 1],
    ...     success=[False, True, False],
    ... )
    >>> result.distances
    array([2., 1., 2.])
    """
    given = {"states": states, "next_states": next_states, **columns_and_options}
    columns = {name: given.pop(name, None) for name in COLUMNS}
    merging = Merging.of(*(given.pop(name, default) for name, default in MERGING.items()))
    chosen = estimators.make(estimator, given)
    return credit(chosen, read(columns, merging))


def read(columns: dict[str, Any], merging: Merging | None = None) -> Rollouts:
    """The rollouts of a batch, their states merged and measured, for any number of estimators."""
    rollouts = read_rollouts(columns, merging)
    merge_states(rollouts)
    measure_distances(rollouts)
    return rollouts


def credit(estimator: Estimator, rollouts: Rollouts) -> StepAdvantages:
    """The credit of every row of rollouts that are read and merged."""
    check_needs(estimator, rollouts.columns)
    return by_row(rollouts, interpret(estimator, rollouts))
