"""Credit where the batch is: plans interpreted in torch operations, on any torch device.

`graphgpo.compute_advantages` and `graphgpo.Rollouts` come here when they are given tensors that are
not in host memory. Mostly there is no need to: `docs/cuda.md` says when. Integers equal the core's,
floats are within 1e-6, and runs repeat bit for bit: whole numbers are added by atomics, floats as
whole numbers (`segments`), and powers are made of rounded operations (`arithmetic`).

    columns -> rollouts (steps, graph, distances) -> potentials -> scores -> peers -> modifiers ->
    plan (levels, terms) -> results

One file each, with a function for every block of `graphgpo.blocks`, found by the block's class.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphgpo import estimators
from graphgpo.columns import COLUMNS, MERGING
from graphgpo.estimators import Estimator, check_needs
from graphgpo.ingest import plain_columns
from graphgpo.problems.warning import warn_of_lost_credit
from graphgpo.result import StepAdvantages
from graphgpo.rollouts import Rollouts
from graphgpo.states.merging import AS_GIVEN, Merged, Merging
from graphgpo.torch.device import hashing, rollouts
from graphgpo.torch.device.columns import (
    COMPARED,
    RefusedError,
    add_given_states,
    check_device,
    has_nan,
    read_columns,
)
from graphgpo.torch.device.plan import interpret
from graphgpo.torch.device.results import by_row

__all__ = ["DeviceBatch", "compute_advantages", "is_available", "state_keys", "to_host"]


def compute_advantages(
    states: Any,
    next_states: Any = None,
    *,
    device: torch.device | str,
    estimator: Any = "graphgpo",
    **columns_and_options: Any,
) -> StepAdvantages:
    """What `graphgpo.compute_advantages` computes, in torch operations on `device`.

    Parameters
    ----------
    states, next_states, **columns_and_options
        As in `graphgpo.compute_advantages`. Columns that are no tensors on the device are read in
        host memory and copied over, states of any kind as their stable keys.
    device
        Where to compute. "cpu" is for tests: the core is several times faster there.

    Returns
    -------
    StepAdvantages
        Its arrays are tensors on the device.

    >>> result = compute_advantages(
    ...     torch.tensor([1, 2, 1]),
    ...     torch.tensor([2, 3, 4]),
    ...     group_ids=torch.tensor([0, 0, 0]),
    ...     trajectory_ids=torch.tensor([0, 0, 1]),
    ...     success=torch.tensor([False, True, False]),
    ...     device="cpu",
    ... )
    >>> result.step_advantages
    tensor([ 0.7071,  0.0000, -0.7071])
    """
    given = {"states": states, "next_states": next_states, **columns_and_options}
    columns = {name: given.pop(name, None) for name in COLUMNS}
    given.pop("num_threads", None)
    merging = {name: given.pop(name, default) for name, default in MERGING.items()}
    chosen = estimators.make(estimator, given)
    host = None
    if Merging.of(*merging.values()) != AS_GIVEN:
        host = Rollouts(**columns, **merging)
        columns = dict(host.merged_columns)
    return DeviceBatch(columns, torch.device(device), host).credit([chosen])[0]


def is_available() -> bool:
    """Whether there is a CUDA or ROCm device. Makes no context: processes may still fork."""
    is_built = torch.version.cuda is not None or torch.version.hip is not None
    return is_built and torch.cuda.device_count() > 0


def state_keys(states: Tensor) -> Tensor:
    """(N,) int64 keys of (N, ...) rows, where the tensor is: `graphgpo.state_keys`, bit for bit.

    Raises `TypeError` for a tensor that is no batch of bools, ints of at most 64 bits or floats of
    16, 32 or 64, and `ValueError` for NaN.

    >>> import graphgpo
    >>> boards = torch.arange(12, dtype=torch.int32).reshape(2, 3, 2)
    >>> state_keys(boards).tolist() == graphgpo.state_keys(boards).tolist()
    True
    """
    check_device("state_keys", states.device)
    if states.dtype not in COMPARED or states.dim() == 0:
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in COMPARED)
        raise TypeError(
            f"states is a {states.dim()}-d tensor of dtype {states.dtype}; expected (N, ...) of "
            f"{allowed}"
        )
    for row in has_nan(states).nonzero()[:1] if states.is_floating_point() else ():
        raise ValueError(f"states[{int(row)}] holds NaN; expected numbers: NaN equals nothing")
    return hashing.stable_keys(states.detach())


def to_host(result: StepAdvantages) -> StepAdvantages:
    """The same credit as NumPy arrays."""
    on_host = result.with_arrays(lambda tensor: tensor.cpu().numpy())
    return on_host if result.asked is None else on_host.answering(*result.asked)


class HostCopy:
    """The rollouts of columns on a device in host memory, copied when they are first asked for."""

    def __init__(self, given: Mapping[str, Any], host: Rollouts | None) -> None:
        self._given, self._host = given, host

    def in_host_memory(self) -> Rollouts:
        """The same rollouts at every call."""
        if self._host is None:
            copied = {n: v.detach().cpu() for n, v in self._given.items() if isinstance(v, Tensor)}
            plain = plain_columns({**self._given, **copied})
            self._host = Rollouts(**{**dict.fromkeys(COLUMNS), **plain})
        return self._host


class DeviceBatch:
    """Columns on a device, read and merged once.

    `host`: rollouts in host memory, whose merged columns they are; None: they are as they came.
    """

    def __init__(
        self, given: Mapping[str, Any], device: torch.device, host: Rollouts | None = None
    ) -> None:
        check_device("compute_advantages", device)
        self.given = {name: v for name, v in given.items() if v is not None}
        self.copy = HostCopy(self.given, host)
        self._device = device
        self._coarsened = host

    def credit(self, chosen: Sequence[Estimator]) -> list[StepAdvantages]:
        """The credit of every row by each estimator."""
        for estimator in chosen:
            check_needs(estimator, self.given)
        check_device("compute_advantages", self._device)
        results = None
        with torch.no_grad(), contextlib.suppress(RefusedError):
            results = [by_row(self._merged, interpret(e, self._merged)) for e in chosen]
        if results is None:
            self.copy.in_host_memory().compare(chosen)  # has the words
            raise RuntimeError("the device refused columns that the core takes; please report it")
        of_merging = self._coarsened.merging_metrics if self._coarsened else Merged({}).metrics
        for result, estimator in zip(results, chosen, strict=True):
            result.metrics.update(of_merging)
            result.answering(self.copy, estimator)  # which keeps no more than what was given
            warn_of_lost_credit(result.metrics, estimator, self.copy)
        return results

    @functools.cached_property
    def _merged(self) -> rollouts.Rollouts:
        columns = read_columns(self.given, self._device)
        if self._coarsened and self._coarsened.merging.is_coarser:
            add_given_states(columns, self._coarsened.columns["states"])
        return rollouts.Rollouts(columns, self.copy.in_host_memory)
