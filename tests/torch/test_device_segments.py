"""Sums over segments: of what is in them, and of nothing else."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphgpo.torch.device.segments import Segments


@settings(max_examples=6)
@given(
    values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40),
    scale=st.sampled_from([1.0, 2.0**-900, 2.0**900]),
    data=st.data(),
)
def test_sums_are_rounded_once_whatever_their_order(
    values: list[float], scale: float, data: st.DataObject
) -> None:
    values = [round(value, 3) * scale for value in values]
    ids = [data.draw(st.integers(0, 2)) for _ in values]
    order = data.draw(st.permutations(range(len(values))))
    for places in (range(len(values)), order):
        there = Segments(torch.tensor([ids[i] for i in places]), 2)
        found = there.sum(torch.tensor([values[i] for i in places], dtype=torch.float64)).tolist()
        for segment in range(3):
            own = [value for value, of in zip(values, ids, strict=True) if of == segment]
            assert found[segment] == math.fsum(own)


@pytest.mark.parametrize("values", [[1e308, 1e308], [math.inf, 1.0]])
def test_sums_that_do_not_fit_are_infinite(values: list[float]) -> None:
    column = torch.tensor(values, dtype=torch.float64)
    assert Segments.of_all(column).sum(column)[0] == math.inf
