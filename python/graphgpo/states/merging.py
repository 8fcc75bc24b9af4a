"""What counts as one state: the columns of a batch as they are to be merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphgpo.counts import at_least_one
from graphgpo.states.column import element_list
from graphgpo.states.normaliser import Normaliser, normalise
from graphgpo.states.similar import check_threshold, similar_components

STATES = ("states", "next_states")


@dataclass(frozen=True, slots=True)
class Merging:
    """The options of `Rollouts` that say what counts as one state, checked."""

    normaliser: Normaliser | None = None
    similar: float | None = None
    node_history: int = 1

    @classmethod
    def of(cls, normalise: Any, similar: Any, node_history: Any) -> Merging:
        """From what a caller or a trainer's config gives.

        >>> Merging.of({"numbers": True}, None, 2).normaliser("ticket 3")
        'ticket <num>'
        """
        is_short = type(node_history) is int and node_history == 1
        if is_short and normalise is None and similar is None:
            return AS_GIVEN
        if similar is not None:
            check_threshold("similar", similar)
        history = at_least_one("node_history", node_history)
        return cls(as_normaliser(normalise), similar, history)

    @property
    def options(self) -> dict[str, Any]:
        """As `Rollouts` takes them."""
        return {
            "normalise": self.normaliser,
            "similar": self.similar,
            "node_history": self.node_history,
        }

    @property
    def is_coarser(self) -> bool:
        """Whether states that differ may become one."""
        return self.normaliser is not None or self.similar is not None


AS_GIVEN = Merging()
"""States are one where they are equal."""

_NO_DUPLICATES = {"graphgpo/similar_merged": 0.0, "graphgpo/similar_largest": 0.0}


class Merged(NamedTuple):
    """Columns whose states are one where they are equal, and what near-duplicates did to them."""

    columns: Mapping[str, Any]
    similar_merged: int = 0
    similar_largest: int = 0

    @property
    def metrics(self) -> dict[str, float]:
        """For a logger."""
        if self.similar_largest == 0:
            return _NO_DUPLICATES
        return {
            "graphgpo/similar_merged": float(self.similar_merged),
            "graphgpo/similar_largest": float(self.similar_largest),
        }


def as_normaliser(given: Any) -> Normaliser | None:
    """None and False: none; True: the default one; a mapping: one with these switches."""
    if given is None or given is False or isinstance(given, Normaliser):
        return given or None
    if given is True:
        return Normaliser()
    if isinstance(given, Mapping):
        return Normaliser(**{str(name): value for name, value in given.items()})
    raise TypeError(
        f"normalise is a {type(given).__name__}; expected a graphgpo.states.Normaliser, a mapping "
        "of its switches, or True for the default one"
    )


def merged(plain: Mapping[str, Any], merging: Merging) -> Merged:
    """The columns of `plain_columns` with their noise taken out and near-duplicates made one.

    A near-duplicate becomes the text of its component that comes first in the batch: which text
    that is depends on the order of rows, which ones are equal does not.
    """
    if not merging.is_coarser:
        return Merged(plain)
    columns = dict(plain)
    if merging.normaliser is not None:
        for name in STATES:
            if name in columns:
                columns[name] = normalise(columns[name], merging.normaliser)
    if merging.similar is None:
        return Merged(columns)
    return _without_near_duplicates(columns, merging.similar)


def _without_near_duplicates(columns: dict[str, Any], threshold: float) -> Merged:
    given = {name: element_list(name, columns[name]) for name in STATES if name in columns}
    groups = element_list("group_ids", columns["group_ids"])
    is_row = np.asarray(columns["mask"], bool) if "mask" in columns else np.ones(len(groups), bool)
    places = [
        (name, row)
        for name, column in given.items()
        for row in np.flatnonzero(is_row).tolist()
        if _is_text(name, row, column[row])
    ]
    texts = [given[name][row] for name, row in places]
    found = similar_components(texts, threshold, group_ids=[groups[row] for _, row in places])
    _, firsts = np.unique(found.components, return_index=True)
    for (name, row), component in zip(places, found.components.tolist(), strict=True):
        given[name][row] = texts[firsts[component]]
    return Merged({**columns, **given}, found.merged, found.largest)


def _is_text(name: str, row: int, value: Any) -> bool:
    if value is None:
        return False
    if isinstance(value, str):
        return True
    raise TypeError(
        f"{name}[{row}] is a {type(value).__name__}; expected a str: similar compares texts"
    )


def with_history(
    columns: Mapping[str, Any],
    sources: NDArray[np.int64],
    targets: NDArray[np.int64],
    length: int,
) -> dict[str, Any]:
    """The columns with the last `length` states of the rollout in place of each state.

    `sources`, `targets`: (N,) nodes of the rows without history; -1: masked. A row's state becomes
    the nodes its rollout was in, fewer at its beginning; its next state, where one is given, these
    and the node it leads to.
    """
    rows = np.flatnonzero(sources >= 0).tolist()
    states: list[Any] = [(-1,)] * len(sources)
    next_states = element_list("next_states", columns["next_states"]) if _leads(columns) else None
    for rollout in _rollouts(columns, rows):
        passed: list[int] = []
        for copies in rollout:
            passed = [*passed, int(sources[copies[0]])][-length:]
            for row in copies:
                states[row] = tuple(passed)
                if next_states is not None and next_states[row] is not None:
                    next_states[row] = (*passed, int(targets[row]))[-length:]
    if next_states is None:
        return {**columns, "states": states}
    return {**columns, "states": states, "next_states": next_states}


def _leads(columns: Mapping[str, Any]) -> bool:
    return columns.get("next_states") is not None


def _rollouts(columns: Mapping[str, Any], rows: list[int]) -> list[list[list[int]]]:
    """The rows of every rollout, in the order of its steps, copies of a step together."""
    groups, rollouts = (
        [_hashable(value) for value in element_list(name, columns[name])]
        for name in ("group_ids", "trajectory_ids")
    )
    has_order = columns.get("step_ids") is not None
    order = element_list("step_ids", columns["step_ids"]) if has_order else range(len(groups))
    found: dict[Any, dict[int, list[int]]] = {}
    for row in rows:
        steps = found.setdefault((groups[row], rollouts[row]), {})
        steps.setdefault(int(order[row]), []).append(row)
    return [[steps[at] for at in sorted(steps)] for steps in found.values()]


def _hashable(value: Any) -> Any:
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else value
