"""Columns of Python objects as the arrays a device takes, and a device's results on the host."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphgpo
from graphgpo.cuda import DeviceAdvantages, DeviceArray

Arrays = dict[str, NDArray[Any]]

FLAGS = ("success", "action_valid", "mask")
REALS = ("rewards", "episode_returns", "edge_costs")
IDS = ("group_ids", "trajectory_ids")
COLUMNS = ("states", "next_states", *IDS, "step_ids", *FLAGS, *REALS)


def to_arrays(columns: dict[str, Any]) -> Arrays:
    """Columns of `graphgpo.compute_advantages` as those of `graphgpo.cuda.compute_advantages`.

    States become their keys, ids are numbered. Masked rows hold what an array can of their garbage.
    """
    given = {name: list(columns[name]) for name in COLUMNS if columns.get(name) is not None}
    mask = given.get("mask", [True] * len(given["states"]))
    arrays: Arrays = {"state_keys": _keys(given["states"], mask)}
    if "next_states" in given:
        known = [value is not None and bool(m) for value, m in _rows(given["next_states"], mask)]
        arrays["next_state_keys"] = _keys(given["next_states"], known)
        arrays["next_state_known"] = np.array(known)
    for name in IDS:
        numbers: dict[Any, int] = {}
        arrays[name] = np.array([numbers.setdefault(x, len(numbers)) for x in given[name]], int)
    if "step_ids" in given:
        arrays["step_ids"] = np.array(
            [x if m else 0 for x, m in _rows(given["step_ids"], mask)], int
        )
    for name in (*FLAGS, *REALS):
        if name in given:
            arrays[name] = np.array([np.nan if x is None else x for x in given[name]], float)
    return arrays


def _rows(values: list[Any], mask: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(values, mask, strict=True))


def _keys(states: list[Any], mask: list[Any]) -> NDArray[np.int64]:
    keys = np.zeros(len(states), np.int64)
    rows = [row for row, exists in enumerate(mask) if exists]
    keys[rows] = graphgpo.state_keys([states[row] for row in rows])
    return keys


def to_device(values: NDArray[Any]) -> DeviceArray[Any]:
    """A copy on device 0 of whatever plays `graphgpo._cuda`."""
    values = np.asarray(values, order="C")
    extension: Any = importlib.import_module("graphgpo._cuda")
    memory = extension.Memory(bytes=values.nbytes, device=0, stream=0, keeps=None)
    memory.write(offset=0, array=values)
    return DeviceArray(memory, 0, values.shape, values.dtype.type)


def to_host(result: DeviceAdvantages) -> graphgpo.StepAdvantages:
    return graphgpo.StepAdvantages(
        advantages=result.advantages.to_numpy(),
        step_advantages=result.step_advantages.to_numpy(),
        episode_advantages=result.episode_advantages.to_numpy(),
        edge_returns=result.edge_returns.to_numpy(),
        distances=result.distances.to_numpy(),
        next_distances=result.next_distances.to_numpy(),
        state_ids=result.state_ids.to_numpy(),
        next_state_ids=result.next_state_ids.to_numpy(),
        metrics=result.metrics,
    )


def compute_advantages(
    states: Any, next_states: Any = None, **arguments: Any
) -> graphgpo.StepAdvantages:
    """`graphgpo.compute_advantages` by way of the device."""
    arguments = {"states": states, "next_states": next_states, **arguments}
    arrays = {name: to_device(values) for name, values in to_arrays(arguments).items()}
    options = {name: value for name, value in arguments.items() if name not in COLUMNS}
    arguments = {"success": None, **arrays, **options}
    return to_host(graphgpo.cuda.compute_advantages(**arguments))
