"""Step advantages on tokens, and the loss that trains on them. Needs torch.

`to_tokens` is for trainers with one row per step, `spans_to_tokens` for those with one row per
trajectory; `policy_loss` takes what either returns.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, get_args, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.autograd.forward_ad import unpack_dual

from graphgpo.config import _check_choice, _check_number
from graphgpo.ingest import integer_column, plain_column, real_column

Column: TypeAlias = ArrayLike | torch.Tensor
ScalarT = TypeVar("ScalarT", np.float64, np.int64)
Reduction = Literal["token_mean", "sequence_mean", "sequence_sum_mean"]
KlEstimator = Literal["k3"]
# Not where they are used: older versions of torch.compile cannot look into `get_args`.
_REDUCTIONS: tuple[str, ...] = get_args(Reduction)
_KL_ESTIMATORS: tuple[str, ...] = get_args(KlEstimator)

LOG_RATIO_LIMIT = 20.0  # as in verl: exp(20) squared is still finite in float32


@overload
def to_tokens(step_values: Column, response_mask: torch.Tensor) -> torch.Tensor: ...
@overload
def to_tokens(step_values: Column, response_mask: list[Any]) -> list[torch.Tensor]: ...
@overload
def to_tokens(step_values: Column, response_mask: tuple[Any, ...]) -> tuple[torch.Tensor, ...]: ...
def to_tokens(
    step_values: Column, response_mask: torch.Tensor | list[Any] | tuple[Any, ...]
) -> torch.Tensor | list[torch.Tensor] | tuple[torch.Tensor, ...]:
    """Give every token of a step's response the step's value, for one row per step.

    Parameters
    ----------
    step_values
        (N,) numbers finite in float32, in order of the rows: a `StepAdvantages` (its
        `advantages`), an array, a tensor, a list or an Arrow column.
    response_mask
        Which tokens the policy wrote: a dense (N, T) tensor, a jagged nested tensor with N rows,
        or a list or tuple of N 1-D masks (tensors, arrays or lists). An entry that is not 0 is a
        token and gets the value itself: the mask selects, it never scales.

    Returns
    -------
    float32 in the container, shape and on the device of `response_mask`, without gradient, exactly
    0 where the mask is 0. A jagged result has the mask's own ragged structure.

    Raises
    ------
    `ValueError` or `TypeError`, naming the argument, if the values are not (N,) finite numbers, the
    mask is none of the above or it has another number of rows.

    >>> to_tokens([0.5, -1.5], torch.tensor([[1, 1, 0], [0, 1, 1]]))
    tensor([[ 0.5000,  0.5000,  0.0000],
            [ 0.0000, -1.5000, -1.5000]])
    >>> to_tokens([0.5, -1.5], [torch.tensor([1, 0]), torch.tensor([1])])
    [tensor([0.5000, 0.0000]), tensor([-1.5000])]
    """
    values = torch.from_numpy(_step_values(step_values))
    if isinstance(response_mask, list | tuple):
        _check_rows(len(values), len(response_mask))
        tokens = [
            _dense_tokens(value, _row_mask(row, mask))
            for row, (value, mask) in enumerate(zip(values, response_mask, strict=True))
        ]
        return tokens if isinstance(response_mask, list) else tuple(tokens)
    if not isinstance(response_mask, torch.Tensor):
        raise TypeError(f"response_mask is a {type(response_mask).__name__}; {_EXPECTED_MASK}")
    layout = torch.jagged if response_mask.is_nested else torch.strided
    if response_mask.layout != layout or response_mask.dim() != 2:
        raise ValueError(f"response_mask is {_describe(response_mask)}; {_EXPECTED_MASK}")
    _check_rows(len(values), response_mask.shape[0])
    if response_mask.is_nested:
        return _jagged_tokens(values, response_mask)
    return _dense_tokens(values[:, None], response_mask)


_EXPECTED_MASK = (
    "expected a dense (N, T) tensor, a nested (N, ragged) tensor with layout=torch.jagged, or a "
    "list or tuple of N 1-D masks"
)


def _check_rows(num_values: int, num_rows: int) -> None:
    if num_values != num_rows:
        raise ValueError(
            f"step_values has {num_values} values but response_mask has {num_rows} rows; "
            "expected one value per row"
        )


def _row_mask(row: int, mask: Any) -> torch.Tensor:
    name = f"response_mask[{row}]"
    if getattr(mask, "ndim", 1) != 1:
        raise ValueError(f"{name} has shape {tuple(mask.shape)}; expected a 1-D mask")
    if isinstance(mask, torch.Tensor):
        return mask
    return torch.from_numpy(_column(real_column, name, mask) != 0)


def _dense_tokens(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    is_token = _indicator(mask.detach(), torch.float32)
    return _select(values.to(mask.device), is_token, out=is_token)


def _jagged_tokens(values: torch.Tensor, mask: Any) -> torch.Tensor:
    offsets, buffer = mask.offsets(), mask.values()
    # A narrowed tensor may have entries of no row around its rows; they count as rows of value 0.
    counts = torch.diff(
        offsets, prepend=offsets.new_zeros(1), append=offsets.new_full((1,), len(buffer))
    )
    values = torch.nn.functional.pad(values.to(buffer.device), (1, 1))
    spread = torch.repeat_interleave(values, counts, output_size=len(buffer))
    tokens: torch.Tensor = torch.nested.nested_tensor_from_jagged(
        _dense_tokens(spread, buffer), offsets, mask.lengths()
    )
    return tokens


def spans_to_tokens(
    step_values: Column,
    rows: Column,
    starts: Column,
    stops: Column,
    shape: tuple[int, int],
    *,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Write every step's value on its token span [start, stop), for one row per trajectory.

    Parameters
    ----------
    step_values
        (S,) numbers finite in float32: a `StepAdvantages` (its `advantages`), an array, a tensor,
        a list or an Arrow column.
    rows, starts, stops
        (S,) integers, in any order: the row of each span, its first token and the one after its
        last. A span is clipped to the width of the result (truncated completions) and may be
        empty. Rows outside 0..B-1 are ignored: ranks that hold B rows each of a common batch pass
        `rows - rank * B` for all of its steps.
    shape
        (B, T) of the result.
    device
        Where the result goes; None: torch's default device.

    Returns
    -------
    (B, T) float32 without gradient, exactly 0 outside the spans. Time and memory
    O(B T + S log S).

    Raises
    ------
    `ValueError` or `TypeError`, naming the argument, for columns of different lengths, values that
    are not finite, a negative start or a stop before its start (in ignored rows too, so that every
    rank refuses the same batch), and for two spans that share a token of the result.

    >>> spans_to_tokens([0.5, -1.5], rows=[0, 0], starts=[0, 3], stops=[2, 9], shape=(1, 5))
    tensor([[ 0.5000,  0.5000,  0.0000, -1.5000, -1.5000]])
    """
    values = _step_values(step_values)
    num_rows, width = _check_shape(shape)
    row, start, stop = (
        _span_column(name, column, len(values))
        for name, column in (("rows", rows), ("starts", starts), ("stops", stops))
    )
    _check_spans(start, stop)

    inside = np.flatnonzero((row >= 0) & (row < num_rows) & (start < np.minimum(stop, width)))
    spans = inside[np.lexsort((start[inside], row[inside]))]
    first = row[spans] * width + start[spans]
    last = row[spans] * width + np.minimum(stop[spans], width)
    for position in np.flatnonzero(first[1:] < last[:-1])[:1]:
        one, other = sorted(spans[position : position + 2].tolist())
        raise ValueError(
            f"spans {one} and {other} overlap in row {row[one]}: [{start[one]}, {stop[one]}) and "
            f"[{start[other]}, {stop[other]}); expected every token in one span at most"
        )

    # The flat result is runs of one value: a gap, a span, a gap, ..., a span, a gap.
    bounds = np.concatenate(([0], np.column_stack((first, last)).ravel(), [num_rows * width]))
    run_values = np.zeros(2 * len(spans) + 1, dtype=np.float32)
    run_values[1::2] = values[spans]
    tokens = np.repeat(run_values, np.diff(bounds)).reshape(num_rows, width)
    return torch.as_tensor(tokens, device=device)


def _check_shape(shape: object) -> tuple[int, int]:
    expected = f"shape is {shape!r}; expected (B, T), two integers >= 0"
    try:
        num_rows, width = map(operator.index, shape)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise TypeError(expected) from None
    if num_rows < 0 or width < 0:
        raise ValueError(expected)
    return num_rows, width


def _span_column(name: str, column: Column, num_spans: int) -> NDArray[np.int64]:
    array = _column(integer_column, name, column)
    if len(array) != num_spans:
        raise ValueError(
            f"{name} has {len(array)} entries but step_values has {num_spans} values; "
            "expected one entry per step value"
        )
    return array


def _check_spans(start: NDArray[np.int64], stop: NDArray[np.int64]) -> None:
    for span in np.flatnonzero(start < 0)[:1]:
        raise ValueError(f"starts[{span}] is {start[span]}; expected an integer >= 0")
    for span in np.flatnonzero(stop < start)[:1]:
        raise ValueError(
            f"stops[{span}] is {stop[span]} and starts[{span}] is {start[span]}; "
            "expected start <= stop"
        )


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
    reduction: Reduction = "token_mean",
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """PPO's clipped surrogate on token ratios plus kl_coef * KL(policy || reference), to minimise.

    Per token, with ratio r = exp(log_prob - old_log_prob) and x = ref_log_prob - log_prob:

        max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)) + kl_coef * (exp(x) - 1 - x)

    Both log-ratios are clamped to +-20: a token that far from the old policy (or from the
    reference) keeps its loss but has no gradient through that term.

    Works in place and keeps one (B, T) tensor for the backward pass. Under torch.compile (no graph
    break), in torch.func transforms, in forward mode and for second derivatives, and for subclasses
    of Tensor, the same formula runs as it is written.

    Parameters
    ----------
    log_probs, old_log_probs, advantages
        (B, T) floating-point tensors: the policy's log-probabilities, those of the policy that
        wrote the tokens, and the tokens' advantages (`to_tokens`, `spans_to_tokens`).
    mask
        (B, T), any dtype: an entry that is not 0 is a token. What the other arguments hold
        elsewhere is never used, NaN and infinities included.
    clip_low, clip_high
        The ratio is clipped to [1 - clip_low, 1 + clip_high]; 0 <= clip_low <= 1, clip_high >= 0.
    dual_clip
        > 1: where the advantage is negative, the ratio in the loss is dual_clip at most
        (arXiv 1912.09729).
    ref_log_probs
        (B, T) floating-point log-probabilities of the reference policy; None: no KL term.
    kl_coef
        Weight of the KL term, >= 0.
    kl
        "k3", the estimator above (http://joschu.net/blog/kl-approx.html), is the only one.
    reduction
        "token_mean": mean over all tokens. "sequence_mean": mean over rows of the rows' means.
        "sequence_sum_mean": mean over rows of the rows' sums. Rows without tokens do not count.

    Returns
    -------
    loss
        0-d, float64 if `log_probs` is, else float32 (in which lower precisions are computed). Its
        gradient flows through `log_probs` alone. Without any token it is 0 with a zero gradient.
    metrics
        Detached 0-d tensors on the device of the loss, so that nothing waits for the device;
        `{name: value.item() for name, value in metrics.items()}` is for a logger. Means are over
        all tokens, whatever the reduction, and 0 without tokens.

        - `clip_fraction`: share of tokens that a clip (dual_clip included) keeps from the gradient.
        - `approx_kl`: KL(old policy || policy), k3.
        - `kl_ref`: KL(policy || reference), k3; 0 without `ref_log_probs`.
        - `ratio_min`, `ratio_max`: extreme ratios before clipping; 1 without tokens.

    Raises
    ------
    `ValueError` or `TypeError` for an option out of range and for tensors whose shape, dtype or
    device does not fit, naming the argument. Values are not looked at: a NaN on a token makes the
    loss and the token's gradient NaN. `RuntimeError`, by a second derivative alone, if an argument
    was changed in place since the call.

    >>> log_probs = torch.tensor([[-1.0, -2.0, -3.0]], requires_grad=True)
    >>> advantages = to_tokens([0.5], mask := torch.tensor([[1, 1, 0]]))
    >>> loss, metrics = policy_loss(log_probs, log_probs.detach(), advantages, mask)
    >>> loss.item(), metrics["ratio_max"].item()
    (-0.5, 1.0)
    >>> loss.backward()
    >>> log_probs.grad
    tensor([[-0.2500, -0.2500,  0.0000]])
    """
    clip_low = _check_number("clip_low", clip_low, lambda x: 0 <= x <= 1, "a number in [0, 1]")
    clip_high = _check_number("clip_high", clip_high, _finite_non_negative, "a finite number >= 0")
    kl_coef = _check_number("kl_coef", kl_coef, _finite_non_negative, "a finite number >= 0")
    if dual_clip is not None:
        dual_clip = _check_number(
            "dual_clip", dual_clip, lambda x: 1 < x < math.inf, "a finite number > 1, or None"
        )
    _check_choice("kl", kl, _KL_ESTIMATORS)
    _check_choice("reduction", reduction, _REDUCTIONS)
    others = {"old_log_probs": old_log_probs, "advantages": advantages, "mask": mask}
    if ref_log_probs is not None:
        others["ref_log_probs"] = ref_log_probs
    _check_token_tensors(log_probs, others)

    objective = _Objective(
        old_log_probs=old_log_probs.detach(),
        advantages=advantages.detach(),
        mask=mask.detach(),
        ref_log_probs=None if ref_log_probs is None else ref_log_probs.detach(),
        clip_low=clip_low,
        clip_high=clip_high,
        dual_clip=dual_clip,
        kl_coef=kl_coef,
    )
    follow = objective.by_formula if _is_transformed(log_probs) else objective.in_place
    sums = follow(log_probs)
    num_tokens = sums.num_tokens.sum().clamp(min=1)
    metrics = {
        "clip_fraction": sums.num_clipped / num_tokens,
        "approx_kl": sums.approx_kl / num_tokens,
        "kl_ref": sums.kl_ref / num_tokens,
        "ratio_min": sums.ratio_min,
        "ratio_max": sums.ratio_max,
    }
    return _reduce(sums.losses, sums.num_tokens, reduction), metrics


class _Sums(NamedTuple):
    """What loss and metrics are made of; only `losses` has a gradient."""

    losses: torch.Tensor  # (B,)
    num_tokens: torch.Tensor  # (B,) in the dtype of the loss
    num_clipped: torch.Tensor  # 0-d, as the others: over all tokens
    approx_kl: torch.Tensor
    kl_ref: torch.Tensor
    ratio_min: torch.Tensor
    ratio_max: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Objective:
    """The loss of a token and its derivative by `log_probs`, twice.

    With r = exp(log_prob - old_log_prob) and x = ref_log_prob - log_prob:

        loss        max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)) + kl_coef * (exp(x) - 1 - x)
        derivative  -A r, or 0 where a clip holds it                   - kl_coef * (exp(x) - 1)

    `by_formula` is the first line, for whatever differentiates or compiles it (torch.compile,
    torch.func, forward mode, second derivatives). `in_place` is both lines, for everything else.
    """

    old_log_probs: torch.Tensor
    advantages: torch.Tensor
    mask: torch.Tensor
    ref_log_probs: torch.Tensor | None
    clip_low: float
    clip_high: float
    dual_clip: float | None
    kl_coef: float

    def by_formula(self, log_probs: torch.Tensor) -> _Sums:
        dtype = _loss_dtype(log_probs)
        is_token = self.mask != 0

        def tokens_only(values: torch.Tensor) -> torch.Tensor:
            return torch.where(is_token, values.to(dtype), 0.0)

        log_ratio = _clamped(tokens_only(log_probs) - tokens_only(self.old_log_probs))
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
            kl_ref = _k3(_clamped(tokens_only(self.ref_log_probs) - tokens_only(log_probs)))

        ratio_min, ratio_max = _ratio_range(ratio.detach(), is_token.to(dtype))
        return _Sums(
            losses=(surrogate + self.kl_coef * kl_ref).sum(-1),
            num_tokens=is_token.sum(-1, dtype=dtype),
            num_clipped=(surrogate != unclipped).sum(),
            approx_kl=_k3(log_ratio.detach()).sum(),
            kl_ref=kl_ref.detach().sum(),
            ratio_min=ratio_min,
            ratio_max=ratio_max,
        )

    def in_place(self, log_probs: torch.Tensor) -> _Sums:
        """Five (B, T) tensors of the dtype of the loss at once, casts aside; one is kept.

        `gain` is minus the surrogate. Masks are 1.0 and 0.0: a pass that mixes bool and float
        takes four times as long on a CPU.
        """
        is_differentiated = torch.is_grad_enabled() and log_probs.requires_grad
        with torch.no_grad():
            dtype = _loss_dtype(log_probs)
            is_token = _indicator(self.mask, dtype)
            log_ratio = log_probs.to(dtype) - self.old_log_probs.to(dtype)
            _clamped(_select(log_ratio, is_token, out=log_ratio), out=log_ratio)
            ratio = log_ratio.exp()
            scratch = torch.empty_like(ratio)
            ratio_min, ratio_max = _ratio_range(ratio, is_token, scratch)
            approx_kl = _k3(log_ratio, out=scratch).sum()

            advantages = _select(self.advantages.to(dtype), is_token, out=scratch)
            unclipped = advantages * ratio
            gain = ratio.clamp_(1 - self.clip_low, 1 + self.clip_high).mul_(advantages)
            torch.minimum(gain, unclipped, out=gain)
            if self.dual_clip is not None:  # a bound of 0 is none where the advantage is positive
                torch.maximum(gain, advantages.clamp_(max=0).mul_(self.dual_clip), out=gain)
            losses = 0 - gain.sum(-1)
            is_clipped = gain.ne_(unclipped)
            num_clipped = is_clipped.sum()
            if is_differentiated:
                derivative = is_clipped.mul_(unclipped).sub_(unclipped)
                _clamp_gradient(derivative, log_ratio, out=derivative)

            kl_ref = losses.new_zeros(())
            if self.ref_log_probs is not None:
                torch.sub(self.ref_log_probs.to(dtype), log_probs.to(dtype), out=log_ratio)
                _clamped(_select(log_ratio, is_token, out=log_ratio), out=log_ratio)
                kl_by_row = _k3(log_ratio, out=scratch).sum(-1)
                losses.add_(kl_by_row, alpha=self.kl_coef)
                kl_ref = kl_by_row.sum()
                if is_differentiated:
                    growth = scratch.add_(log_ratio)
                    _clamp_gradient(growth, log_ratio, out=growth)
                    derivative.sub_(growth, alpha=self.kl_coef)
        if is_differentiated:
            losses = _RowLosses.apply(log_probs, losses, derivative, self)  # type: ignore[no-untyped-call]
        return _Sums(
            losses=losses,
            num_tokens=is_token.sum(-1),
            num_clipped=num_clipped,
            approx_kl=approx_kl,
            kl_ref=kl_ref,
            ratio_min=ratio_min,
            ratio_max=ratio_max,
        )


class _RowLosses(torch.autograd.Function):
    """Ties the sums that `_Objective.in_place` has computed to their derivative."""

    @staticmethod
    def forward(
        ctx: Any,
        log_probs: torch.Tensor,
        losses: torch.Tensor,
        derivative: torch.Tensor,
        objective: _Objective,
    ) -> torch.Tensor:
        ctx.save_for_backward(log_probs, derivative)
        ctx.objective, ctx.versions = objective, _versions(objective)
        return losses.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        log_probs, derivative = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return (derivative * grad[:, None]).to(log_probs.dtype), None, None, None
        if ctx.versions != _versions(ctx.objective):
            raise RuntimeError(
                "an argument of policy_loss was changed in place after the call; "
                "a second derivative needs it as it was"
            )
        losses = ctx.objective.by_formula(log_probs).losses
        derivative = torch.autograd.grad(losses, log_probs, grad, create_graph=True)
        return *derivative, None, None, None


def _versions(objective: _Objective) -> list[int | None]:
    fields = (getattr(objective, name) for name in objective.__slots__)
    tensors = (field for field in fields if isinstance(field, torch.Tensor))
    return [None if tensor.is_inference() else tensor._version for tensor in tensors]


def _is_transformed(log_probs: torch.Tensor) -> bool:
    """Whether more than autograd's backward pass may look into what is computed."""
    return (
        type(log_probs) not in (torch.Tensor, torch.nn.Parameter)
        or torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or unpack_dual(log_probs).tangent is not None  # type: ignore[no-untyped-call]
    )


def _loss_dtype(log_probs: torch.Tensor) -> torch.dtype:
    return torch.promote_types(log_probs.dtype, torch.float32)


def _indicator(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """1.0 where the mask is not 0, else 0.0."""
    if torch.promote_types(mask.dtype, dtype) != dtype:
        mask = mask != 0  # a cast could turn a small entry into 0
    return mask.to(dtype, copy=True).ne_(0)


def _select(values: torch.Tensor, is_token: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """torch.where(is_token, values, 0.0) for an indicator: relu's gradient is just that."""
    torch.ops.aten.threshold_backward.grad_input(values, is_token, 0, grad_input=out)
    return out


def _clamp_gradient(gradient: torch.Tensor, clamped: torch.Tensor, out: torch.Tensor) -> None:
    """`gradient`, but 0 where `clamped` is at a limit of the log-ratio."""
    limits = -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT
    torch.ops.aten.hardtanh_backward.grad_input(gradient, clamped, *limits, grad_input=out)


def _finite_non_negative(x: float) -> bool:
    return 0 <= x < math.inf


def _check_token_tensors(log_probs: torch.Tensor, others: Mapping[str, object]) -> None:
    for name, tensor in {"log_probs": log_probs, **others}.items():
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} is a {type(tensor).__name__}; expected a (B, T) tensor")
        if name != "mask" and not tensor.is_floating_point():
            raise TypeError(f"{name} has dtype {tensor.dtype}; expected a floating-point dtype")
        if tensor.is_nested or tensor.layout != torch.strided or tensor.dim() != 2:
            hint = "; to_tokens spreads one value per row" if name == "advantages" else ""
            raise ValueError(f"{name} is {_describe(tensor)}; expected a dense (B, T) one{hint}")
        if tensor.shape != log_probs.shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}; "
                f"expected {tuple(log_probs.shape)}, the shape of log_probs"
            )
        if tensor.device != log_probs.device:
            raise ValueError(
                f"{name} is on {tensor.device}; expected {log_probs.device}, the device of "
                "log_probs"
            )


def _clamped(log_ratio: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    return torch.clamp(log_ratio, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT, out=out)


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


def _reduce(
    row_losses: torch.Tensor, num_tokens: torch.Tensor, reduction: Reduction
) -> torch.Tensor:
    if reduction == "token_mean":
        return row_losses.sum() / num_tokens.sum().clamp(min=1)
    if reduction == "sequence_mean":
        row_losses = row_losses / num_tokens.clamp(min=1)
    return row_losses.sum() / (num_tokens > 0).sum().clamp(min=1)


def _column(
    read: Callable[[str, Any, None], NDArray[ScalarT]], name: str, values: object
) -> NDArray[ScalarT]:
    if values is None:
        raise TypeError(f"{name} is None; expected a column, one value per step")
    if isinstance(values, torch.Tensor):
        values = values.cpu()
    return read(name, plain_column(name, values, exact=False), None)


def _step_values(step_values: Column) -> NDArray[np.float32]:
    given = _column(real_column, "step_values", step_values)
    with np.errstate(over="ignore"):  # reported below
        values = given.astype(np.float32)
    for step in np.flatnonzero(~np.isfinite(values))[:1]:
        raise ValueError(
            f"step_values[{step}] is {given[step]}; expected a number finite in float32"
        )
    return values


def _describe(tensor: torch.Tensor) -> str:
    if tensor.is_nested or tensor.layout != torch.strided:
        nested = "nested " if tensor.is_nested else ""
        return f"a {nested}{tensor.dim()}-D tensor with layout={tensor.layout}"
    return f"a tensor of shape {tuple(tensor.shape)}"
