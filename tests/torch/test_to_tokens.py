"""Every token of a step gets the step's value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from token_cases import Allocated

import graphgpo
from graphgpo.torch import spans_to_tokens, to_tokens


def test_every_token_of_a_step_gets_its_value() -> None:
    mask = torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    tokens = to_tokens(np.array([0.5, -2.0, 7.0], np.float32), mask)
    assert tokens.tolist() == [[0, 0.5, 0.5, 0], [-2, -2, -2, -2], [0, 0, 0, 0]]
    assert tokens.dtype == torch.float32
    assert not tokens.requires_grad


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32, torch.bfloat16])
def test_the_mask_selects_and_never_scales(dtype: torch.dtype) -> None:
    mask = torch.tensor([[1, 0, 1]]).to(dtype)
    assert to_tokens([3.0], mask).tolist() == [[3, 0, 3]]
    assert to_tokens([3.0], mask * 2 if dtype != torch.bool else mask).tolist() == [[3, 0, 3]]


def test_a_result_is_its_advantages() -> None:
    result = graphgpo.compute_advantages(
        ["a", "a"], group_ids=[0, 0], trajectory_ids=[0, 1], success=[True, False]
    )
    tokens = to_tokens(result, torch.ones(2, 3))
    assert tokens[:, 0].tolist() == result.advantages.tolist()


@pytest.mark.parametrize(
    "values",
    [
        [1.0, 2.0],
        torch.tensor([1, 2]),
        torch.tensor([1, 2], dtype=torch.bfloat16),
        torch.tensor([1.0, 9.0, 2.0])[::2],
        np.array([1, 2], ">f8"),
        np.array([1, 2.0], object),
    ],
    ids=["list", "ints", "bfloat16", "strided", "big-endian", "objects"],
)
def test_values_come_as_lists_arrays_and_tensors(values: Any) -> None:
    assert to_tokens(values, torch.ones(2, 1)).tolist() == [[1], [2]]


def test_a_list_of_masks_gives_a_list_of_rows() -> None:
    masks = [torch.tensor([1, 0, 1]), np.array([True]), [0, 1], torch.zeros(0)]
    tokens = to_tokens([1.0, 2.0, 3.0, 4.0], masks)
    assert [row.tolist() for row in tokens] == [[1, 0, 1], [2], [0, 3], []]
    assert {row.dtype for row in tokens} == {torch.float32}
    assert isinstance(to_tokens([1.0], (masks[0],)), tuple)


def test_a_jagged_mask_gives_its_own_structure() -> None:
    masks = [torch.tensor([1.0, 0, 1]), torch.zeros(0), torch.tensor([1.0])]
    jagged = torch.nested.nested_tensor(masks, layout=torch.jagged)
    tokens = to_tokens([1.0, 2.0, 3.0], jagged)
    assert tokens.layout == torch.jagged
    assert [row.tolist() for row in tokens.unbind()] == [[1, 0, 1], [], [3]]
    assert (tokens * jagged).values().tolist() == [1, 0, 1, 3]  # fails unless structures are one


def test_a_narrowed_jagged_mask_gives_its_rows_alone() -> None:
    starts, lengths = torch.tensor([1, 0]), torch.tensor([2, 3])
    narrowed = torch.nested.narrow(torch.ones(2, 4), 1, starts, lengths, layout=torch.jagged)
    tokens = to_tokens([1.0, 2.0], narrowed)
    assert [row.tolist() for row in tokens.unbind()] == [[1, 1], [2, 2, 2]]


def test_no_rows_and_no_columns_are_legal() -> None:
    assert to_tokens([], torch.zeros(0, 5)).shape == (0, 5)
    assert to_tokens([1.0], torch.zeros(1, 0)).shape == (1, 0)
    assert to_tokens([], []) == []
    assert spans_to_tokens([], [], [], [], (0, 5)).shape == (0, 5)
    assert spans_to_tokens([1.0], [0], [0], [1], (1, 0)).shape == (1, 0)


def test_tokens_are_on_the_device_of_the_mask_or_the_one_asked_for() -> None:
    assert to_tokens([1.0], torch.ones(1, 2, device="meta")).device.type == "meta"
    assert to_tokens([1.0], [torch.ones(2, device="meta")])[0].device.type == "meta"
    span: Any = ([1.0], [0], [0], [1], (1, 2))
    assert spans_to_tokens(*span).device.type == "cpu"
    assert spans_to_tokens(*span, device="meta").device.type == "meta"
    with torch.device("meta"):
        assert spans_to_tokens(*span).device.type == "meta"


def test_tokens_carry_no_gradient_and_share_no_memory() -> None:
    values = torch.ones(2, requires_grad=True)
    mask = torch.ones(2, 2, requires_grad=True)
    assert not to_tokens(values, mask).requires_grad
    tokens = spans_to_tokens(values, [0, 1], [0, 0], [2, 2], (2, 2))
    assert not tokens.requires_grad
    tokens.zero_()
    to_tokens(values, mask).zero_()
    assert values.tolist() == [1, 1]


def test_spreading_takes_no_more_than_its_result_and_a_number() -> None:
    mask = torch.ones(16, 256, dtype=torch.int64)
    with Allocated() as allocated:
        tokens = to_tokens(np.ones(16), mask)
    assert allocated.peak <= tokens.nbytes + 4  # the least entry of the mask
