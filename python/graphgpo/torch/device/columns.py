"""The caller's columns as tensors on one device: keys as int64, numbers as float64, flags as bool.

Tensors on the device stay there. Every other column is read as the core reads it, its states, ids
and keys as stable keys, and copied over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphgpo import _core, ingest
from graphgpo.columns import COLUMNS, Kind
from graphgpo.torch.arguments import refuse_capture
from graphgpo.torch.device.hashing import canonical, stable_keys, words
from graphgpo.torch.device.segments import numbered

NO_VERDICT = 2
_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
COMPARED = (torch.bool, *_WHOLE, torch.float16, torch.float32, torch.float64)
_REALS = (*COMPARED, torch.bfloat16)


class RefusedError(Exception):
    """Something is wrong with the columns; the core has the words."""


@dataclass(eq=False)
class Columns:
    """(N,) tensors by column name."""

    num_rows: int
    device: torch.device
    given: dict[str, Tensor] = field(default_factory=dict)
    nulls: dict[str, Tensor] = field(default_factory=dict)
    """Of columns that may hold nulls, where."""
    wrong: list[Tensor] = field(default_factory=list)
    """() or (N,) bools: what is true of an unmasked row is refused."""

    def __getitem__(self, name: str) -> Tensor:
        return self.given[name]

    def __contains__(self, name: str) -> bool:
        return name in self.given

    def is_null(self, name: str) -> Tensor:
        """Where there is no value; everywhere without the column."""
        if name in self.nulls:
            return self.nulls[name]
        return torch.full((self.num_rows,), name not in self, device=self.device)

    def refuse_rows_that_differ(self, rows: Tensor, others: Tensor) -> None:
        """Copies of a step agree in every column; unknown is unknown."""
        for values in (*self.given.values(), *self.nulls.values()):
            one, other = values[rows], values[others]
            self.wrong.append(((one != other) & ~(one.isnan() & other.isnan())).any())

    def refuse_what_is_wrong(self) -> None:
        """Waits for the device, once for all checks."""
        mask = self.given.get("mask", True)
        flags = [(w if w.dim() == 0 else w & mask).any() for w in self.wrong]
        if bool(torch.stack(flags).any()):
            raise RefusedError


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
    if any(name not in given for name in ingest.REQUIRED):
        raise RefusedError
    tensors = {name: v.detach() for name, v in given.items() if _is_on(device, name, v)}
    for name, tensor in tensors.items():
        _check_form(name, tensor, len(tensors.get("states", tensor)))
    columns = Columns(len(given["states"]), device)
    _add_from_host(columns, {n: v for n, v in given.items() if n not in tensors}, tensors)
    _add_states(columns, {n: tensors[n] for n in ingest.STATES if n in tensors})
    for name, tensor in tensors.items():
        if name not in ingest.STATES:
            columns.given[name] = _read(COLUMNS[name].kind, tensor, columns.wrong)
    if any(len(values) != columns.num_rows for values in columns.given.values()):
        raise RefusedError
    _check_numbers(columns)
    return columns


def _is_on(device: torch.device, name: str, values: Any) -> bool:
    """Whether a column is there; a tensor that is neither there nor in host memory is refused."""
    if not isinstance(values, Tensor):
        return False
    is_dense = values.layout == torch.strided and not values.is_nested
    if values.device.type != "cpu" and values.device != device:
        raise ValueError(f"{name} is on {values.device}; expected {device}, as other columns")
    if values.device.type != "cpu" and not is_dense:
        raise TypeError(f"{name} is a nested or sparse tensor; expected a dense one")
    return values.device == device and is_dense


def _check_form(name: str, tensor: Tensor, num_rows: int) -> None:
    kind = COLUMNS[name].kind
    is_compared = kind in ("state", "key")
    allowed = COMPARED if is_compared else _WHOLE if kind in ("id", "integer") else _REALS
    has_form = tensor.dim() == 1 or (tensor.dim() > 1 and is_compared)
    if not has_form or len(tensor) != num_rows or tensor.dtype not in allowed:
        raise RefusedError


def _check_numbers(columns: Columns) -> None:
    columns.wrong += [columns.nulls[name] for name in ingest.REQUIRED if name in columns.nulls]
    if "rewards" in columns:
        columns.wrong.append(~columns["rewards"].isfinite())
    if "edge_costs" in columns:
        costs = columns["edge_costs"]
        columns.wrong.append(~(costs.isfinite() & (costs > 0)))
    if "episode_returns" in columns:
        returns = columns["episode_returns"]
        is_wrong = ~returns.isfinite()
        if "success" in columns:  # an outcome without a verdict may be unknown
            is_wrong &= ~(returns.isnan() & (columns["success"] == NO_VERDICT))
        columns.wrong.append(is_wrong)


# --- from the host --------------------------------------------------------------------------------


def _add_from_host(
    columns: Columns, on_host: dict[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    on_device = [name for name in ingest.STATES if name in tensors]
    if len(on_device) == 1 and any(name in on_host for name in ingest.STATES):
        raise TypeError(
            f"only {on_device[0]} is on {columns.device}; expected states and next_states on the "
            "device, or neither"
        )
    if on_host and "mask" in tensors:
        on_host = {**on_host, "mask": tensors["mask"].cpu()}
    plain = {
        name: ingest.plain_column(name, values, exact=name in ingest.STATES)
        for name, values in on_host.items()
    }
    read = ingest.read_batch(plain, None, stable=True)
    for name in plain:
        if name in tensors:  # the mask, read for the others
            continue
        values = read[name]
        if COLUMNS[name].kind in ("state", "id", "key"):
            values, is_null = _core.nullable_stable_keys(column=values)
            columns.nulls[name] = torch.from_numpy(is_null).to(columns.device)
        own = np.array(values)  # never the caller's memory, nor what cannot be written
        columns.given[name] = torch.from_numpy(own).to(columns.device)


def add_given_states(columns: Columns, states: Any) -> None:
    """States as they came, before noise was taken out of them."""
    mask = columns["mask"].cpu().numpy() if "mask" in columns else None
    keys, _ = _core.nullable_stable_keys(column=ingest.key_column("states", states, mask))
    columns.given["given_states"] = torch.from_numpy(keys).to(columns.device)


# --- on the device --------------------------------------------------------------------------------


def _add_states(columns: Columns, tensors: Mapping[str, Tensor]) -> None:
    """Both columns numbered together, so that a state of one can be a state of the other."""
    if not tensors:
        return
    if len({_row_type(tensor) for tensor in tensors.values()}) > 1:
        raise RefusedError
    for tensor in tensors.values():
        columns.wrong.append(_has_nan(tensor))
    keys = exact_keys(torch.cat([canonical(tensor) for tensor in tensors.values()]))
    columns.given.update(zip(tensors, keys.reshape(len(tensors), columns.num_rows), strict=True))


def _row_type(tensor: Tensor) -> tuple[Any, ...]:
    if tensor.dim() > 1:
        return (tensor.dtype, tensor.shape[1:])
    return (tensor.dtype == torch.bool, tensor.is_floating_point())


def _has_nan(tensor: Tensor) -> Tensor:
    """Where a row has one."""
    return tensor.isnan().reshape(len(tensor), math.prod(tensor.shape[1:])).any(1)


def exact_keys(rows: Tensor) -> Tensor:
    """(N,) int64 that are equal exactly where rows are: their hashes, compared once more."""
    if rows.dim() == 1:
        return words(rows)[0]
    keys = stable_keys(rows)
    same = numbered(keys)
    if bool((rows == rows[same.first[same.ids]]).all()):
        return keys
    alike: Tensor = torch.unique(rows, dim=0, return_inverse=True)[1]  # two states share a hash
    return alike


def _read(kind: Kind, tensor: Tensor, wrong: list[Tensor]) -> Tensor:
    """The values of a column that holds no states."""
    if kind == "key":
        wrong.append(_has_nan(tensor))
        return exact_keys(canonical(tensor))
    if kind in ("id", "integer"):
        return tensor.to(torch.int64)
    if kind == "real":
        return tensor.to(torch.float64)
    wrong.append((tensor != 0) & (tensor != 1))
    return tensor != 0  # a mask hides nothing that is wrong with itself
