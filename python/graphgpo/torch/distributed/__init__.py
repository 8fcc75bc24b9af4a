"""The same advantages where a batch lies on several ranks of torch.distributed. Needs torch.

Every rank reads its own rows and sends keys and numbers, never text: 8 bytes a row for each of
states, next states, ids and every other column given. Two collectives of tensors, on the device of
the process group: one fixed-size header, by which ranks learn that another one refuses its rows,
and the rows. Then every rank computes the whole batch and keeps its own rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import distributed as dist

from graphgpo.columns import COLUMNS, MERGING
from graphgpo.memory import keys_in_words_of
from graphgpo.problems.warning import told_elsewhere
from graphgpo.result import StepAdvantages
from graphgpo.rollouts import Rollouts
from graphgpo.torch.distributed._agreement import (
    Header,
    Report,
    blame,
    check_kinds,
    disagree,
    present,
)
from graphgpo.torch.distributed._collectives import Ranks
from graphgpo.torch.distributed._packing import columns_that_travel, unpacked
from graphgpo.torch.distributed._reading import read, without_type
from graphgpo.torch.distributed._rows import check_trajectories_are_whole, rows_named_by_rank

if TYPE_CHECKING:
    from graphgpo.memory import GraphMemory

__all__ = ["GatheredRows", "compute_advantages_across_ranks", "gather_groups"]


def compute_advantages_across_ranks(
    states: Any,
    next_states: Any = None,
    *,
    estimator: Any = "graphgpo",
    task_ids: Any = None,
    memory: GraphMemory | None = None,
    num_threads: int | None = None,
    process_group: dist.ProcessGroup | None = None,
    **columns_and_options: Any,
) -> StepAdvantages:
    """`compute_advantages` on the rows of all ranks, for the rows of this one.

    Bit for bit what `compute_advantages` returns for the rows of rank 0, then of rank 1, and so on
    in one process, unless two states share a key (see `graphgpo.state_key` for the odds). A group
    may lie on any ranks, a rank may hold any rows of any groups, also none (pass empty lists).
    Every rank of the process group must call.

    Parameters
    ----------
    states, next_states, **columns_and_options
        The columns of `compute_advantages`, for the rows of this rank, and options of the
        estimator. Ids mean the same on all ranks: two rollouts of one group need two trajectory
        ids, on whichever ranks they are, and an id made with `hash()`, which differs per process,
        is another one on every rank (`graphgpo.state_key` is the same everywhere). A trajectory
        whose rows lie on several ranks needs `step_ids`, and may then leave `next_states` out. A
        column is given by all ranks that have rows, or by none; only `mask` may be missing on some.
    estimator, num_threads
        As in `compute_advantages`; estimator and options must be the same on all ranks. States
        arrive as keys, so an estimator that reads their text refuses them; noise is taken out
        before (`normalise`, the same on all ranks), and near-duplicates (`similar`), which need the
        texts of all ranks, are refused. Ranks on one machine
        share its cores, so `num_threads` is better limited there.
    task_ids, memory
        As in `compute_advantages`, a memory on every rank. Each remembers the rows of all ranks, so
        memories that begin equal stay equal, and one rank's is the one to save.
    process_group
        Any backend; None: the default group. Its current device is used where it has no CPU (NCCL).

    Returns
    -------
    StepAdvantages
        (N,) arrays for the N rows of this rank, in their order. `metrics` are those of all ranks,
        and `state_ids` and `next_state_ids` are dense over the rows of all ranks.

    Raises
    ------
    TypeError, ValueError
        On every rank, if any rank's rows are refused, naming the rank and the row there, or if
        ranks differ in options or columns. `RuntimeError` for any other failure of a rank; one that
        never calls costs the timeout of the process group.
    """
    given = {"states": states, "next_states": next_states, **columns_and_options}
    columns, options = _apart(given)
    merging = {name: options.pop(name) for name in MERGING if name in options}
    settings = {
        "estimator": estimator,
        "options": options,
        "merging": merging,
        "memory": memory,
        "task_ids": task_ids,
        "num_threads": num_threads,
    }
    gathered, chosen = _gather(columns, settings, process_group)
    with rows_named_by_rank(gathered.rows_of_rank), told_elsewhere():
        history = merging.get("node_history", 1)
        rollouts = Rollouts(**gathered.columns, node_history=history, num_threads=num_threads)
        if memory is not None:
            states, next_states = gathered.columns["states"], gathered.columns["next_states"]
            words = keys_in_words_of(memory, states, next_states, gathered.tasks)
            rollouts = rollouts.remembering(words)
        result = rollouts.advantages(chosen)
    return result.with_arrays(lambda values: values[gathered.own].copy())


@dataclass(frozen=True, slots=True, eq=False)
class GatheredRows:
    """The rows of all ranks, the same on each of them but for `own`."""

    columns: dict[str, Any]
    """Columns for `Rollouts`, `compute_advantages` and `build_graph`, the rows of rank 0 first,
    None where they are not given. Whatever is compared (states, ids, actions) is int64 keys; a
    column of which some are unknown is a list with None."""

    rows_of_rank: tuple[int, ...]
    """How many rows each rank holds."""

    own: slice
    """Where the rows of this rank are."""

    tasks: Any = None
    """Keys of the tasks, where there is a memory."""


def gather_groups(
    states: Any,
    next_states: Any = None,
    *,
    process_group: dist.ProcessGroup | None = None,
    **columns: Any,
) -> GatheredRows:
    """All rows of every group, on every rank: what `compute_advantages_across_ranks` works on.

    The same columns, with the same checks; for whatever else needs whole groups, such as
    `build_graph(**gather_groups(...).columns)`, whose states are then keys.
    """
    given, unknown = _apart({"states": states, "next_states": next_states, **columns})
    for name in unknown:
        raise TypeError(f"{name} is no column; expected one of {', '.join(COLUMNS)}")
    return _gather(given, None, process_group)[0]


def _apart(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns, and what else was given; a required column that is missing is None."""
    columns = {name: given.get(name) for name in COLUMNS}
    return columns, {name: value for name, value in given.items() if name not in COLUMNS}


def _gather(
    given: Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    process_group: dist.ProcessGroup | None,
) -> tuple[GatheredRows, Any]:
    ranks = Ranks(process_group)
    cause = chosen = None
    rows: Mapping[str, Any] = {}
    try:
        rows, report, chosen = read(given, settings)
    except Exception as error:
        report, cause = Report(error=without_type(error)), error
    headers = [Header(*header) for header in ranks.gather(report.header()).tolist()]
    if any(header.failed for header in headers) or disagree(headers):
        raise blame(ranks.gather_texts(report.as_text()), headers) from cause
    check_kinds(headers)

    rows_of_rank = tuple(header.num_rows for header in headers)
    names = columns_that_travel(present(headers))
    if settings is not None and settings["memory"] is not None:
        names.append("task_ids")
    packed = np.zeros((len(names), max(rows_of_rank)), dtype=np.int64)
    if report.num_rows > 0:  # a rank without rows may lack columns
        packed[:, : report.num_rows] = [rows[name] for name in names]
    blocks = ranks.gather(packed)
    travelled = {
        name: np.concatenate([block[i, :n] for block, n in zip(blocks, rows_of_rank, strict=True)])
        for i, name in enumerate(names)
    }
    first = sum(rows_of_rank[: ranks.rank])
    gathered = GatheredRows(
        columns=unpacked(travelled, present(headers)),
        rows_of_rank=rows_of_rank,
        own=slice(first, first + report.num_rows),
        tasks=travelled.get("task_ids"),
    )
    check_trajectories_are_whole(gathered.columns, rows_of_rank)
    return gathered, chosen
