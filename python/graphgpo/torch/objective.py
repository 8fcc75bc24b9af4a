"""The clipped surrogate and the KL term of every token, and what they add up to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.autograd.forward_ad import unpack_dual

from graphgpo.torch.arguments import is_readable, is_traced
from graphgpo.torch.rows import Rows
from graphgpo.torch.selection import indicator, select

LOG_RATIO_LIMIT = 20.0  # as in verl: exp(20) squared is still finite in float32
_LIMITS = (-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
_RATIO_LIMITS = (math.exp(1e-3 - LOG_RATIO_LIMIT), math.exp(LOG_RATIO_LIMIT - 1e-3))  # and some


class Sums(NamedTuple):
    """What loss and metrics are made of; only `losses` has a gradient."""

    losses: torch.Tensor  # (B,)
    num_tokens: torch.Tensor  # (B,) in the dtype of the loss
    num_clipped: torch.Tensor  # 0-d, as the others: over all tokens
    approx_kl: torch.Tensor
    kl_ref: torch.Tensor
    ratio_min: torch.Tensor
    ratio_max: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The loss of a token and its derivative by `log_probs`, twice.

    With r = exp(log_prob - old_log_prob) and x = ref_log_prob - log_prob:

        loss        max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)) + kl_coef * (exp(x) - 1 - x)
        derivative  -A r, or 0 where a clip holds it                   - kl_coef * (exp(x) - 1)

    With `has_sequence_ratio` r is the same for all tokens of a row, exp of the mean of their
    log-ratios, and its derivative by the token's own log_prob is taken to be r (GSPO-token, Eq. 13
    of arXiv 2507.18071), so that both lines stay as they are.

    `by_formula` is the first line, for whatever differentiates or compiles it (torch.compile,
    torch.func, forward mode, second derivatives). `in_place` is both lines, for everything else.

    Tensors have the shape of the tokens, (B, T) or flat, as `rows` knows.
    """

    rows: Rows
    old_log_probs: torch.Tensor
    advantages: torch.Tensor
    mask: torch.Tensor
    ref_log_probs: torch.Tensor | None
    clip_low: float
    clip_high: float
    dual_clip: float | None
    kl_coef: float
    has_sequence_ratio: bool

    def sums(self, log_probs: torch.Tensor) -> Sums:
        return (self.by_formula if _is_transformed(log_probs) else self.in_place)(log_probs)

    def by_formula(self, log_probs: torch.Tensor) -> Sums:
        dtype = _loss_dtype(log_probs)
        is_token = self.mask != 0
        num_tokens = self.rows.sum(is_token.to(dtype))

        def tokens_only(values: torch.Tensor) -> torch.Tensor:
            return torch.where(is_token, values.to(dtype), 0.0)

        new_log_probs = tokens_only(log_probs)
        log_ratio = new_log_probs - tokens_only(self.old_log_probs)
        approx_kl = _k3(_clamped(log_ratio.detach())).sum()
        if self.has_sequence_ratio:
            mean = self.rows.sum(log_ratio.detach()) / num_tokens.clamp(min=1)
            own = new_log_probs.nan_to_num()  # 0 with a derivative of 1, infinities aside
            log_ratio = tokens_only(self.rows.spread(mean)) + (own - own.detach())
        log_ratio = _clamped_with_gradient(log_ratio)
        ratio = log_ratio.exp()
        advantages = tokens_only(self.advantages)
        unclipped = -advantages * ratio
        clipped = -advantages * ratio.clamp(1 - self.clip_low, 1 + self.clip_high)
        surrogate = torch.maximum(unclipped, clipped)
        if self.dual_clip is not None:
            limit = torch.where(advantages < 0, -advantages * self.dual_clip, math.inf)
            surrogate = torch.minimum(surrogate, limit)
        kl_ref = torch.zeros_like(ratio)
        if self.ref_log_probs is not None:
            kl_ref = _k3(_clamped_with_gradient(tokens_only(self.ref_log_probs) - new_log_probs))

        ratio_min, ratio_max = _ratio_range(ratio.detach(), is_token.to(dtype))
        return Sums(
            losses=self.rows.sum(surrogate + self.kl_coef * kl_ref),
            num_tokens=num_tokens,
            num_clipped=(surrogate != unclipped).sum(),
            approx_kl=approx_kl,
            kl_ref=kl_ref.detach().sum(),
            ratio_min=ratio_min,
            ratio_max=ratio_max,
        )

    def in_place(self, log_probs: torch.Tensor) -> Sums:
        """Five tensors of the tokens in the dtype of the loss at once, casts aside; one is kept.

        `gain` is minus the surrogate.
        """
        is_differentiated = torch.is_grad_enabled() and log_probs.requires_grad
        with torch.no_grad():
            dtype = _loss_dtype(log_probs)
            is_token = indicator(self.mask, dtype)
            num_tokens = self.rows.sum(is_token)
            log_ratio = log_probs.to(dtype) - self.old_log_probs.to(dtype)
            select(log_ratio, is_token, out=log_ratio)
            if self.has_sequence_ratio:
                mean = self.rows.sum(log_ratio) / num_tokens.clamp(min=1)
            _clamped(log_ratio, out=log_ratio)
            scratch = torch.empty_like(log_ratio)
            approx_kl = _k3(log_ratio, out=scratch).sum()
            if self.has_sequence_ratio:
                spread = self.rows.spread(_clamped(mean)).expand_as(is_token)
                select(spread, is_token, out=log_ratio)
            ratio = log_ratio.exp()
            ratio_min, ratio_max = _ratio_range(ratio, is_token, scratch)

            advantages = select(self.advantages.to(dtype), is_token, out=scratch)
            unclipped = advantages * ratio
            gain = ratio.clamp_(1 - self.clip_low, 1 + self.clip_high).mul_(advantages)
            torch.minimum(gain, unclipped, out=gain)
            if self.dual_clip is not None:  # a bound of 0 is none where the advantage is positive
                torch.maximum(gain, advantages.clamp_(max=0).mul_(self.dual_clip), out=gain)
            losses = 0 - self.rows.sum(gain)
            is_clipped = gain.ne_(unclipped)
            num_clipped = is_clipped.sum()
            if is_differentiated:
                derivative = is_clipped.mul_(unclipped).sub_(unclipped)
                _clamp_gradient(derivative, log_ratio, (ratio_min, ratio_max), _RATIO_LIMITS)

            kl_ref = losses.new_zeros(())
            if self.ref_log_probs is not None:
                torch.sub(self.ref_log_probs.to(dtype), log_probs.to(dtype), out=log_ratio)
                _clamped(select(log_ratio, is_token, out=log_ratio), out=log_ratio)
                kl_by_row = self.rows.sum(_k3(log_ratio, out=scratch))
                losses.add_(kl_by_row, alpha=self.kl_coef)
                kl_ref = kl_by_row.sum()
                if is_differentiated:
                    growth = scratch.add_(log_ratio)
                    _clamp_gradient(growth, log_ratio, None, _LIMITS)
                    derivative.sub_(growth, alpha=self.kl_coef)
        if is_differentiated:
            losses = _RowLosses.apply(log_probs, losses, derivative, self)  # type: ignore[no-untyped-call]
        return Sums(
            losses=losses,
            num_tokens=num_tokens,
            num_clipped=num_clipped,
            approx_kl=approx_kl,
            kl_ref=kl_ref,
            ratio_min=ratio_min,
            ratio_max=ratio_max,
        )


class _RowLosses(torch.autograd.Function):
    """Ties the sums that `Objective.in_place` has computed to their derivative."""

    @staticmethod
    def forward(
        ctx: Any,
        log_probs: torch.Tensor,
        losses: torch.Tensor,
        derivative: torch.Tensor,
        objective: Objective,
    ) -> torch.Tensor:
        ctx.save_for_backward(log_probs, derivative)
        ctx.objective, ctx.versions = objective, _versions(objective)
        return losses.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        log_probs, derivative = ctx.saved_tensors
        if not torch.is_grad_enabled():
            spread = ctx.objective.rows.spread(grad)
            return (derivative * spread).to(log_probs.dtype), None, None, None
        if ctx.versions != _versions(ctx.objective):
            raise RuntimeError(
                "an argument of policy_loss was changed in place after the call; "
                "a second derivative needs it as it was"
            )
        losses = ctx.objective.by_formula(log_probs).losses
        derivative = torch.autograd.grad(losses, log_probs, grad, create_graph=True)
        return *derivative, None, None, None


def _versions(objective: Objective) -> list[int | None]:
    fields = (getattr(objective, name) for name in objective.__slots__)
    tensors = (field for field in fields if isinstance(field, torch.Tensor))
    return [None if tensor.is_inference() else tensor._version for tensor in tensors]


def _is_transformed(log_probs: torch.Tensor) -> bool:
    """Whether more than autograd's backward pass may look into what is computed."""
    return is_traced(log_probs) or unpack_dual(log_probs).tangent is not None  # type: ignore[no-untyped-call]


def _loss_dtype(log_probs: torch.Tensor) -> torch.dtype:
    return torch.promote_types(log_probs.dtype, torch.float32)


def _clamped(log_ratio: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    return torch.clamp(log_ratio, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT, out=out)


def _clamped_with_gradient(log_ratio: torch.Tensor) -> torch.Tensor:
    """`_clamped`, without a gradient at the limits; clamp's own would be 0 for NaN too."""
    constant = _clamped(log_ratio.detach())
    return torch.where(constant.abs() >= LOG_RATIO_LIMIT, constant, log_ratio)


def _clamp_gradient(
    gradient: torch.Tensor,
    clamped: torch.Tensor,
    extremes: tuple[torch.Tensor, torch.Tensor] | None,
    inside: tuple[float, float],
) -> None:
    """Write 0 into `gradient` where `clamped` is at a limit of the log-ratio.

    Nowhere, if the extremes (None: those of `clamped`) are `inside`; looked at only where nobody
    has to wait for them.
    """
    if is_readable(clamped):
        low, high = extremes or _extremes(clamped)
        if low.item() > inside[0] and high.item() < inside[1]:  # the usual case
            return
    torch.ops.aten.hardtanh_backward.grad_input(gradient, clamped, *_LIMITS, grad_input=gradient)
    gradient.add_(clamped, alpha=0)  # hardtanh's vectorised gradient is 0 for NaN


def _extremes(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    low, high = values.aminmax() if values.numel() > 0 else values.new_zeros(2)
    return low, high


def _k3(log_ratio: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    # exp(x) - 1 would lose every digit for small x
    return torch.sub(torch.expm1(log_ratio, out=out), log_ratio, out=out)


def _ratio_range(
    ratio: torch.Tensor, is_token: torch.Tensor, out: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Smallest and largest ratio of the tokens, 1 and 1 without any, for an indicator.

    A ratio is > 0: times 0 it is below, and divided by 0 above, all those of tokens.
    """
    if ratio.numel() == 0:
        return ratio.new_ones(()), ratio.new_ones(())
    largest = torch.mul(ratio, is_token, out=out).amax()
    smallest = torch.div(ratio, is_token, out=out).amin()
    return torch.where(largest == 0, 1.0, smallest), torch.where(largest == 0, 1.0, largest)
