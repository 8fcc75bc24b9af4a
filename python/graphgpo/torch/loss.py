"""The loss that trains on the tokens' advantages."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch

from graphgpo.estimators._base import (
    NOT_NEGATIVE,
    UNIT,
    Range,
    _check_choice,
    _checked_number,
)
from graphgpo.torch.arguments import one_or_nan, refuse_capture
from graphgpo.torch.batch import read_batch
from graphgpo.torch.objective import Objective
from graphgpo.torch.reduction import REDUCTIONS, Count, GroupIds, Normaliser, Reduction

KlEstimator = Literal["k3"]
Ratio = Literal["token", "sequence"]
# Not where they are used: older versions of torch.compile cannot look into `get_args`.
_KL_ESTIMATORS: tuple[str, ...] = get_args(KlEstimator)
_RATIOS: tuple[str, ...] = get_args(Ratio)


def policy_loss(
    log_probs: torch.Tensor,
    old_log_probs: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    ref_log_probs: torch.Tensor | None = None,
    kl_coef: float = 0.01,
    kl: KlEstimator = "k3",
    ratio: Ratio = "token",
    reduction: Reduction = "token_mean",
    num_tokens: Count | None = None,
    num_sequences: Count | None = None,
    num_groups: Count | None = None,
    group_ids: GroupIds | None = None,
    cu_seqlens: torch.Tensor | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """PPO's clipped surrogate on ratios plus kl_coef * KL(policy || reference), to minimise.

    Per token, with ratio r = exp(log_prob - old_log_prob) and x = ref_log_prob - log_prob:

        max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)) + kl_coef * (exp(x) - 1 - x)

    Both log-ratios are clamped to +-20: a token that far from the old policy (or from the
    reference) keeps its loss but has no gradient through that term.

    Works in place and keeps one tensor of the tokens for the backward pass. Under torch.compile (no
    graph break), in torch.func transforms, in forward mode and for second derivatives, and for
    subclasses of Tensor, the same formula runs as it is written. Nothing waits for a device.

    Three layouts, B rows of responses each, give the same loss: padded, every tensor (B, T);
    jagged, every tensor nested with layout=torch.jagged and B rows; packed, every tensor
    (num_tokens,) or (1, num_tokens), row after row, with `cu_seqlens` (needed only where the rows
    matter: not by the token mean of token ratios).

    Parameters
    ----------
    log_probs, old_log_probs, advantages
        Floating-point tensors in one layout: the policy's log-probabilities, those of the policy
        that wrote the tokens, and the tokens' advantages (`to_tokens`, `spans_to_tokens`).
    mask
        In the same layout, any real dtype: an entry > 0 is a token, 0 is none. What the other
        arguments hold elsewhere is never used, NaN and infinities included.
    clip_low, clip_high
        The ratio is clipped to [1 - clip_low, 1 + clip_high]; 0 <= clip_low <= 1, clip_high >= 0.
    dual_clip
        > 1: where the advantage is negative, the ratio in the loss is dual_clip at most
        (arXiv 1912.09729).
    ref_log_probs
        Log-probabilities of the reference policy, as `log_probs`; None: no KL term.
    kl_coef
        Weight of the KL term, >= 0.
    kl
        "k3", the estimator above (http://joschu.net/blog/kl-approx.html), is the only one.
    ratio
        "token": as above. "sequence": r = exp(mean of the row's log_prob - old_log_prob), one for
        all tokens of a row, as in GSPO (arXiv 2507.18071; its clips are near 3e-4). Where a row has
        one advantage this is its Eq. 5, gradient included; where it has several, each token's goes
        to its own log-probability, as in its GSPO-token (Eq. 13), so that credit stays with its
        step.
    reduction
        "token_mean": mean over all tokens. "sequence_mean": mean over rows of the rows' means.
        "sequence_sum_mean": mean over rows of the rows' sums. "group_mean": mean over groups of
        the means over all tokens of a group (arXiv 2510.13786, 3.2: prompt average). Rows without
        tokens do not count.
    num_tokens, num_sequences, num_groups
        What the mean is over, if the call holds a part of an optimiser step (a micro-batch, the
        rows of a rank): how many tokens ("token_mean"), rows with tokens ("sequence_mean",
        "sequence_sum_mean") or groups with tokens ("group_mean") the whole step has, a number or a
        0-d tensor; None: those of the call. The losses and gradients of the parts then add up to
        those of the whole; where ranks average gradients, multiply by their number. "group_mean"
        with groups torn over parts: `num_tokens` is (B,), the tokens of each row's group, and takes
        the place of `group_ids`.
    group_ids
        (B,) the group (task) of each row, for "group_mean": a tensor of integers, or a list or
        array of ints, str or anything with a hash.
    cu_seqlens
        (B + 1,) int32 or int64: row b is tokens cu_seqlens[b] to cu_seqlens[b + 1] - 1 of packed
        tensors.

    Returns
    -------
    loss
        0-d, float64 if `log_probs` is, else float32 (in which lower precisions are computed). Its
        gradient flows through `log_probs` alone. Without any token it is 0 with a zero gradient.
    metrics
        Detached 0-d tensors on the device of the loss, so that nothing waits for the device;
        `{name: value.item() for name, value in metrics.items()}` is for a logger. Means are over
        the tokens of the call, whatever the reduction, and 0 without tokens; those of parts are
        combined with the weights `num_tokens`.

        - `clip_fraction`: share of tokens that a clip (dual_clip included) keeps from the gradient.
        - `approx_kl`: KL(old policy || policy), k3 on token ratios.
        - `kl_ref`: KL(policy || reference), k3; 0 without `ref_log_probs`.
        - `ratio_min`, `ratio_max`: extreme ratios before clipping; 1 without tokens.
        - `num_tokens`: tokens of the call.

    Raises
    ------
    `ValueError` or `TypeError`, naming the argument, for an option out of range, for tensors whose
    layout, shape, dtype or device does not fit, a mask entry that is negative or NaN (labels with
    -100 are no mask), offsets that are none and counts that are negative. On a device, under
    torch.compile and in torch.func transforms, where a value cannot be looked at without waiting
    for it, such values make the loss, its gradient and the metrics NaN instead. So does a NaN on a
    token, everywhere: loss and the token's gradient are NaN (with ratio="sequence" the row's).
    `RuntimeError` while a CUDA graph is captured; by a second derivative alone, if an argument was
    changed in place since the call.

    >>> from graphgpo.torch import to_tokens
    >>> log_probs = torch.tensor([[-1.0, -2.0, -3.0]], requires_grad=True)
    >>> advantages = to_tokens([0.5], mask := torch.tensor([[1, 1, 0]]))
    >>> loss, metrics = policy_loss(log_probs, log_probs.detach(), advantages, mask)
    >>> loss.item(), metrics["ratio_max"].item()
    (-0.5, 1.0)
    >>> loss.backward()
    >>> log_probs.grad
    tensor([[-0.2500, -0.2500,  0.0000]])
    """
    clip_low = _checked_number("clip_low", clip_low, UNIT)
    clip_high = _checked_number("clip_high", clip_high, NOT_NEGATIVE)
    kl_coef = _checked_number("kl_coef", kl_coef, NOT_NEGATIVE)
    if dual_clip is not None:
        allowed = Range(lambda x: 1 < x < math.inf, "a finite number > 1, or None")
        dual_clip = _checked_number("dual_clip", dual_clip, allowed)
    _check_choice("kl", kl, _KL_ESTIMATORS)
    _check_choice("ratio", ratio, _RATIOS)
    _check_choice("reduction", reduction, REDUCTIONS)
    normaliser = Normaliser(
        num_tokens=num_tokens,
        num_sequences=num_sequences,
        num_groups=num_groups,
        group_ids=group_ids,
    )
    normaliser.check(reduction)
    given = {
        "log_probs": log_probs,
        "old_log_probs": old_log_probs,
        "advantages": advantages,
        "mask": mask,
    }
    if ref_log_probs is not None:
        given["ref_log_probs"] = ref_log_probs
    if isinstance(log_probs, torch.Tensor):
        refuse_capture("policy_loss", log_probs.device)
    batch = read_batch(given, cu_seqlens, why_rows=_why_rows(ratio, reduction))
    device = batch.tensors["log_probs"].device
    conditions = batch.conditions + normaliser.conditions(reduction, batch.num_rows, device)

    constants = {name: tensor.detach() for name, tensor in batch.tensors.items()}
    sums = Objective(
        rows=batch.rows,
        old_log_probs=constants["old_log_probs"],
        advantages=constants["advantages"],
        mask=constants["mask"],
        ref_log_probs=constants.get("ref_log_probs"),
        clip_low=clip_low,
        clip_high=clip_high,
        dual_clip=dual_clip,
        kl_coef=kl_coef,
        has_sequence_ratio=ratio == "sequence",
    ).sums(batch.tensors["log_probs"])
    loss = normaliser.reduce(sums, reduction)
    own_tokens = sums.num_tokens.sum()
    count = own_tokens.clamp(min=1)
    metrics = {
        "clip_fraction": sums.num_clipped / count,
        "approx_kl": sums.approx_kl / count,
        "kl_ref": sums.kl_ref / count,
        "ratio_min": sums.ratio_min,
        "ratio_max": sums.ratio_max,
        "num_tokens": own_tokens,
    }
    nan = one_or_nan(conditions, own_tokens)
    if nan is None:
        return loss, metrics
    return loss * nan, {name: value * nan for name, value in metrics.items()}


def _why_rows(ratio: Ratio, reduction: Reduction) -> str | None:
    if ratio == "sequence":
        return "ratio 'sequence'"
    return None if reduction == "token_mean" else f"reduction {reduction!r}"
