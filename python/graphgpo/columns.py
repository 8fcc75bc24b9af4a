"""The row columns of a batch: what each is called, holds and means. The one list of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

Kind: TypeAlias = Literal["state", "id", "key", "flag", "verdict", "integer", "real"]


@dataclass(frozen=True)
class Column:
    """One column: (N,), a value for every step."""

    name: str
    kind: Kind
    """"state": anything with an equality; "id": int, str, bytes, UUID or tuples of them; "key": of
    either; "flag": bool; "verdict": bool or None; "integer": int64; "real": float64."""
    meaning: str
    is_required: bool = False


COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        Column("states", "state", "State before each step.", True),
        Column("next_states", "state", "State after it; None: the following step's state."),
        Column("group_ids", "id", "Task of the row.", True),
        Column("trajectory_ids", "id", "Rollout of the row, unique within its group.", True),
        Column(
            "success",
            "verdict",
            "Whether the rollout reached the goal, on its last step or on every step; null on "
            "every row of a rollout without a verdict.",
        ),
        Column("step_ids", "integer", "Order within the trajectory; None: row order."),
        Column("actions", "key", "What was done: for estimators that need it, and for people."),
        Column("rewards", "real", "Environment reward of the step."),
        Column("episode_returns", "real", "Outcome of the row's trajectory."),
        Column("edge_costs", "real", "Cost of the step, > 0; None: 1."),
        Column("action_valid", "flag", "Whether the action was valid."),
        Column("mask", "flag", "False: padding, whose values are never looked at."),
        Column("peer_keys", "key", "A key per step, for estimators whose peers the user defines."),
    )
}

MERGING: dict[str, Any] = {"normalise": None, "similar": None, "node_history": 1}
"""Arguments beside the columns that say what counts as one state, and their defaults."""


def of_kind(*kinds: Kind) -> tuple[str, ...]:
    """The names of the columns of these kinds, in order."""
    return tuple(name for name, column in COLUMNS.items() if column.kind in kinds)


def is_null(name: str, value: Any) -> bool:
    """Whether a value of a column of objects stands for none: None, pandas' NA and NaT, and among
    next states NaN, which pandas writes where it shifts a column and there is no following row.
    """
    if value is None:
        return True
    if isinstance(value, (float, np.floating)):
        return name == "next_states" and bool(value != value)
    kind = type(value)
    return kind.__name__ in ("NAType", "NaTType") and kind.__module__.startswith("pandas.")
