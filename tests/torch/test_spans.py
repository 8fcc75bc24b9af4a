"""Every step writes its span."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphgpo.torch import spans_to_tokens, to_tokens, tokens_without_span


def test_every_step_writes_its_span() -> None:
    tokens = spans_to_tokens(
        [1.0, 2.0, 3.0], rows=[1, 0, 1], starts=[0, 2, 3], stops=[2, 4, 5], shape=(2, 6)
    )
    assert tokens.tolist() == [[0, 0, 2, 2, 0, 0], [1, 1, 0, 3, 3, 0]]
    assert tokens.dtype == torch.float32


def test_spans_beyond_the_width_are_clipped_and_other_ranks_rows_ignored() -> None:
    tokens = spans_to_tokens(
        [1.0, 2.0, 3.0, 4.0],
        rows=[0, 0, -1, 5],
        starts=[2, 7, 0, 0],
        stops=[9, 9, 3, 3],
        shape=(1, 4),
    )
    assert tokens.tolist() == [[0, 0, 1, 1]]


def test_only_tokens_of_the_result_can_overlap() -> None:
    tokens = spans_to_tokens(
        [1.0, 2.0, 3.0, 4.0],
        rows=[0, 0, 7, 7],
        starts=[0, 4, 0, 0],
        stops=[9, 9, 2, 2],
        shape=(1, 4),
    )
    assert tokens.tolist() == [[1, 1, 1, 1]]


def test_a_row_of_its_own_for_every_step_makes_both_layouts_one() -> None:
    values, lengths = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([2, 0, 4])
    mask = torch.arange(4) < lengths[:, None]
    tokens = spans_to_tokens(values, torch.arange(3), [0, 0, 0], lengths, (3, 4))
    assert torch.equal(tokens, to_tokens(values, mask))


def test_the_ranks_together_hold_what_one_process_would() -> None:
    values, rows = np.array([1.0, 2, 3, 4]), np.array([3, 0, 2, 3])
    starts, stops = np.array([0, 1, 0, 2]), np.array([2, 3, 1, 4])
    ranks = [spans_to_tokens(values, rows - 2 * rank, starts, stops, (2, 4)) for rank in (0, 1)]
    assert torch.equal(torch.cat(ranks), spans_to_tokens(values, rows, starts, stops, (4, 4)))


def test_touching_and_empty_spans_do_not_overlap() -> None:
    tokens = spans_to_tokens(
        [1.0, 2.0, 9.0], rows=[0, 0, 0], starts=[0, 2, 1], stops=[2, 4, 1], shape=(1, 4)
    )
    assert tokens.tolist() == [[1, 1, 2, 2]]


@given(data=st.data(), num_rows=st.integers(0, 3), width=st.integers(0, 8))
def test_spans_write_what_a_loop_writes(data: st.DataObject, num_rows: int, width: int) -> None:
    expected = np.zeros((num_rows, width), np.float32)
    taken = np.zeros((num_rows, width), bool)
    spans = []
    for step in range(data.draw(st.integers(0, 6))):
        row = data.draw(st.integers(-1, num_rows))
        start = data.draw(st.integers(0, 10))
        stop = start + data.draw(st.integers(0, 4))
        if 0 <= row < num_rows:
            if taken[row, start:stop].any():
                continue
            taken[row, start:stop] = True
            expected[row, start:stop] = step + 1
        spans.append((step + 1.0, row, start, stop))
    values, rows, starts, stops = (
        (list(x) for x in zip(*spans, strict=True)) if spans else ([],) * 4
    )
    tokens = spans_to_tokens(values, rows, starts, stops, (num_rows, width))
    np.testing.assert_array_equal(tokens.numpy(), expected)


# --- under a mask ---------------------------------------------------------------------------------


def test_what_the_policy_did_not_write_is_zero() -> None:
    mask = torch.tensor([[1, 0, 1, 1, 0], [0, 1, 1, 0, 0]])
    tokens = spans_to_tokens([2.0, -1.0], [0, 1], [0, 0], [3, 9], response_mask=mask)
    assert tokens.tolist() == [[2, 0, 2, 0, 0], [0, -1, -1, 0, 0]]


def test_a_mask_selects_and_never_scales() -> None:
    mask = torch.tensor([[0.5, 3.0, 0.0]])
    assert spans_to_tokens([2.0], [0], [0], [3], response_mask=mask).tolist() == [[2, 2, 0]]


def test_a_shape_beside_a_mask_may_be_its_own() -> None:
    mask = torch.ones(1, 2)
    tokens = spans_to_tokens([2.0], [0], [0], [1], (1, 2), response_mask=mask, device="cpu")
    assert tokens.tolist() == [[2, 0]]


def test_policy_tokens_in_no_span_are_counted() -> None:
    mask = torch.tensor([[1, 1, 0, 1], [1, 1, 1, 0]])
    count = tokens_without_span([0, 5], [1, 0], [3, 4], mask)
    assert count.item() == 2 + 3
    assert count.dtype == torch.int64
    assert tokens_without_span([], [], [], mask).item() == 6
    assert tokens_without_span([0, 1], [0, 0], [4, 4], mask).item() == 0


@given(data=st.data(), num_rows=st.integers(0, 3), width=st.integers(0, 8))
def test_spans_under_a_mask_are_spans_times_the_mask(
    data: st.DataObject, num_rows: int, width: int
) -> None:
    spans = []
    for row in range(-1, num_rows + 1):
        cuts = sorted(data.draw(st.lists(st.integers(0, 10), max_size=5)))
        spans += [(row, start, stop) for start, stop in itertools.pairwise(cuts)]
    rows, starts, stops = (list(x) for x in zip(*spans, strict=True)) if spans else ([],) * 3
    values = [float(step + 1) for step in range(len(spans))]
    size = num_rows * width
    entries = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    mask = torch.tensor(entries, dtype=torch.bool).view(num_rows, width)
    whole = spans_to_tokens(values, rows, starts, stops, (num_rows, width))
    assert torch.equal(
        spans_to_tokens(values, rows, starts, stops, response_mask=mask), whole * mask
    )
    left_out = tokens_without_span(rows, starts, stops, mask)
    assert left_out == (mask & (whole == 0)).sum()
