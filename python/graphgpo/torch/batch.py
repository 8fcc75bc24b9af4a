"""The tensors of a loss in one of three layouts: padded, jagged or packed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from graphgpo.torch.arguments import describe, mask_condition, require
from graphgpo.torch.rows import FlatRows, PaddedRows, Rows, row_of_entry

_EXPECTED = (
    "expected a dense (B, T) tensor, a nested (B, ragged) one with layout=torch.jagged, or with "
    "cu_seqlens a packed (num_tokens,) or (1, num_tokens) one"
)


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Dense tensors of one shape, (B, T) or (num_tokens,)."""

    tensors: Mapping[str, torch.Tensor]
    rows: Rows
    num_rows: int
    conditions: list[torch.Tensor]
    """What must hold of values; see `graphgpo.torch.arguments`."""


def read_batch(
    given: Mapping[str, Any], cu_seqlens: Any, *, why_rows: str | None = None
) -> TokenBatch:
    """The tensors by name, `log_probs` first.

    `why_rows`: what needs to know the rows of flat tokens; None: they are taken for one row.
    """
    for name, tensor in given.items():
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} is a {type(tensor).__name__}; expected a tensor")
        if name != "mask" and not tensor.is_floating_point():
            raise TypeError(f"{name} has dtype {tensor.dtype}; expected a floating-point dtype")
    log_probs = given["log_probs"]
    for name, tensor in given.items():
        if tensor.device != log_probs.device:
            raise ValueError(
                f"{name} is on {tensor.device}; expected {log_probs.device}, the device of "
                "log_probs"
            )
    if log_probs.is_nested and log_probs.layout == torch.jagged and log_probs.dim() == 2:
        return _jagged_batch(given, cu_seqlens, why_rows)
    if log_probs.is_nested or log_probs.layout != torch.strided:
        raise ValueError(f"log_probs is {describe(log_probs)}; {_EXPECTED}")
    _check_shapes(given)
    if cu_seqlens is None and log_probs.dim() == 2:
        conditions = mask_condition("mask", given["mask"])
        return TokenBatch(given, PaddedRows(), log_probs.shape[0], conditions)
    if log_probs.dim() not in (1, 2) or (log_probs.dim() == 2 and log_probs.shape[0] != 1):
        raise ValueError(f"log_probs is {describe(log_probs)}; {_EXPECTED}")
    return _packed_batch(given, cu_seqlens, why_rows)


def _packed_batch(
    given: Mapping[str, torch.Tensor], cu_seqlens: Any, why_rows: str | None
) -> TokenBatch:
    flat = {name: tensor.flatten() for name, tensor in given.items()}
    conditions = mask_condition("mask", given["mask"])
    if cu_seqlens is not None:
        _check_offsets(cu_seqlens, given["log_probs"].device)
        conditions += _offsets_conditions("cu_seqlens", cu_seqlens, len(flat["mask"]))
    elif why_rows is not None:
        raise ValueError(
            f"log_probs is {describe(given['log_probs'])} without cu_seqlens; {why_rows} needs to "
            "know the rows"
        )
    return _flat_batch(flat, cu_seqlens if why_rows else None, conditions)


def _jagged_batch(given: Mapping[str, Any], cu_seqlens: Any, why_rows: str | None) -> TokenBatch:
    if cu_seqlens is not None:
        raise ValueError(
            "cu_seqlens was given but log_probs is jagged and knows its rows; expected None"
        )
    log_probs = given["log_probs"]
    offsets = log_probs.offsets()
    num_tokens = len(log_probs.values())
    conditions: list[torch.Tensor] = []
    for name, tensor in given.items():
        if not tensor.is_nested or tensor.layout != torch.jagged or tensor.dim() != 2:
            raise ValueError(
                f"{name} is {describe(tensor)}; expected a jagged nested one, as log_probs is"
            )
        if tensor.lengths() is not None:
            raise ValueError(
                f"{name} is a narrowed jagged tensor; expected a contiguous one, as .contiguous() "
                "makes of it"
            )
        if len(tensor.offsets()) != len(offsets):
            raise ValueError(
                f"{name} has {len(tensor.offsets()) - 1} rows; expected {len(offsets) - 1}, as "
                "many as log_probs"
            )
        if tensor.offsets() is not offsets:
            conditions += _same_offsets(name, tensor.offsets(), offsets)
        if len(tensor.values()) != num_tokens:
            raise ValueError(
                f"{name} has {len(tensor.values())} tokens; expected {num_tokens}, as many as "
                "log_probs"
            )
    conditions += _offsets_conditions("the offsets of log_probs", offsets, num_tokens)
    flat = {name: tensor.values() for name, tensor in given.items()}
    conditions += mask_condition("mask", flat["mask"], offsets)
    return _flat_batch(flat, offsets if why_rows else None, conditions)


def _flat_batch(
    flat: Mapping[str, torch.Tensor], offsets: torch.Tensor | None, conditions: list[torch.Tensor]
) -> TokenBatch:
    """Of one row without `offsets`: a sum over rows then takes none of their sums."""
    if offsets is None:
        one_row = {name: tensor[None] for name, tensor in flat.items()}
        return TokenBatch(one_row, PaddedRows(), 1, conditions)
    num_rows, num_tokens = len(offsets) - 1, len(flat["mask"])
    if num_rows == 0 and num_tokens > 0:
        raise ValueError(f"log_probs has {num_tokens} tokens in 0 rows; expected a row for each")
    rows = FlatRows(row_of_entry(offsets, num_tokens), num_rows)
    return TokenBatch(flat, rows, num_rows, conditions)


def _check_shapes(given: Mapping[str, torch.Tensor]) -> None:
    shape = tuple(given["log_probs"].shape)
    for name, tensor in given.items():
        hint = "; to_tokens spreads one value per row" if name == "advantages" else ""
        if tensor.is_nested or tensor.layout != torch.strided:
            raise ValueError(f"{name} is {describe(tensor)}; expected a dense one, as log_probs is")
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}; expected {shape}, the shape of "
                f"log_probs{hint}"
            )


def _check_offsets(cu_seqlens: Any, device: torch.device) -> None:
    expected = "expected a (B + 1,) integer tensor"
    if not isinstance(cu_seqlens, torch.Tensor):
        raise TypeError(f"cu_seqlens is a {type(cu_seqlens).__name__}; {expected}")
    if cu_seqlens.dtype not in (torch.int32, torch.int64):
        raise TypeError(
            f"cu_seqlens has dtype {cu_seqlens.dtype}; expected torch.int32 or torch.int64"
        )
    if cu_seqlens.dim() != 1 or len(cu_seqlens) == 0:
        raise ValueError(f"cu_seqlens is {describe(cu_seqlens)}; {expected}")
    if cu_seqlens.device != device:
        raise ValueError(
            f"cu_seqlens is on {cu_seqlens.device}; expected {device}, the device of log_probs"
        )


def _offsets_conditions(name: str, offsets: torch.Tensor, num_tokens: int) -> list[torch.Tensor]:
    """From 0 to the number of tokens, never falling."""
    is_met = (offsets[0] == 0) & (offsets[-1] == num_tokens) & (offsets.diff() >= 0).all()
    return require(is_met, lambda: _offsets_error(name, offsets.tolist(), num_tokens))


def _offsets_error(name: str, offsets: list[int], num_tokens: int) -> ValueError:
    expected = f"expected offsets from 0 to {num_tokens}, the number of tokens, that never fall"
    for row, (start, stop) in enumerate(zip([0, *offsets], offsets, strict=False)):
        if stop < start or (row == 0 and stop > 0):
            return ValueError(f"{name}[{row}] is {stop}; {expected}")
    return ValueError(f"{name}[{len(offsets) - 1}] is {offsets[-1]}; {expected}")


def _same_offsets(name: str, own: torch.Tensor, offsets: torch.Tensor) -> list[torch.Tensor]:
    def error() -> ValueError:
        row = int((own.diff() != offsets.diff()).nonzero()[0])
        lengths = [int(x.diff()[row]) for x in (own, offsets)]
        return ValueError(
            f"row {row} of {name} has {lengths[0]} tokens; expected {lengths[1]}, as many as in "
            "log_probs"
        )

    return require((own == offsets).all(), error)
