"""Rows of all ranks: whose they are, and trajectories torn between them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np


def check_trajectories_are_whole(columns: Mapping[str, Any], rows_of_rank: tuple[int, ...]) -> None:
    """Without step ids the order of a trajectory's rows is known within a rank only."""
    if columns["step_ids"] is not None or len(rows_of_rank) == 1:
        return
    mask = columns["mask"]
    rows = np.arange(sum(rows_of_rank)) if mask is None else np.flatnonzero(mask)
    rank = np.repeat(np.arange(len(rows_of_rank)), rows_of_rank)[rows]
    ids = np.stack([columns["group_ids"][rows], columns["trajectory_ids"][rows], rank])
    # Ids come in runs, and one row of each is enough.
    is_first = np.ones(len(rows), dtype=np.bool_)
    is_first[1:] = (ids[:, 1:] != ids[:, :-1]).any(axis=0)
    ids, rows = ids[:, is_first], rows[is_first]
    order = np.lexsort(ids[::-1])  # by group, then trajectory, then rank
    before, after = ids[:, order[:-1]], ids[:, order[1:]]
    is_split = (before[:2] == after[:2]).all(axis=0) & (before[2] != after[2])
    if is_split.any():
        split = np.flatnonzero(is_split)
        found = split[np.argmin(rows[order[split + 1]])]
        row, other = rows[order[found + 1]], rows[order[found]]
        with rows_named_by_rank(rows_of_rank):
            raise ValueError(
                f"row {row} belongs to the same group and trajectory as row {other}; expected "
                "step_ids, which order a trajectory over ranks, or, if these are two rollouts, "
                "trajectory_ids that differ on all ranks"
            )


@contextmanager
def rows_named_by_rank(rows_of_rank: tuple[int, ...]) -> Iterator[None]:
    """Errors about rows of all ranks, which hold no text of users, name rank and row there."""
    stops = np.cumsum(rows_of_rank)

    def name(match: re.Match[str]) -> str:
        before, number, after = match.groups()
        rank = int(np.searchsorted(stops, int(number), side="right"))
        row = int(number) - sum(rows_of_rank[:rank])
        return f"{before}{row}{after} of rank {rank}"

    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(re.sub(r"(\b\w+\[|\brow )(\d+)(\]|)", name, str(error))) from None
