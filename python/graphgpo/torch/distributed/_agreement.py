"""What must be the same on all ranks, and who is to blame if it is not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphgpo.columns import of_kind
from graphgpo.keys import state_key
from graphgpo.torch.distributed._packing import OPTIONAL

COMPARED = of_kind("state", "id")
"""Columns whose kinds of values ranks compare."""

_MAX_CHARACTERS = 8192  # of one message; at most four bytes each and escaped, it fits

_PROCESS = (
    "what names the same thing must be the same on every rank (graphgpo.state_key(x) is; hash(x) "
    "differs per process)"
)


class Kind:
    """Of what a column's values are, as bits."""

    INTEGER, TEXT, ARRAY = 1, 2, 4
    ANY_BUT_ARRAY, ANY = 8 | 1 | 2, 8 | 1 | 2 | 4


class Header(NamedTuple):
    """What ranks tell each other first: int64, one each."""

    failed: int
    num_rows: int
    options: int  # a key of them
    present: int  # bits: which of OPTIONAL are given
    row_type: int  # a key of it; 0: states are no numeric array
    kinds: int  # a byte for each of COMPARED

    def kind_of(self, name: str) -> int:
        """Bits of `Kind`; 0: no value."""
        return self.kinds >> 8 * COMPARED.index(name) & 0xFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a rank can say about its rows, in full where ranks do not agree."""

    error: Exception | None = None
    num_rows: int = 0
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)
    columns: tuple[str, ...] = ()
    row_type: str = ""
    kinds: tuple[int, ...] = ()

    def header(self) -> NDArray[np.int64]:
        """The fixed-size part."""
        header = Header(
            failed=self.error is not None,
            num_rows=self.num_rows,
            options=state_key(self.options),
            present=sum(1 << bit for bit, name in enumerate(OPTIONAL) if name in self.columns),
            row_type=state_key(self.row_type) if self.row_type else 0,
            kinds=sum(kinds << 8 * place for place, kinds in enumerate(self.kinds)),
        )
        return np.array(header, dtype=np.int64)

    def as_text(self) -> str:
        """What the header has as keys."""
        error = None if self.error is None else type(self.error).__name__
        message = "" if self.error is None else str(self.error)
        if len(message) > _MAX_CHARACTERS:
            message = f"{message[:_MAX_CHARACTERS]}..."
        told: dict[str, Any] = {"error": error, "message": message, "row_type": self.row_type}
        told["options"] = {
            name[:80]: value if len(value) <= 200 else f"{value[:200]}..."
            for name, value in list(self.options.items())[:64]
        }
        return json.dumps(told, ensure_ascii=False)


def with_rows(headers: list[Header]) -> list[Header]:
    """Ranks without rows have a say only where no rank has any."""
    return [header for header in headers if header.num_rows > 0] or headers


def present(headers: list[Header]) -> frozenset[str]:
    """The optional columns that are given."""
    bits = 0
    for header in with_rows(headers):
        bits |= header.present
    return _names(bits)


def disagree(headers: list[Header]) -> bool:
    """Whether options, columns or rows of arrays differ."""
    without_mask = ~(1 << OPTIONAL.index("mask"))
    num_rows = [header.num_rows for header in headers]
    return (
        len({header.options for header in headers}) > 1
        or (any(num_rows) and len({h.present & without_mask for h in with_rows(headers)}) > 1)
        or len({header.row_type for header in headers} - {0}) > 1
    )


def blame(texts: list[str], headers: list[Header]) -> Exception:
    """The same exception on every rank, about the first rank to blame."""
    told = [json.loads(text) for text in texts]
    errors: dict[str, type[Exception]] = {"TypeError": TypeError, "ValueError": ValueError}
    first_options = told[0]["options"]
    for rank, report in enumerate(told):
        if report["error"] is not None:
            error = errors.get(report["error"], RuntimeError)
            return error(f"rank {rank}: {report['message']}")
        options = report["options"]
        for name in {**first_options, **options}:
            value, other = first_options.get(name, "no option"), options.get(name, "no option")
            if value != other:
                return ValueError(
                    f"{name} is {value} on rank 0 but {other} on rank {rank}; expected the same "
                    "options on every rank"
                )
    ranks = [(rank, header) for rank, header in enumerate(headers) if header.num_rows > 0]
    first_rank, first = ranks[0]
    for rank, header in ranks:
        differing = (_names(first.present) ^ _names(header.present)) - {"mask"}
        for name in sorted(differing, key=OPTIONAL.index):
            here = name in _names(first.present)
            given, missing = (first_rank, rank) if here else (rank, first_rank)
            return ValueError(
                f"{name} is given on rank {given} but None on rank {missing}; expected the same "
                "columns on every rank that has rows"
            )
    (first_rank, expected), *others = (
        (rank, told[rank]["row_type"]) for rank, _ in ranks if told[rank]["row_type"]
    )
    rank, other = next((rank, other) for rank, other in others if other != expected)
    return ValueError(
        f"states are an array of {expected} on rank {first_rank} but of {other} on rank {rank}; "
        "expected rows of one dtype and shape, or no state of one rank could equal one of the other"
    )


def check_kinds(headers: list[Header]) -> None:
    """What one process refuses of states, next states and ids, judged over all ranks."""
    for name in COMPARED:
        _check_one_kind(name, [header.kind_of(name) for header in headers])
    states, next_states = (
        _united(header.kind_of(name) for header in headers) for name in ("states", "next_states")
    )
    for kinds, wrong in (
        ((Kind.INTEGER, Kind.TEXT), "states holds integers but next_states text"),
        ((Kind.TEXT, Kind.INTEGER), "states holds text but next_states integers"),
    ):
        if (states, next_states) == kinds:
            raise TypeError(f"{wrong}; expected states of one kind (keys on one side only?)")
    for rows, others in ((states, next_states), (next_states, states)):
        if rows == Kind.ARRAY and others and not others & Kind.ARRAY:
            raise TypeError(
                "one of states and next_states is an array of rows but the other holds no arrays; "
                "expected arrays of one dtype and shape in both"
            )


def _check_one_kind(name: str, kinds: list[int]) -> None:
    """Only ints on one rank and only text on another: nothing of the one can equal the other's."""
    if name == "next_states":  # its few known ones may be anything; `states` are judged against all
        return
    if Kind.INTEGER in kinds and Kind.TEXT in kinds:
        raise TypeError(
            f"{name} holds integers on rank {kinds.index(Kind.INTEGER)} but text on rank "
            f"{kinds.index(Kind.TEXT)}; expected values of one kind on all ranks: {_PROCESS}"
        )


def _united(bits: Any) -> int:
    union = 0
    for some in bits:
        union |= some
    return union


def _names(bits: int) -> frozenset[str]:
    return frozenset(name for bit, name in enumerate(OPTIONAL) if bits >> bit & 1)
