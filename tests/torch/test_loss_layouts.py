"""Padded, jagged or packed, whole or in parts: it is the same loss."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from token_cases import (
    EVERY_OPTION,
    GROUPS,
    REDUCTIONS,
    cu_seqlens,
    jagged,
    packed,
    random_tokens,
    reduced,
    untyped,
)

from graphgpo.torch import policy_loss, spans_to_tokens, to_tokens

LENGTHS = [5, 0, 3, 4]  # what lies behind a row's length is no token
NAMES = ("log_probs", "old", "advantages", "mask", "ref")


def batch(seed: int) -> dict[str, torch.Tensor]:
    t = random_tokens(seed)
    t["mask"] &= torch.arange(5) < torch.tensor(LENGTHS)[:, None]
    return t


def loss_of(t: dict[str, Any], **options: Any) -> Any:
    return untyped(policy_loss)(
        *(t[name] for name in NAMES[:4]), ref_log_probs=t["ref"], **EVERY_OPTION, **options
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("ratio", ["token", "sequence"])
@pytest.mark.parametrize("form", ["jagged", "packed", "packed in one row"])
@pytest.mark.parametrize("seed", range(3))
def test_jagged_and_packed_are_padded(reduction: Any, ratio: Any, form: str, seed: int) -> None:
    t = batch(seed)
    options = {"ratio": ratio, **reduced(reduction)}
    leaf = t["log_probs"].clone().requires_grad_()
    expected, their_metrics = loss_of(t | {"log_probs": leaf}, **options)
    expected.backward()
    assert leaf.grad is not None

    ours = t["log_probs"].clone().requires_grad_()
    lay = jagged if form == "jagged" else packed
    other: dict[str, Any] = {n: lay(x, LENGTHS) for n, x in (t | {"log_probs": ours}).items()}
    if form == "packed in one row":
        other = {name: x[None] for name, x in other.items()}
    if form != "jagged":
        options["cu_seqlens"] = cu_seqlens(LENGTHS, torch.int32)
    loss, metrics = loss_of(other, **options)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, leaf.grad)
    torch.testing.assert_close(metrics, their_metrics)


def test_a_leaf_that_is_jagged_gets_a_jagged_gradient() -> None:
    t = batch(0)
    leaf = jagged(t["log_probs"], LENGTHS).detach().requires_grad_()
    others = {name: jagged(t[name], LENGTHS) for name in NAMES[1:]}
    loss_of({"log_probs": leaf, **others})[0].backward()
    plain = t["log_probs"].requires_grad_()
    loss_of(t)[0].backward()
    assert leaf.grad is not None
    assert leaf.grad.is_nested
    torch.testing.assert_close(leaf.grad.values(), packed(plain.grad, LENGTHS))  # type: ignore[arg-type]


def test_to_tokens_makes_what_a_jagged_loss_takes() -> None:
    mask = jagged(torch.ones(2, 3), [3, 2])
    log_probs = jagged(torch.zeros(2, 3), [3, 2])
    loss, _ = policy_loss(log_probs, log_probs, to_tokens([1.0, -1.0], mask), mask)
    assert loss.item() == pytest.approx(-1 / 5)


def test_the_mean_over_packed_tokens_needs_no_rows() -> None:
    t = batch(1)
    flat = {name: packed(x, LENGTHS) for name, x in t.items()}
    assert loss_of(flat)[0].item() == pytest.approx(loss_of(t)[0].item())


def test_no_rows_and_rows_without_tokens_are_legal_in_every_layout() -> None:
    none = torch.zeros(0)
    for reduction in ("sequence_mean", "token_mean"):
        options: Any = {"reduction": reduction, "cu_seqlens": torch.zeros(1, dtype=torch.int64)}
        assert policy_loss(none, none, none, none, **options)[0].item() == 0
    rows = torch.nested.nested_tensor_from_jagged(none, torch.zeros(3, dtype=torch.int64))
    assert policy_loss(rows, rows, rows, rows, reduction="sequence_mean")[0].item() == 0


# --- parts of an optimiser step -------------------------------------------------------------------


PARTS: dict[str, list[list[int]]] = {
    "whole groups": [[0, 2], [1, 3]],
    "torn groups": [[0], [1, 2, 3]],
    "none in one": [[3, 1, 0, 2], []],
}


def counts(t: dict[str, torch.Tensor], rows: list[int], reduction: str, *, torn: bool) -> Any:
    """The normaliser that a part with these rows needs."""
    per_row = t["mask"].sum(1)
    groups = torch.tensor(GROUPS)
    of_group = torch.zeros(2).long().index_add(0, groups, per_row)
    if reduction == "token_mean":
        return {"num_tokens": int(per_row.sum())}
    if reduction != "group_mean":
        return {"num_sequences": (per_row > 0).sum()}
    num_groups = {"num_groups": int((of_group > 0).sum())}
    if torn:
        return {**num_groups, "num_tokens": of_group[groups][rows]}
    return {**num_groups, "group_ids": groups[rows]}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("ratio", ["token", "sequence"])
@pytest.mark.parametrize(
    "parts",
    [[[0, 2], [1, 3]], [[0], [1, 2, 3]], [[3, 1, 0, 2], []]],
    ids=["groups", "torn", "none"],
)
@pytest.mark.parametrize("seed", range(3))
def test_the_parts_of_a_step_add_up_to_the_whole(
    reduction: Any, ratio: Any, parts: list[list[int]], seed: int
) -> None:
    t = batch(seed)
    whole = t["log_probs"].clone().requires_grad_()
    expected, _ = loss_of(t | {"log_probs": whole}, ratio=ratio, **reduced(reduction))
    expected.backward()

    torn = [0] in parts
    leaf = t["log_probs"].clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for rows in parts:
        part = {name: x[rows] for name, x in (t | {"log_probs": leaf}).items()}
        options = counts(t, rows, reduction, torn=torn)
        loss, _ = loss_of(part, ratio=ratio, reduction=reduction, **options)
        loss.backward()
        total += loss.detach()
    torch.testing.assert_close(total, expected.detach())
    torch.testing.assert_close(leaf.grad, whole.grad)


def test_metrics_of_parts_combine_by_their_tokens() -> None:
    t = batch(4)
    _, whole = loss_of(t)
    parts = [loss_of({name: x[rows] for name, x in t.items()})[1] for rows in ([0], [1, 2, 3])]
    weights = torch.stack([part["num_tokens"] for part in parts])
    assert weights.sum() == whole["num_tokens"]
    for name in ("clip_fraction", "approx_kl", "kl_ref"):
        values = torch.stack([part[name] for part in parts])
        torch.testing.assert_close((values * weights).sum() / weights.sum(), whole[name])


def test_a_part_without_tokens_is_zero_whatever_the_step_has() -> None:
    zeros = torch.zeros(2, 3)
    for num_tokens in (0, 12, torch.tensor(12)):
        assert policy_loss(zeros, zeros, zeros, zeros, num_tokens=num_tokens)[0].item() == 0


def test_tokens_of_a_step_that_claims_to_have_none_are_not_passed_over() -> None:
    ones = torch.ones(1, 2)
    assert math.isinf(policy_loss(ones, ones, ones, ones, num_tokens=0)[0].item())


@given(
    lengths=st.lists(st.integers(0, 4), max_size=5),
    data=st.data(),
    reduction=st.sampled_from(REDUCTIONS),
    ratio=st.sampled_from(["token", "sequence"]),
)
def test_any_lengths_in_any_layout_are_the_padded_batch(
    lengths: list[int], data: st.DataObject, reduction: Any, ratio: Any
) -> None:
    size, width = len(lengths), max(lengths, default=0)
    seed = data.draw(st.integers(0, 99))
    generator = torch.Generator().manual_seed(seed)

    def normal() -> torch.Tensor:
        return torch.randn(size, width, generator=generator, dtype=torch.float64)

    inside = torch.arange(width) < torch.tensor(lengths, dtype=torch.int64)[:, None]
    t = {"log_probs": normal(), "old": normal(), "advantages": normal(), "ref": normal()}
    t["mask"] = inside & (torch.rand(size, width, generator=generator) < 0.7)
    group_ids = [row % 2 for row in range(size)]
    options: dict[str, Any] = {"ratio": ratio, "reduction": reduction}
    if reduction == "group_mean":
        options["group_ids"] = group_ids
    expected, _ = loss_of(t, **options)
    flat: dict[str, Any] = {
        name: packed(x, lengths) if size else x.flatten() for name, x in t.items()
    }
    loss, _ = loss_of(flat, cu_seqlens=cu_seqlens(lengths), **options)
    torch.testing.assert_close(loss, expected)


def test_spans_and_a_mask_go_straight_into_the_loss() -> None:
    mask = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 0]])
    advantages = spans_to_tokens([2.0, -1.0], [0, 1], [0, 0], [4, 2], response_mask=mask)
    log_probs = torch.zeros(2, 4)
    assert policy_loss(log_probs, log_probs, advantages, mask)[0].item() == -(2 * 3 - 1) / 4
