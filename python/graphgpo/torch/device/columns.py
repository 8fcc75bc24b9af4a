"""The caller's columns as tensors on one device: keys as int64, numbers as float64, flags as bool.

Tensors on the device stay there. Every other column is read as the core reads it, its states, ids
and keys as stable keys, and copied over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from graphgpo import _core, ingest
from graphgpo.columns import COLUMNS, Kind
from graphgpo.torch.arguments import refuse_capture
from graphgpo.torch.device.hashing import canonical, stable_keys, words
from graphgpo.torch.device.segments import numbered

NO_VERDICT = 2
COMPARED = (
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.float32, torch.float64),
)


class RefusedError(Exception):
    """Something is wrong with the columns; the core has the words."""


@dataclass(eq=False)
class Columns(dict[str, Tensor]):
    """(N,) tensors by column name."""

    num_rows: int
    device: torch.device
    nulls: dict[str, Tensor] = field(default_factory=dict)
    """Of columns that may hold nulls, where."""
    wrong: list[Tensor] = field(default_factory=list)
    """() or (N,) bools: what is true of an unmasked row is refused."""

    def refuse_rows_that_differ(self, rows: Tensor, others: Tensor) -> None:
        """Copies of a step agree in every column; unknown is unknown."""
        for values in (*self.values(), *self.nulls.values()):
            one, other = values[rows], values[others]
            self.wrong.append(((one != other) & ~(one.isnan() & other.isnan())).any())

    def refuse_what_is_wrong(self) -> None:
        """Waits for the device, once for all checks."""
        mask = self.get("mask", True)
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
    there = {name: v.detach() for name, v in given.items() if _is_on(device, name, v)}
    here = {name: v for name, v in given.items() if name not in there}
    states = [name for name in ingest.STATES if name in there]
    if len(states) == 1 and any(name in here for name in ingest.STATES):
        raise TypeError(
            f"only {states[0]} is on {device}; expected states and next_states on the device, or "
            "neither"
        )
    if any(name not in given for name in ingest.REQUIRED):
        raise RefusedError
    _check_forms(there)
    columns = Columns(len(given["states"]), device)
    _add_from_host(columns, here, there)
    _add_states(columns, {name: there[name] for name in states})
    for name, tensor in there.items():
        if name not in ingest.STATES:
            columns[name] = _read(COLUMNS[name].kind, tensor, columns.wrong)
    if any(len(values) != columns.num_rows for values in columns.values()):
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


def _check_forms(there: Mapping[str, Tensor]) -> None:
    """Refuse what is refused of columns of such dtypes and shapes in host memory."""
    if any(v.dtype not in (*COMPARED, torch.bfloat16) for v in there.values()):
        raise RefusedError
    like = {name: torch.zeros((1, *v.shape[1:]), dtype=v.dtype) for name, v in there.items()}
    try:
        ingest.check_lengths(dict(there))
        ingest.read_batch(ingest.each_plain(like), None)
    except (TypeError, ValueError):
        raise RefusedError from None


def _check_numbers(columns: Columns) -> None:
    columns.wrong += [columns.nulls[name] for name in ingest.REQUIRED if name in columns.nulls]
    names = ("rewards", "edge_costs", "episode_returns", "success")
    one = torch.ones((), device=columns.device)  # stands for a column that is not there
    rewards, costs, returns, success = (columns.get(name, one) for name in names)
    is_open = returns.isnan() & (success == NO_VERDICT)  # an outcome without a verdict
    is_right = rewards.isfinite() & costs.isfinite() & (costs > 0) & (returns.isfinite() | is_open)
    columns.wrong.append(~is_right)


# --- from the host --------------------------------------------------------------------------------


def _add_from_host(
    columns: Columns, on_host: dict[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    mask = {"mask": tensors["mask"].cpu()} if on_host and "mask" in tensors else {}
    read = ingest.read_batch(ingest.each_plain({**on_host, **mask}), None, stable=True)
    for name in on_host:
        values = read[name]
        if COLUMNS[name].kind in ("state", "id", "key"):
            values, is_null = _core.nullable_stable_keys(column=values)
            columns.nulls[name] = torch.tensor(is_null, device=columns.device)
        columns[name] = torch.tensor(values, device=columns.device)  # never the caller's memory


def add_given_states(columns: Columns, states: Any) -> None:
    """States as they came, before noise was taken out of them."""
    mask = columns["mask"].cpu().numpy() if "mask" in columns else None
    keys, _ = _core.nullable_stable_keys(column=ingest.key_column("states", states, mask))
    columns["given_states"] = torch.tensor(keys, device=columns.device)


# --- on the device --------------------------------------------------------------------------------


def _add_states(columns: Columns, tensors: Mapping[str, Tensor]) -> None:
    """Both columns numbered together, so that a state of one can be a state of the other."""
    if not tensors:
        return
    columns.wrong += [has_nan(tensor) for tensor in tensors.values()]
    keys = exact_keys(torch.cat([canonical(tensor) for tensor in tensors.values()]))
    columns.update(zip(tensors, keys.reshape(len(tensors), columns.num_rows), strict=True))


def has_nan(tensor: Tensor) -> Tensor:
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
        tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        wrong.append(has_nan(tensor))
        return exact_keys(canonical(tensor))
    if kind in ("id", "integer", "real"):
        return tensor.to(torch.float64 if kind == "real" else torch.int64)
    wrong.append((tensor != 0) & (tensor != 1))
    return tensor != 0  # a mask hides nothing that is wrong with itself
