"""Stable keys of tensors: those of host memory, bit for bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from device_cases import BOARDS, DTYPES

import graphgpo
from graphgpo.torch import device


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [0, 1, 2, 3, 5, 6, 7, 9, 12, 16, 17, 33, 48, 49, 50, 97, 130])
def test_keys_of_rows_are_those_of_host_memory(dtype: torch.dtype, width: int) -> None:
    numbers = torch.randint(-120, 120, (5, width), generator=torch.Generator().manual_seed(width))
    rows = (numbers / 8 if dtype.is_floating_point else numbers).to(dtype)
    for states in (rows, rows[:, None], rows.t().contiguous().t()):
        expected = graphgpo.state_keys(states)
        np.testing.assert_array_equal(device.state_keys(states).numpy(), expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_keys_of_scalars_are_those_of_host_memory(dtype: torch.dtype) -> None:
    states = torch.tensor([0, 1, 2, 100, 255, -1, -0.0]).to(dtype)
    np.testing.assert_array_equal(device.state_keys(states).numpy(), graphgpo.state_keys(states))


def test_keys_of_extreme_integers_are_those_of_host_memory() -> None:
    states = torch.tensor([-(2**63), 2**63 - 1, -1, 2**32, -(2**32), 2**31])
    for shaped in (states, states[:, None]):
        expected = graphgpo.state_keys(shaped)
        np.testing.assert_array_equal(device.state_keys(shaped).numpy(), expected)
    assert len(device.state_keys(states[:0])) == 0


def test_keys_of_what_has_no_equality_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^states\[1\] holds NaN; expected numbers"):
        device.state_keys(torch.tensor([[0.0], [math.nan]]))
    with pytest.raises(
        TypeError, match=r"^states is a 1-d tensor of dtype torch\.bfloat16; expected"
    ):
        device.state_keys(torch.zeros(2, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match=r"^states is a 0-d tensor"):
        device.state_keys(torch.tensor(1))


def test_public_state_keys_of_a_device_tensor_stay_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = graphgpo.state_keys(BOARDS)
    monkeypatch.setattr("graphgpo.keys.is_on_a_device", lambda states: True)
    keys: Any = graphgpo.state_keys(BOARDS)
    assert isinstance(keys, torch.Tensor)
    np.testing.assert_array_equal(keys.numpy(), expected)
