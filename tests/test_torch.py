"""Advantages on tokens, and the loss that trains on them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import graphgpo
from graphgpo.torch import policy_loss, spans_to_tokens, to_tokens

REDUCTIONS = ["token_mean", "sequence_mean", "sequence_sum_mean"]

# --- to_tokens ------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("values", [[1.0, 2.0], torch.tensor([1, 2]), np.array([1, 2], ">f8")])
def test_values_come_as_lists_arrays_and_tensors(values: Any) -> None:
    assert to_tokens(values, torch.ones(2, 1)).tolist() == [[1], [2]]


def test_ragged_masks_keep_their_form() -> None:
    masks = [torch.tensor([1, 0, 1]), torch.tensor([1]), torch.zeros(0)]
    tokens = to_tokens([1.0, 2.0, 3.0], masks)
    assert [row.tolist() for row in tokens] == [[1, 0, 1], [2], []]
    assert isinstance(to_tokens([1.0], (masks[0],)), tuple)
    jagged = torch.nested.nested_tensor([m.float() for m in masks], layout=torch.jagged)
    spread = to_tokens([1.0, 2.0, 3.0], jagged)
    assert spread.layout == torch.jagged
    assert [row.tolist() for row in spread.unbind()] == [[1, 0, 1], [2], []]
    assert (spread * jagged).values().tolist() == [1, 0, 1, 2]  # the mask's own structure


def test_no_rows_and_no_columns_are_legal() -> None:
    assert to_tokens([], torch.zeros(0, 5)).shape == (0, 5)
    assert to_tokens([1.0], torch.zeros(1, 0)).shape == (1, 0)
    assert to_tokens([], []) == []


# --- spans_to_tokens ------------------------------------------------------------------------------


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


# --- policy_loss ----------------------------------------------------------------------------------


def transcribed_loss(
    log_probs: torch.Tensor,
    old: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    ref: torch.Tensor | None = None,
    kl_coef: float = 0.01,
    reduction: str = "token_mean",
) -> torch.Tensor:
    """The formula, token by token."""
    rows = []
    for b in range(log_probs.shape[0]):
        tokens = []
        for t in range(log_probs.shape[1]):
            if not mask[b, t]:
                continue
            ratio = torch.exp(torch.clamp(log_probs[b, t] - old[b, t], -20, 20))
            a = advantages[b, t]
            loss = torch.maximum(-a * ratio, -a * torch.clamp(ratio, 1 - clip_low, 1 + clip_high))
            if dual_clip is not None and a < 0:
                loss = torch.minimum(loss, -a * dual_clip)
            if ref is not None:
                x = torch.clamp(ref[b, t] - log_probs[b, t], -20, 20)
                loss = loss + kl_coef * (torch.exp(x) - 1 - x)
            tokens.append(loss)
        if tokens:
            rows.append(torch.stack(tokens))
    if not rows:
        return log_probs.sum() * 0
    if reduction == "token_mean":
        return torch.cat(rows).mean()
    if reduction == "sequence_mean":
        return torch.stack([row.mean() for row in rows]).mean()
    return torch.stack([row.sum() for row in rows]).mean()


def random_tokens(seed: int, rows: int = 4, width: int = 5) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal() -> torch.Tensor:
        return torch.randn(rows, width, generator=generator, dtype=torch.float64)

    mask = torch.rand(rows, width, generator=generator) < 0.6
    mask[seed % rows] = False  # a row without tokens
    log_probs = normal()
    return {
        "log_probs": log_probs,
        "old": log_probs + 0.4 * normal(),
        "advantages": normal(),
        "mask": mask,
        "ref": log_probs + normal(),
    }


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dual_clip", [None, 1.5])
@pytest.mark.parametrize("has_reference", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_loss_is_the_formula(
    reduction: Any, dual_clip: float | None, has_reference: bool, seed: int
) -> None:
    t = random_tokens(seed)
    ref = t["ref"] if has_reference else None
    ours, theirs = (t["log_probs"].clone().requires_grad_() for _ in range(2))
    options: dict[str, Any] = {
        "clip_low": 0.1,
        "clip_high": 0.3,
        "dual_clip": dual_clip,
        "kl_coef": 0.05,
    }
    loss, metrics = policy_loss(
        ours,
        t["old"],
        t["advantages"],
        t["mask"],
        ref_log_probs=ref,
        reduction=reduction,
        **options,
    )
    expected = transcribed_loss(
        theirs, t["old"], t["advantages"], t["mask"], ref=ref, reduction=reduction, **options
    )
    torch.testing.assert_close(loss, expected)
    loss.backward()  # type: ignore[no-untyped-call]
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(ours.grad, theirs.grad)

    tokens = t["mask"]
    log_ratio = (t["log_probs"] - t["old"])[tokens]
    assert metrics["ratio_max"].item() == pytest.approx(log_ratio.exp().max().item())
    assert metrics["ratio_min"].item() == pytest.approx(log_ratio.exp().min().item())
    assert metrics["approx_kl"].item() == pytest.approx((log_ratio.exp() - 1 - log_ratio).mean())
    if has_reference:
        x = (t["ref"] - t["log_probs"])[tokens]
        assert metrics["kl_ref"].item() == pytest.approx((x.exp() - 1 - x).mean().item())
    else:
        assert metrics["kl_ref"].item() == 0
    assert not any(value.requires_grad for value in metrics.values())


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dual_clip", [None, 3.0])
def test_gradcheck(reduction: Any, dual_clip: float | None) -> None:
    t = random_tokens(7)

    def loss(log_probs: torch.Tensor) -> torch.Tensor:
        return policy_loss(
            log_probs,
            t["old"],
            t["advantages"],
            t["mask"],
            ref_log_probs=t["ref"],
            kl_coef=0.1,
            dual_clip=dual_clip,
            reduction=reduction,
        )[0]

    assert torch.autograd.gradcheck(loss, (t["log_probs"].requires_grad_(),))


def test_gradients_flow_through_the_policy_alone() -> None:
    t = {name: x.requires_grad_(name != "mask") for name, x in random_tokens(1).items()}
    loss, _ = policy_loss(
        t["log_probs"], t["old"], t["advantages"], t["mask"], ref_log_probs=t["ref"]
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert t["log_probs"].grad is not None
    assert t["old"].grad is t["ref"].grad is t["advantages"].grad is None


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_an_empty_mask_gives_zero_and_a_zero_gradient(reduction: Any) -> None:
    log_probs = torch.randn(2, 3, requires_grad=True)
    nothing = torch.full((2, 3), math.nan)
    loss, metrics = policy_loss(
        log_probs, nothing, nothing, torch.zeros(2, 3), ref_log_probs=nothing, reduction=reduction
    )
    assert loss.item() == 0
    loss.backward()  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    assert not log_probs.grad.any()
    assert metrics["ratio_max"].item() == metrics["ratio_min"].item() == 1
    none = torch.zeros(0, 0)
    assert policy_loss(none, none, none, none)[0].item() == 0


def test_what_padding_holds_is_never_used() -> None:
    t = random_tokens(2)
    spoiled = {
        name: x if name == "mask" else x.masked_fill(~t["mask"], math.nan) for name, x in t.items()
    }
    clean, _ = policy_loss(
        t["log_probs"], t["old"], t["advantages"], t["mask"], ref_log_probs=t["ref"]
    )
    log_probs = spoiled["log_probs"].requires_grad_()
    loss, _ = policy_loss(
        log_probs, spoiled["old"], spoiled["advantages"], t["mask"], ref_log_probs=spoiled["ref"]
    )
    assert loss.item() == clean.item()
    loss.backward()  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    assert log_probs.grad.isfinite().all()


def test_a_ratio_far_beyond_reason_stays_finite() -> None:
    log_probs = torch.tensor([[0.0, -100.0]], requires_grad=True)
    old = torch.tensor([[-100.0, 0.0]])
    ones = torch.ones(1, 2)
    loss, metrics = policy_loss(log_probs, old, -ones, ones, ref_log_probs=old)
    assert loss.isfinite()
    assert metrics["ratio_max"].item() == pytest.approx(math.exp(20))
    loss.backward()  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    assert not log_probs.grad.any()  # a clamped token has no gradient


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_low_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    t = random_tokens(3)
    tensors: Any = [t[name].to(dtype) for name in ("log_probs", "old", "advantages")]
    loss, _ = policy_loss(tensors[0], tensors[1], tensors[2], t["mask"])
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    log_probs, old, advantages = (x.double() for x in tensors)
    exact, _ = policy_loss(log_probs, old, advantages, t["mask"])
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)


def test_non_contiguous_tensors_are_fine() -> None:
    t = random_tokens(4, 4, 4)
    expected, _ = policy_loss(t["log_probs"], t["old"], t["advantages"], t["mask"])
    turned: Any = [t[n].T.contiguous().T for n in ("log_probs", "old", "advantages", "mask")]
    assert policy_loss(*turned)[0].item() == expected.item()


def test_equal_policies_lose_the_mean_advantage() -> None:
    log_probs = torch.zeros(2, 2)
    advantages = torch.tensor([[1.0, 3.0], [5.0, 0.0]])
    loss, metrics = policy_loss(log_probs, log_probs, advantages, torch.tensor([[1, 1], [1, 0]]))
    assert loss.item() == -3
    assert metrics["clip_fraction"].item() == metrics["approx_kl"].item() == 0


# --- errors ---------------------------------------------------------------------------------------

ONES = torch.ones(2, 3)
MASK = (
    "expected a dense (N, T) tensor, a nested (N, ragged) tensor with layout=torch.jagged, or a "
    "list or tuple of N 1-D masks"
)
ERRORS: list[tuple[Any, type[Exception], str]] = [
    (
        lambda: to_tokens([1.0], ONES),
        ValueError,
        "step_values has 1 values but response_mask has 2 rows; expected one value per row",
    ),
    (lambda: to_tokens([1.0], np.ones((1, 2))), TypeError, f"response_mask is a ndarray; {MASK}"),  # type: ignore[call-overload]
    (
        lambda: to_tokens([1.0], torch.ones(1)),
        ValueError,
        f"response_mask is a tensor of shape (1,); {MASK}",
    ),
    (
        lambda: to_tokens([1.0], [torch.ones(1, 1)]),
        ValueError,
        "response_mask[0] is a tensor of shape (1, 1); expected a 1-D mask",
    ),
    (
        lambda: to_tokens([1.0, math.nan], ONES),
        ValueError,
        "step_values[1] is nan; expected a number finite in float32",
    ),
    (
        lambda: to_tokens(torch.ones(2, 1), ONES),
        ValueError,
        "step_values is a tensor of shape (2, 1); expected (N,), one value per step",
    ),
    (
        lambda: to_tokens(["a", "b"], ONES),
        TypeError,
        "step_values has dtype <U1; expected real numbers",
    ),
    (
        lambda: spans_to_tokens([1.0, 2.0], [0, 0], [0, 1], [2, 3], (1, 4)),
        ValueError,
        "spans 0 and 1 overlap in row 0: [0, 2) and [1, 3); expected every token in one span at "
        "most",
    ),
    (
        lambda: spans_to_tokens([1.0], [0], [-1], [2], (1, 4)),
        ValueError,
        "starts[0] is -1; expected an integer >= 0",
    ),
    (
        lambda: spans_to_tokens([1.0], [0], [3], [2], (1, 4)),
        ValueError,
        "stops[0] is 2 and starts[0] is 3; expected start <= stop",
    ),
    (
        lambda: spans_to_tokens([1.0], [0, 1], [0], [2], (1, 4)),
        ValueError,
        "rows has shape (2,); expected (1,), one entry per step value",
    ),
    (
        lambda: spans_to_tokens([1.0], [0.0], [0], [2], (1, 4)),
        TypeError,
        "rows has dtype float64; expected integers",
    ),
    (
        lambda: spans_to_tokens([1.0], [0], [0], [2], (-1, 4)),
        ValueError,
        "shape is (-1, 4); expected (B, T), two integers >= 0",
    ),
    (
        lambda: policy_loss(ONES, ONES, torch.ones(2), ONES),
        ValueError,
        "advantages is a tensor of shape (2,); expected a dense (B, T) one; to_tokens spreads one "
        "value per row",
    ),
    (
        lambda: policy_loss(ONES, ONES[:1], ONES, ONES),
        ValueError,
        "old_log_probs has shape (1, 3); expected (2, 3), the shape of log_probs",
    ),
    (
        lambda: policy_loss(ONES.long(), ONES, ONES, ONES),
        TypeError,
        "log_probs has dtype torch.int64; expected a floating-point dtype",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, None),  # type: ignore[arg-type]
        TypeError,
        "mask is a NoneType; expected a (B, T) tensor",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, ONES, clip_low=1.5),
        ValueError,
        "clip_low is 1.5; expected a number in [0, 1]",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, ONES, dual_clip=1.0),
        ValueError,
        "dual_clip is 1.0; expected a finite number > 1, or None",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, ONES, kl_coef=-1),
        ValueError,
        "kl_coef is -1; expected a finite number >= 0",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, ONES, reduction="mean"),  # type: ignore[arg-type]
        ValueError,
        "reduction is 'mean'; expected one of 'token_mean', 'sequence_mean', 'sequence_sum_mean'",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, ONES, kl="k1"),  # type: ignore[arg-type]
        ValueError,
        "kl is 'k1'; expected one of 'k3'",
    ),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[case[2][:40] for case in ERRORS])
def test_the_error_says_what_is_wrong(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == text
