"""The caller's columns as tensors on one device: keys as int64, numbers as float64, flags as bool.

Tensors on the device stay there. Every other column is read as the core reads it, its states, ids
and keys as stable keys, and copied over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from graphgpo import _core, ingest
from graphgpo.columns import COLUMNS
from graphgpo.torch.arguments import refuse_capture
from graphgpo.torch.device.hashing import canonical, stable_keys
from graphgpo.torch.device.segments import numbered

Tensor = torch.Tensor

NO_VERDICT = 2
_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_FLOATS = (torch.float16, torch.float32, torch.float64)
_REALS = (*_WHOLE, *_FLOATS, torch.bfloat16, torch.bool)
_DTYPES = {
    "state": (*_WHOLE, *_FLOATS, torch.bool),
    "key": (*_WHOLE, *_FLOATS, torch.bool),
    "id": _WHOLE,
    "integer": _WHOLE,
    "flag": _REALS,
    "verdict": _REALS,
    "real": _REALS,
}


class RefusedError(Exception):
    """Something is wrong with the columns; the core has the words."""


@dataclass(eq=False)
class Columns:
    """(N,) tensors by column name."""

    num_rows: int
    device: torch.device
    given: dict[str, Tensor] = field(default_factory=dict)
    is_null: dict[str, Tensor] = field(default_factory=dict)
    """Of columns that may hold nulls, where."""
    wrong: list[Tensor] = field(default_factory=list)
    """() or (N,) bools: what is true of an unmasked row is refused."""

    def __getitem__(self, name: str) -> Tensor:
        return self.given[name]

    def __contains__(self, name: str) -> bool:
        return name in self.given

    def refuse_what_is_wrong(self) -> None:
        """Waits for the device, once for all checks."""
        if not self.wrong:
            return
        mask = self.given.get("mask")
        flags = [w if w.dim() == 0 else (w if mask is None else w & mask).any() for w in self.wrong]
        if bool(torch.stack(flags).any()):
            raise RefusedError
        self.wrong.clear()


def check_device(function: str, device: torch.device) -> None:
    """Refuse, before anything is touched, what cannot be computed on this device now."""
    refuse_capture(function, device)
    if device.type == "mps":
        raise TypeError(
            f"the columns are on {device}, which has no float64; expected them in host memory: "
            "tensor.cpu()"
        )


def read_columns(given: Mapping[str, Any], device: torch.device) -> Columns:
    """Every column that is given. Raises `RefusedError` for those the core refuses."""
    tensors = {name: v.detach() for name, v in given.items() if _is_dense(v, device)}
    for name, values in given.items():
        if isinstance(values, Tensor) and values.device.type != "cpu" and name not in tensors:
            raise _misplaced(name, values, device)
    for name, tensor in tensors.items():
        _check(name, tensor, len(tensors.get("states", tensor)))
    columns = Columns(len(given["states"]), device)
    on_host = {name: v for name, v in given.items() if name not in tensors and v is not None}
    if "mask" in tensors and on_host:
        on_host["mask"] = tensors["mask"].cpu()
    _add_host_columns(columns, on_host, tensors)
    if "mask" in tensors:
        columns.given["mask"] = _flags(tensors.pop("mask"), columns)
        columns.wrong = [wrong.any() for wrong in columns.wrong]  # whatever it hides itself
    _add_states(columns, tensors)
    for name, tensor in tensors.items():
        _READERS[COLUMNS[name].kind](columns, name, tensor)
    if "edge_costs" in columns:
        costs = columns["edge_costs"]
        columns.wrong.append(~(costs.isfinite() & (costs > 0)))
    _check_returns(columns)
    if any(len(values) != columns.num_rows for values in columns.given.values()):
        raise RefusedError
    return columns


def _is_dense(values: Any, device: torch.device) -> bool:
    return (
        isinstance(values, Tensor)
        and values.device == device
        and values.layout == torch.strided
        and not values.is_nested
    )


def _misplaced(name: str, values: Tensor, device: torch.device) -> Exception:
    if values.device != device:
        return ValueError(f"{name} is on {values.device}; expected {device}, as other columns")
    return TypeError(f"{name} is a nested or sparse tensor; expected a dense one")


def _check(name: str, tensor: Tensor, num_rows: int) -> None:
    has_rows = COLUMNS[name].kind in ("state", "key")
    if tensor.dim() == 0 or (tensor.dim() > 1 and not has_rows) or len(tensor) != num_rows:
        raise RefusedError
    if tensor.dtype not in _DTYPES[COLUMNS[name].kind]:
        raise RefusedError


# --- from the host --------------------------------------------------------------------------------


def _add_host_columns(
    columns: Columns, on_host: dict[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    plain = {
        name: ingest.plain_column(name, values, exact=name in ingest.STATES)
        for name, values in on_host.items()
    }
    on_device = [name for name in ingest.STATES if name in tensors]
    if len(on_device) == 1 and "next_states" in {**plain, **tensors}:
        raise TypeError(
            f"only {on_device[0]} is on {columns.device}; expected states and next_states on the "
            "device, or neither"
        )
    mask = ingest.flag_column("mask", plain["mask"], None) if "mask" in plain else None
    read = {
        name: ingest.read_column(name, values, mask)
        for name, values in plain.items()
        if name != "mask" or "mask" not in tensors
    }
    if "next_states" in read:
        ingest.check_row_types(plain["states"], plain["next_states"])
        pair = ingest.comparable(read["states"], read["next_states"])
        read["states"], read["next_states"] = pair
    for name, values in read.items():
        if COLUMNS[name].kind in ("state", "id", "key"):
            keys, is_null = _core.nullable_stable_keys(column=values)
            columns.given[name] = torch.from_numpy(keys).to(columns.device)
            if is_null.any():
                columns.is_null[name] = torch.from_numpy(is_null).to(columns.device)
        else:
            own = np.array(values)  # never the caller's memory, nor one that cannot be written
            columns.given[name] = torch.from_numpy(own).to(columns.device)
    for name in ("states", "group_ids", "trajectory_ids"):
        if name in columns.is_null:
            columns.wrong.append(columns.is_null[name])
    if "rewards" in read:
        columns.wrong.append(~columns["rewards"].isfinite())


def add_given_states(columns: Columns, states: Any) -> None:
    """States as they came, before noise was taken out of them."""
    mask = columns["mask"].cpu().numpy() if "mask" in columns else None
    keys, _ = _core.nullable_stable_keys(column=ingest.key_column("states", states, mask))
    columns.given["given_states"] = torch.from_numpy(keys).to(columns.device)


# --- on the device --------------------------------------------------------------------------------


def _add_states(columns: Columns, tensors: dict[str, Tensor]) -> None:
    """Both columns numbered together, so that a state of one can be a state of the other."""
    found = {name: tensors.pop(name) for name in ingest.STATES if name in tensors}
    if not found:
        return
    if len({_row_type(tensor) for tensor in found.values()}) > 1:
        raise RefusedError
    for name, tensor in found.items():
        columns.wrong += _has_nan(tensor)
        found[name] = canonical(tensor)
    keys = exact_keys(torch.cat(list(found.values())))
    for i, name in enumerate(found):
        columns.given[name] = keys[i * columns.num_rows : (i + 1) * columns.num_rows]


def _row_type(tensor: Tensor) -> tuple[Any, ...]:
    if tensor.dim() > 1:
        return (tensor.dtype, tensor.shape[1:])
    if tensor.dtype == torch.bool:
        return ("bool",)
    return ("float",) if tensor.is_floating_point() else ("int",)


def _has_nan(tensor: Tensor) -> list[Tensor]:
    """Where a row has one."""
    if not tensor.is_floating_point():
        return []
    return [tensor.isnan().reshape(len(tensor), -1).any(1) if len(tensor) else tensor.isnan()]


def exact_keys(rows: Tensor) -> Tensor:
    """(N,) int64 that are equal exactly where rows are: their hashes, compared once more."""
    if rows.dim() == 1:
        if rows.is_floating_point():
            return rows.to(torch.float64).view(torch.int64)
        return rows.to(torch.int64)
    keys = stable_keys(rows)
    same = numbered(keys, by_appearance=False)
    if bool((rows == rows[same.first[same.ids]]).all()):
        return keys
    alike: Tensor = torch.unique(rows, dim=0, return_inverse=True)[1]  # two states share a hash
    return alike


def _add_keys(columns: Columns, name: str, tensor: Tensor) -> None:
    columns.wrong += _has_nan(tensor)
    columns.given[name] = exact_keys(canonical(tensor))


def _add_whole(columns: Columns, name: str, tensor: Tensor) -> None:
    columns.given[name] = tensor.to(torch.int64)


def _add_reals(columns: Columns, name: str, tensor: Tensor) -> None:
    columns.given[name] = tensor.to(torch.float64)
    if name == "rewards":
        columns.wrong.append(~columns[name].isfinite())


def _add_flags(columns: Columns, name: str, tensor: Tensor) -> None:
    columns.given[name] = _flags(tensor, columns)


def _add_verdicts(columns: Columns, name: str, tensor: Tensor) -> None:
    columns.given[name] = _flags(tensor, columns).to(torch.uint8)


def _flags(tensor: Tensor, columns: Columns) -> Tensor:
    if tensor.dtype == torch.bool:
        return tensor
    columns.wrong.append((tensor != 0) & (tensor != 1))
    return tensor == 1


def _check_returns(columns: Columns) -> None:
    if "episode_returns" not in columns:
        return
    returns = columns["episode_returns"]
    is_open = returns.isnan()
    if "success" in columns:
        is_open = is_open & (columns["success"] == NO_VERDICT)
    else:
        is_open = torch.zeros_like(is_open)
    columns.wrong.append(~(returns.isfinite() | is_open))


_READERS: dict[str, Any] = {
    "key": _add_keys,
    "id": _add_whole,
    "integer": _add_whole,
    "real": _add_reals,
    "flag": _add_flags,
    "verdict": _add_verdicts,
}
