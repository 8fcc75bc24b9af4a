"""The same advantages where a batch lies on several ranks of torch.distributed. Needs torch.

Every rank reads its own rows and sends keys and numbers, never text: 8 bytes a row for each of
states, next states, ids and every other column given. Two collectives of tensors, on the device of
the process group: one fixed-size header, by which ranks learn that another one refuses its rows,
and the rows. Then every rank computes the whole batch and keeps its own rows.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed as dist

from graphgpo import _core
from graphgpo.advantages import compute_advantages, thread_limit
from graphgpo.config import GraphGPOConfig, resolved_config
from graphgpo.ingest import (
    IDS,
    REALS,
    STATES,
    check_lengths,
    check_row_types,
    plain_columns,
    read_columns,
    row_type,
)
from graphgpo.keys import state_key
from graphgpo.result import StepAdvantages


def compute_advantages_across_ranks(
    states: Any,
    next_states: Any = None,
    *,
    group_ids: Any,
    trajectory_ids: Any,
    success: Any,
    step_ids: Any = None,
    rewards: Any = None,
    episode_returns: Any = None,
    edge_costs: Any = None,
    action_valid: Any = None,
    mask: Any = None,
    config: GraphGPOConfig | Mapping[str, Any] | None = None,
    num_threads: int | None = None,
    process_group: dist.ProcessGroup | None = None,
    **options: Any,
) -> StepAdvantages:
    """`compute_advantages` on the rows of all ranks, for the rows of this one.

    Bit for bit what `compute_advantages` returns for the rows of rank 0, then of rank 1, and so on
    in one process, unless two states share a key (see `graphgpo.state_key` for the odds). A group
    may lie on any ranks, a rank may hold any rows of any groups, also none (pass empty lists).
    Every rank of the process group must call.

    Parameters
    ----------
    states, next_states, group_ids, ..., mask
        As in `compute_advantages`, for the rows of this rank. Ids mean the same on all ranks: two
        rollouts of one group need two trajectory ids, on whichever ranks they are. A trajectory
        whose rows lie on several ranks needs `step_ids`, and may then leave `next_states` out. A
        column is given by all ranks that have rows, or by none; only `mask` may be missing on some.
    config, num_threads, **options
        As in `compute_advantages`; options must be the same on all ranks. Ranks on one machine
        share its cores, so `num_threads` is better limited there.
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
        ranks differ in options or columns. `RuntimeError` for any other failure of a rank.
    """
    given = {
        "states": states,
        "next_states": next_states,
        "group_ids": group_ids,
        "trajectory_ids": trajectory_ids,
        "success": success,
        "step_ids": step_ids,
        "rewards": rewards,
        "episode_returns": episode_returns,
        "edge_costs": edge_costs,
        "action_valid": action_valid,
        "mask": mask,
    }
    settings = {"config": config, "num_threads": num_threads, "options": options}
    gathered = _gather(given, settings, process_group)
    with _rows_named_by_rank(gathered.rows_of_rank):
        result = compute_advantages(
            **gathered.columns, config=config, num_threads=num_threads, **options
        )
    arrays = (field.name for field in dataclasses.fields(result) if field.name != "metrics")
    own = {name: getattr(result, name)[gathered.own].copy() for name in arrays}
    return StepAdvantages(**own, metrics=result.metrics)


@dataclass(frozen=True, slots=True, eq=False)
class GatheredRows:
    """The rows of all ranks, the same on each of them but for `own`."""

    columns: dict[str, Any]
    """Row arguments for `compute_advantages` and `build_graph`, the rows of rank 0 first. States
    and ids are int64 keys; `next_states` is a list where some are unknown (None)."""

    rows_of_rank: tuple[int, ...]
    """How many rows each rank holds."""

    own: slice
    """Where the rows of this rank are."""


def gather_groups(
    states: Any,
    next_states: Any = None,
    *,
    group_ids: Any,
    trajectory_ids: Any,
    success: Any,
    step_ids: Any = None,
    rewards: Any = None,
    episode_returns: Any = None,
    edge_costs: Any = None,
    action_valid: Any = None,
    mask: Any = None,
    process_group: dist.ProcessGroup | None = None,
) -> GatheredRows:
    """All rows of every group, on every rank: what `compute_advantages_across_ranks` works on.

    The same row arguments, with the same checks; for whatever else needs whole groups, such as
    `build_graph(**gather_groups(...).columns)`, whose states are then keys.
    """
    given = {
        "states": states,
        "next_states": next_states,
        "group_ids": group_ids,
        "trajectory_ids": trajectory_ids,
        "success": success,
        "step_ids": step_ids,
        "rewards": rewards,
        "episode_returns": episode_returns,
        "edge_costs": edge_costs,
        "action_valid": action_valid,
        "mask": mask,
    }
    return _gather(given, None, process_group)


_KEYS = (*STATES, *IDS)
_FLAGS = ("success", "action_valid", "mask")
_OPTIONAL = ("next_states", "step_ids", *REALS, *_FLAGS)
# A row's flags travel as one integer; "is_unknown": its next state is None.
_BITS = {name: 1 << bit for bit, name in enumerate((*_FLAGS, "is_unknown"))}


def _gather(
    given: Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    process_group: dist.ProcessGroup | None,
) -> GatheredRows:
    ranks = _Ranks(process_group)
    cause = None
    try:
        rows, report = _read(given, settings)
    except Exception as error:
        rows, report, cause = {}, _Report(error=_without_type(error)), error
    headers = [_Header(*header) for header in ranks.gather(report.header()).tolist()]
    if any(header.failed for header in headers) or _disagree(headers):
        raise _blame(ranks.gather_objects(report)) from cause
    _check_kinds(headers)

    rows_of_rank = tuple(header.num_rows for header in headers)
    names = _columns_that_travel(headers)
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
        columns=_unpacked(travelled, _present(headers)),
        rows_of_rank=rows_of_rank,
        own=slice(first, first + report.num_rows),
    )
    _check_trajectories_are_whole(gathered)
    return gathered


# ---- one rank's rows --------------------------------------------------------------------------


class _Header(NamedTuple):
    """What ranks tell each other first: int64, one each."""

    failed: int
    num_rows: int
    options: int  # a key of them
    present: int  # bits: which of _OPTIONAL are given
    row_type: int  # a key of it; 0: states are no numeric array
    state_kinds: int  # bits: _Kind
    next_state_kinds: int


class _Kind:
    INTEGER, TEXT, ARRAY = 1, 2, 4
    ANY_BUT_ARRAY, ANY = 8 | 1 | 2, 8 | 1 | 2 | 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """What a rank can say about its rows, in full where ranks do not agree."""

    error: Exception | None = None
    num_rows: int = 0
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    columns: tuple[str, ...] = ()
    row_type: tuple[Any, ...] | None = None
    kinds: tuple[int, int] = (0, 0)

    def header(self) -> NDArray[np.int64]:
        header = _Header(
            failed=self.error is not None,
            num_rows=self.num_rows,
            options=state_key(self.options),
            present=sum(1 << bit for bit, name in enumerate(_OPTIONAL) if name in self.columns),
            row_type=0 if self.row_type is None else state_key(self.row_type),
            state_kinds=self.kinds[0],
            next_state_kinds=self.kinds[1],
        )
        return np.array(header, dtype=np.int64)


def _read(
    given: Mapping[str, Any], settings: Mapping[str, Any] | None
) -> tuple[dict[str, NDArray[np.int64]], _Report]:
    """The columns that travel, and what to say of them."""
    options: dict[str, Any] = {}
    if settings is not None:
        thread_limit(settings["num_threads"])
        options = dataclasses.asdict(resolved_config(settings["config"], settings["options"]))
    plain = plain_columns(given)
    columns = read_columns(plain, stable=True)
    read = {name: column for name, column in columns.items() if column is not None}
    check_lengths(read)
    if "next_states" in plain:
        check_row_types(plain["states"], plain["next_states"])
    packed = _packed(read)
    is_row = packed["flags"] & _BITS["mask"] != 0
    has_next = is_row & (packed["flags"] & _BITS["is_unknown"] == 0)
    report = _Report(
        num_rows=len(is_row),
        options=options,
        columns=tuple(name for name in _OPTIONAL if name in read),
        row_type=row_type(plain["states"]),
        kinds=(
            _kinds(read["states"]) if is_row.any() else 0,
            _kinds(read["next_states"]) if "next_states" in read and has_next.any() else 0,
        ),
    )
    return packed, report


def _kinds(column: _core.KeyColumn) -> int:
    if column.is_rows:
        return _Kind.ARRAY
    if column.has_integers_only:
        return _Kind.INTEGER
    if column.has_text_only:
        return _Kind.TEXT
    return _Kind.ANY_BUT_ARRAY if column.lacks_arrays else _Kind.ANY


def _packed(read: Mapping[str, Any]) -> dict[str, NDArray[np.int64]]:
    """Every column as int64: keys, the bits of a float, and all flags of a row in one."""
    num_rows = len(read["states"])
    is_row = read.get("mask", np.ones(num_rows, dtype=np.bool_))
    packed: dict[str, NDArray[np.int64]] = {}
    is_unknown = np.zeros(num_rows, dtype=np.bool_)
    for name in _KEYS:
        if name not in read:
            continue
        packed[name], is_null = _core.nullable_stable_keys(column=read[name])
        if name == "next_states":
            is_unknown = is_null & is_row
            continue
        for row in np.flatnonzero(is_null & is_row)[:1]:
            raise ValueError(f"{name}[{row}] is null; expected a value")
    if "step_ids" in read:
        packed["step_ids"] = read["step_ids"]
    for name in REALS:
        if name in read:
            packed[name] = read[name].view(np.int64)
    flags = {**read, "mask": is_row, "is_unknown": is_unknown}
    packed["flags"] = np.zeros(num_rows, dtype=np.int64)
    for name, bit in _BITS.items():
        packed["flags"] |= flags[name] * bit if name in flags else 0
    return packed


def _unpacked(packed: Mapping[str, NDArray[np.int64]], present: frozenset[str]) -> dict[str, Any]:
    """The row arguments of `compute_advantages`."""
    flags = packed["flags"]
    columns: dict[str, Any] = dict.fromkeys(_OPTIONAL)
    columns.update({name: keys for name, keys in packed.items() if name in _KEYS})
    columns["step_ids"] = packed.get("step_ids")
    for name in REALS:
        if name in packed:
            columns[name] = packed[name].view(np.float64)
    for name in _FLAGS:
        if name in present:
            columns[name] = flags & _BITS[name] != 0
    is_unknown = np.flatnonzero(flags & _BITS["is_unknown"])
    if len(is_unknown) > 0:
        next_states = columns["next_states"].tolist()
        for row in is_unknown.tolist():
            next_states[row] = None
        columns["next_states"] = next_states
    return columns


# ---- what must be the same on all ranks ---------------------------------------------------------


def _with_rows(headers: list[_Header]) -> list[_Header]:
    """Ranks without rows have a say only where no rank has any."""
    return [header for header in headers if header.num_rows > 0] or headers


def _present(headers: list[_Header]) -> frozenset[str]:
    bits = 0
    for header in _with_rows(headers):
        bits |= header.present
    return frozenset(name for bit, name in enumerate(_OPTIONAL) if bits >> bit & 1)


def _columns_that_travel(headers: list[_Header]) -> list[str]:
    present = _present(headers)
    optional = [name for name in ("next_states", "step_ids", *REALS) if name in present]
    return ["states", "group_ids", "trajectory_ids", *optional, "flags"]


def _disagree(headers: list[_Header]) -> bool:
    without_mask = ~(1 << _OPTIONAL.index("mask"))
    num_rows = [header.num_rows for header in headers]
    return (
        len({header.options for header in headers}) > 1
        or (any(num_rows) and len({h.present & without_mask for h in _with_rows(headers)}) > 1)
        or len({header.row_type for header in headers} - {0}) > 1
    )


def _blame(reports: list[_Report]) -> Exception:
    """The same exception on every rank, about the first rank to blame."""
    for rank, report in enumerate(reports):
        if report.error is not None:
            return type(report.error)(f"rank {rank}: {report.error}")
        for name in {**reports[0].options, **report.options}:
            value, other = reports[0].options.get(name), report.options.get(name)
            if value != other:
                return ValueError(
                    f"{name} is {value!r} on rank 0 but {other!r} on rank {rank}; expected the "
                    "same options on every rank"
                )
    with_rows = [(rank, report) for rank, report in enumerate(reports) if report.num_rows > 0]
    first_rank, first = with_rows[0]
    for rank, report in with_rows:
        differing = ({*first.columns} ^ {*report.columns}) - {"mask"}
        for name in sorted(differing, key=_OPTIONAL.index):
            given, missing = (first_rank, rank) if name in first.columns else (rank, first_rank)
            return ValueError(
                f"{name} is given on rank {given} but None on rank {missing}; expected the same "
                "columns on every rank that has rows"
            )
    (first_rank, expected), *others = (
        (rank, report.row_type) for rank, report in with_rows if report.row_type is not None
    )
    rank, other = next((rank, other) for rank, other in others if other != expected)
    return ValueError(
        f"states are an array of {_described(expected)} on rank {first_rank} but of "
        f"{_described(other)} on rank {rank}; expected rows of one dtype and shape, or no state of "
        "one rank could equal one of the other"
    )


def _without_type(error: Exception) -> Exception:
    """As a built-in exception, which every rank can read."""
    for known in (TypeError, ValueError):
        if isinstance(error, known):
            return known(str(error))
    return RuntimeError(f"{type(error).__name__}: {error}")


def _described(row_type: tuple[Any, ...]) -> str:
    name = {"b": "bool", "i": "int", "u": "uint", "f": "float"}[row_type[0]]
    if len(row_type) == 1:
        return f"{name}s"
    _, size, shape = row_type
    return f"{name}{'' if name == 'bool' else 8 * size} rows of shape {shape}"


def _check_kinds(headers: list[_Header]) -> None:
    """What `compute_advantages` refuses of states and next states, judged over all ranks."""
    states = next_states = 0
    for header in headers:
        states |= header.state_kinds
        next_states |= header.next_state_kinds
    for kinds, wrong in (
        ((_Kind.INTEGER, _Kind.TEXT), "states holds integers but next_states text"),
        ((_Kind.TEXT, _Kind.INTEGER), "states holds text but next_states integers"),
    ):
        if (states, next_states) == kinds:
            raise TypeError(f"{wrong}; expected states of one kind (keys on one side only?)")
    for rows, others in ((states, next_states), (next_states, states)):
        if rows == _Kind.ARRAY and others and not others & _Kind.ARRAY:
            raise TypeError(
                "one of states and next_states is an array of rows but the other holds no arrays; "
                "expected arrays of one dtype and shape in both"
            )


def _check_trajectories_are_whole(gathered: GatheredRows) -> None:
    """Without step ids the order of a trajectory's rows is known within a rank only."""
    columns = gathered.columns
    if columns["step_ids"] is not None or len(gathered.rows_of_rank) == 1:
        return
    mask = columns["mask"]
    rows = np.arange(len(columns["states"])) if mask is None else np.flatnonzero(mask)
    rank = np.repeat(np.arange(len(gathered.rows_of_rank)), gathered.rows_of_rank)[rows]
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
        with _rows_named_by_rank(gathered.rows_of_rank):
            raise ValueError(
                f"row {row} belongs to the same group and trajectory as row {other}; expected "
                "step_ids, which order a trajectory over ranks, or, if these are two rollouts, "
                "trajectory_ids that differ on all ranks"
            )


@contextmanager
def _rows_named_by_rank(rows_of_rank: tuple[int, ...]) -> Iterator[None]:
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


# ---- collectives --------------------------------------------------------------------------------


class _Ranks:
    """The process group, as far as it is needed here."""

    def __init__(self, process_group: dist.ProcessGroup | None) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise RuntimeError(
                "torch.distributed is not initialised; call torch.distributed.init_process_group "
                "first, or graphgpo.compute_advantages where one process holds all rows"
            )
        self.group = process_group
        self.rank = dist.get_rank(process_group)
        if self.rank < 0:
            raise ValueError("process_group does not contain this process; expected one that does")
        self.size = dist.get_world_size(process_group)
        self.device = _device_of(dist.get_backend_config(process_group))

    def gather(self, array: NDArray[np.int64]) -> NDArray[np.int64]:
        """(ranks, ...) of an array that has the same shape on every rank."""
        own = torch.from_numpy(array).to(self.device)
        gathered = own.new_empty((self.size, *own.shape))
        dist.all_gather(list(gathered.unbind()), own, group=self.group)
        return gathered.cpu().numpy()

    def gather_objects(self, report: _Report) -> list[_Report]:
        reports: list[Any] = [None] * self.size
        dist.all_gather_object(reports, report, group=self.group)
        return reports


def _device_of(backend_config: str) -> torch.device:
    """Where the tensors of a group must be: the CPU if it can, as "cpu:gloo,cuda:nccl" does."""
    devices = [backend.partition(":")[0] for backend in backend_config.split(",")]
    return torch.device("cpu" if "cpu" in devices else devices[0])
