"""Stable 64-bit keys, for stacks that cannot carry the states themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphgpo import _core
from graphgpo.ingest import is_on_a_device, key_column, plain_column


def state_key(state: Any) -> int:
    """A stable signed 64-bit key of one state.

    The same in every process, on every machine and in every version, and equal for equal states
    (see `compute_advantages`). Pass keys as integer states. Among n distinct states the chance that
    any two share a key is about n**2 / 2**65: 3 in 10**8 for a million. Not a cryptographic hash.

    Raises `TypeError` or `ValueError` for None and for a state without an equality.

    >>> state_key("hall")
    5935732517674450595
    >>> state_key([1, 2]) == state_key((1, 2)), state_key(1) == state_key(True)
    (True, False)
    """
    return _core.stable_key_of_object(state=state)


def state_keys(states: Any) -> NDArray[np.int64]:
    """The `state_key` of every state of a column, of any kind `compute_advantages` takes.

    Returns (N,) int64. For lists, tuples, NumPy arrays and tensors
    `state_keys(states)[i] == state_key(states[i])`: a row of an array is a state, and a tensor
    without axes is its number. Keys of a tensor on a device are a tensor there.

    >>> state_keys(["hall", "kitchen"])[0] == state_key("hall")
    np.True_
    """
    if is_on_a_device(states):
        from graphgpo.torch import device

        return device.state_keys(states)  # type: ignore[return-value]
    column = key_column("states", plain_column("states", states), None)
    return _core.stable_keys(column=column, name="states")
