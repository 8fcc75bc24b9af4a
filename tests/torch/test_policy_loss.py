"""The loss is the formula, token by token."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from token_cases import GROUPS, REDUCTIONS, arguments_of, random_tokens, reduced, transcribed_loss

from graphgpo.torch import policy_loss


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("ratio", ["token", "sequence"])
@pytest.mark.parametrize("dual_clip", [None, 1.5])
@pytest.mark.parametrize("has_reference", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_loss_is_the_formula(
    reduction: Any, ratio: Any, dual_clip: float | None, has_reference: bool, seed: int
) -> None:
    t = random_tokens(seed)
    ref = t["ref"] if has_reference else None
    ours, theirs = (t["log_probs"].clone().requires_grad_() for _ in range(2))
    options: dict[str, Any] = {
        "clip_low": 0.1,
        "clip_high": 0.3,
        "dual_clip": dual_clip,
        "kl_coef": 0.05,
        "ratio": ratio,
        **reduced(reduction),
    }
    loss, metrics = policy_loss(
        ours,
        t["old"],
        t["advantages"],
        t["mask"],
        ref_log_probs=ref,
        **options,
    )
    expected = transcribed_loss(theirs, t["old"], t["advantages"], t["mask"], ref=ref, **options)
    torch.testing.assert_close(loss, expected)
    loss.backward()  # type: ignore[no-untyped-call]
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(ours.grad, theirs.grad)

    tokens = t["mask"]
    log_ratio = (t["log_probs"] - t["old"])[tokens]
    assert metrics["approx_kl"].item() == pytest.approx((log_ratio.exp() - 1 - log_ratio).mean())
    if ratio == "sequence":
        each = torch.where(tokens, t["log_probs"] - t["old"], math.nan)
        log_ratio = each.nanmean(dim=1, keepdim=True).expand_as(each)[tokens]
    assert metrics["ratio_max"].item() == pytest.approx(log_ratio.exp().max().item())
    assert metrics["ratio_min"].item() == pytest.approx(log_ratio.exp().min().item())
    assert metrics["num_tokens"].item() == tokens.sum()
    if has_reference:
        x = (t["ref"] - t["log_probs"])[tokens]
        assert metrics["kl_ref"].item() == pytest.approx((x.exp() - 1 - x).mean().item())
    else:
        assert metrics["kl_ref"].item() == 0
    ratios, signs = log_ratio.exp().tolist(), t["advantages"][tokens].tolist()
    clipped = [
        r > 1.3 if a > 0 else r < 0.9 or (dual_clip is not None and r > dual_clip)
        for r, a in zip(ratios, signs, strict=True)
    ]
    assert metrics["clip_fraction"].item() == pytest.approx(np.mean(clipped))
    assert not any(value.requires_grad or value.dim() for value in metrics.values())


def test_dual_clip_bounds_the_loss_of_negative_advantages_alone() -> None:
    log_probs = torch.tensor([[2.0, 2.0]], requires_grad=True)
    old, advantages = torch.zeros(1, 2), torch.tensor([[-1.0, 1.0]])
    loss, metrics = policy_loss(
        log_probs, old, advantages, torch.ones(1, 2), dual_clip=3.0, reduction="sequence_sum_mean"
    )
    assert loss.item() == pytest.approx(3.0 - 1.2)
    assert metrics["clip_fraction"].item() == 1
    loss.backward()  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    assert not log_probs.grad.any()


@pytest.mark.parametrize("ratio", ["token", "sequence"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_padding_and_the_order_of_rows_change_nothing(reduction: Any, ratio: Any) -> None:
    t = random_tokens(5)
    expected, _ = policy_loss(t["log_probs"], *arguments_of(t), ratio=ratio, **reduced(reduction))
    wider: Any = [
        torch.nn.functional.pad(t[name], (0, 2, 1, 1)).flip(0)
        for name in ("log_probs", "old", "advantages", "mask")
    ]
    options = reduced(reduction)
    if reduction == "group_mean":
        options["group_ids"] = [-1, *reversed(GROUPS), -2]
    loss, _ = policy_loss(*wider, ratio=ratio, **options)
    assert loss.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("reduction", ["sequence_mean", "sequence_sum_mean"])
def test_a_sequence_reduction_is_the_mean_of_its_rows_losses(reduction: Any) -> None:
    t = random_tokens(6)
    arguments: Any = [t[name] for name in ("log_probs", "old", "advantages", "mask")]
    rows = [
        policy_loss(*(x[b : b + 1] for x in arguments), **reduced(reduction))[0].item()
        for b in range(4)
        if t["mask"][b].any()
    ]
    whole, _ = policy_loss(*arguments, **reduced(reduction))
    assert whole.item() == pytest.approx(np.mean(rows))


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
    options = reduced(reduction) | ({"group_ids": [7, 7]} if reduction == "group_mean" else {})
    loss, metrics = policy_loss(
        log_probs, nothing, nothing, torch.zeros(2, 3), ref_log_probs=nothing, **options
    )
    assert loss.item() == 0
    loss.backward()  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    assert not log_probs.grad.any()
    assert {name: value.item() for name, value in metrics.items()} == {
        "clip_fraction": 0,
        "approx_kl": 0,
        "kl_ref": 0,
        "ratio_min": 1,
        "ratio_max": 1,
        "num_tokens": 0,
    }
    none = torch.zeros(0, 0)
    options |= {"group_ids": []} if reduction == "group_mean" else {}
    assert policy_loss(none, none, none, none, **options)[0].item() == 0


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
    leaf = tensors[0].requires_grad_()
    policy_loss(leaf, tensors[1], tensors[2], t["mask"])[0].backward()  # type: ignore[no-untyped-call]
    assert leaf.grad.dtype == dtype


def test_non_contiguous_tensors_are_fine() -> None:
    t = random_tokens(4, 4, 4)
    expected, _ = policy_loss(t["log_probs"], t["old"], t["advantages"], t["mask"])
    turned: Any = [t[n].T.contiguous().T for n in ("log_probs", "old", "advantages", "mask")]
    assert policy_loss(*turned)[0].item() == expected.item()


@pytest.mark.parametrize("shift", [-1.0, 1.0])
def test_the_ratios_of_padding_are_no_extremes(shift: float) -> None:
    old = torch.zeros(1, 3)
    _, metrics = policy_loss(old + shift, old, old, torch.tensor([[1, 1, 0]]))
    assert metrics["ratio_min"].item() == pytest.approx(math.exp(shift))
    assert metrics["ratio_max"].item() == pytest.approx(math.exp(shift))


def test_a_small_kl_keeps_its_digits() -> None:
    old = torch.zeros(1, 1)
    _, metrics = policy_loss(old + 1e-3, old, old, old + 1, ref_log_probs=old)
    assert metrics["approx_kl"].item() == pytest.approx(0.5e-6, rel=1e-2)
    assert metrics["kl_ref"].item() == pytest.approx(0.5e-6, rel=1e-2)


def test_equal_policies_lose_the_mean_advantage() -> None:
    log_probs = torch.zeros(2, 2)
    advantages = torch.tensor([[1.0, 3.0], [5.0, 0.0]])
    loss, metrics = policy_loss(log_probs, log_probs, advantages, torch.tensor([[1, 1], [1, 0]]))
    assert loss.item() == -3
    assert metrics["clip_fraction"].item() == metrics["approx_kl"].item() == 0


def test_a_sequence_ratio_is_gspo_where_a_row_has_one_advantage() -> None:
    t = random_tokens(3)
    mask, advantages = t["mask"], t["advantages"][:, :1]
    ours, theirs = (t["log_probs"].clone().requires_grad_() for _ in range(2))
    loss, _ = policy_loss(
        ours,
        t["old"],
        advantages.expand(4, 5),
        mask,
        ratio="sequence",
        reduction="sequence_mean",
        clip_low=0.1,
        clip_high=0.1,
    )
    # Eq. 5 and 7 of arXiv 2507.18071: a ratio and a gradient of sequences
    rows = mask.any(1)
    log_ratio = (theirs - t["old"]).where(mask, 0.0).sum(1)[rows] / mask.sum(1)[rows]
    s, a = log_ratio.exp(), advantages[rows, 0]
    expected = -torch.minimum(a * s, a * s.clamp(0.9, 1.1)).mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()  # type: ignore[no-untyped-call]
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_sequence_ratio_leaves_each_step_its_own_credit() -> None:
    log_probs = torch.zeros(1, 4, requires_grad=True)
    advantages = torch.tensor([[1.0, 1.0, -3.0, 0.0]])
    loss, _ = policy_loss(
        log_probs, torch.zeros(1, 4), advantages, torch.ones(1, 4), ratio="sequence"
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == [[-0.25, -0.25, 0.75, 0]]


def test_groups_are_equal_by_their_ids_whatever_these_are() -> None:
    t = random_tokens(2)
    losses = [
        policy_loss(t["log_probs"], *arguments_of(t), reduction="group_mean", group_ids=group_ids)[
            0
        ].item()
        for group_ids in (
            torch.tensor(GROUPS),
            torch.tensor(GROUPS, dtype=torch.int8) - 5,
            np.array(["task a", "task b", "task a", "task b"], dtype=object),
            [("a", 1), ("b", 1), ("a", 1), ("b", 1)],
        )
    ]
    assert losses == [losses[0]] * 4
