"""Step advantages on tokens, and the loss that trains on them. The only module that needs torch.

`to_tokens` is for trainers with one row per step, `spans_to_tokens` for those with one row per
trajectory; `policy_loss` takes what either returns.
"""

from __future__ import annotations

import math
import operator
from typing import Any, Literal, TypeAlias, get_args, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from graphgpo.config import _check_choice, _check_number

StepValues: TypeAlias = ArrayLike | torch.Tensor
Reduction = Literal["token_mean", "sequence_mean", "sequence_sum_mean"]
KlEstimator = Literal["k3"]

LOG_RATIO_LIMIT = 20.0  # as in verl: exp(20) squared is still finite in float32


@overload
def to_tokens(step_values: StepValues, response_mask: torch.Tensor) -> torch.Tensor: ...
@overload
def to_tokens(step_values: StepValues, response_mask: list[Any]) -> list[torch.Tensor]: ...
@overload
def to_tokens(
    step_values: StepValues, response_mask: tuple[Any, ...]
) -> tuple[torch.Tensor, ...]: ...
def to_tokens(
    step_values: StepValues, response_mask: torch.Tensor | list[Any] | tuple[Any, ...]
) -> torch.Tensor | list[torch.Tensor] | tuple[torch.Tensor, ...]:
    """Give every token of a step's response the step's value, for one row per step.

    Parameters
    ----------
    step_values
        (N,) finite numbers: a `StepAdvantages` (its `advantages`), an array, a tensor or a list.
    response_mask
        Which tokens the policy wrote: a dense (N, T) tensor, a jagged nested tensor with N rows,
        or a list or tuple of N 1-D masks. An entry that is not 0 is a token and gets the value
        itself: the mask selects, it never scales.

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
    values = _step_values(step_values)
    if isinstance(response_mask, list | tuple):
        _check_rows(len(values), len(response_mask))
        masks = [_row_mask(row, mask) for row, mask in enumerate(response_mask)]
        # A tensor per row, not views of one: a pickled view takes all of its storage along.
        tokens = [
            torch.zeros(mask.shape, dtype=torch.float32, device=mask.device).masked_fill_(
                mask != 0, value
            )
            for value, mask in zip(values.tolist(), masks, strict=True)
        ]
        return tokens if isinstance(response_mask, list) else tuple(tokens)
    if not isinstance(response_mask, torch.Tensor):
        raise TypeError(f"response_mask is a {type(response_mask).__name__}; {_EXPECTED_MASK}")
    jagged = response_mask.layout == torch.jagged
    if response_mask.dim() != 2 or response_mask.is_nested != jagged:
        raise ValueError(f"response_mask is {_describe(response_mask)}; {_EXPECTED_MASK}")
    _check_rows(len(values), response_mask.shape[0])
    values = values.to(response_mask.device)
    if jagged:
        return _jagged_tokens(values, response_mask)
    return torch.where(response_mask != 0, values[:, None], 0.0)


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


def _row_mask(row: int, mask: object) -> torch.Tensor:
    name = f"response_mask[{row}]"
    if not isinstance(mask, torch.Tensor):
        return _row_mask(row, torch.from_numpy(_numbers(name, mask, "biuf")))
    if mask.dim() != 1:
        raise ValueError(f"{name} is {_describe(mask)}; expected a 1-D mask")
    return mask


def _jagged_tokens(values: torch.Tensor, mask: Any) -> torch.Tensor:
    offsets, buffer = mask.offsets(), mask.values()
    # A narrowed tensor may have entries of no row around its rows; they count as rows of value 0.
    counts = torch.diff(
        offsets, prepend=offsets.new_zeros(1), append=offsets.new_full((1,), len(buffer))
    )
    spread = _repeat(torch.nn.functional.pad(values, (1, 1)), counts, len(buffer))
    return torch.nested.nested_tensor_from_jagged(
        spread.masked_fill_(buffer == 0, 0.0), offsets, mask.lengths()
    )


def spans_to_tokens(
    step_values: StepValues,
    rows: ArrayLike | torch.Tensor,
    starts: ArrayLike | torch.Tensor,
    stops: ArrayLike | torch.Tensor,
    shape: tuple[int, int],
    *,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Write every step's value on its token span [start, stop), for one row per trajectory.

    Parameters
    ----------
    step_values
        (S,) finite numbers: a `StepAdvantages` (its `advantages`), an array, a tensor or a list.
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
    values = _step_values(step_values).cpu().numpy()
    num_rows, width = _check_shape(shape)
    row, start, stop = (
        _span_column(name, column, len(values))
        for name, column in (("rows", rows), ("starts", starts), ("stops", stops))
    )
    _check_spans(start, stop)

    inside = np.flatnonzero((row >= 0) & (row < num_rows) & (start < np.minimum(stop, width)))
    first = row[inside] * width + start[inside]
    order = np.argsort(first, kind="stable")
    spans, first = inside[order], first[order]
    last = row[spans] * width + np.minimum(stop[spans], width)

    # The flat result is runs of one value: a gap, a span, a gap, ..., a span, a gap.
    bounds = np.empty(2 * len(spans) + 2, dtype=np.int64)
    bounds[0], bounds[1:-1:2], bounds[2:-1:2], bounds[-1] = 0, first, last, num_rows * width
    run_lengths = np.diff(bounds)
    run_values = np.zeros(len(run_lengths), dtype=np.float32)
    run_values[1::2] = values[spans]
    overlaps = np.flatnonzero(run_lengths[2::2] < 0)
    if len(overlaps):
        one, other = sorted(spans[overlaps[0] : overlaps[0] + 2].tolist())
        raise ValueError(
            f"spans {one} and {other} overlap in row {row[one]}: [{start[one]}, {stop[one]}) and "
            f"[{start[other]}, {stop[other]}); expected every token in one span at most"
        )
    return _repeat(
        torch.as_tensor(run_values, device=device),
        torch.as_tensor(run_lengths, device=device),
        num_rows * width,
    ).view(num_rows, width)


def _check_shape(shape: object) -> tuple[int, int]:
    expected = f"shape is {shape!r}; expected (B, T), two integers >= 0"
    try:
        num_rows, width = map(operator.index, shape)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise TypeError(expected) from None
    if num_rows < 0 or width < 0:
        raise ValueError(expected)
    return num_rows, width


def _span_column(name: str, column: object, num_spans: int) -> NDArray[np.int64]:
    if isinstance(column, torch.Tensor):
        column = column.cpu()
    array = _numbers(name, column, "iu").astype(np.int64, copy=False)
    if array.shape != (num_spans,):
        raise ValueError(
            f"{name} has shape {array.shape}; expected ({num_spans},), one entry per step value"
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
        0-d, float64 if `log_probs` is, else float32 (in which lower precisions are computed). It
        can be differentiated once, and only with respect to `log_probs`. Without any token it is
        0 with a zero gradient.
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
    loss NaN.

    >>> log_probs = torch.tensor([[-1.0, -2.0, -3.0]], requires_grad=True)
    >>> advantages = to_tokens([0.5], mask := torch.tensor([[1, 1, 0]]))
    >>> loss, metrics = policy_loss(log_probs, log_probs.detach(), advantages, mask)
    >>> loss.item(), metrics["ratio_max"].item()
    (-0.5, 1.0)
    >>> loss.backward()
    >>> log_probs.grad
    tensor([[-0.2500, -0.2500, -0.0000]])
    """
    clip_low = _check_number("clip_low", clip_low, lambda x: 0 <= x <= 1, "a number in [0, 1]")
    clip_high = _check_number("clip_high", clip_high, _finite_non_negative, "a finite number >= 0")
    kl_coef = _check_number("kl_coef", kl_coef, _finite_non_negative, "a finite number >= 0")
    if dual_clip is not None:
        dual_clip = _check_number(
            "dual_clip", dual_clip, lambda x: 1 < x < math.inf, "a finite number > 1, or None"
        )
    _check_choice("kl", kl, get_args(KlEstimator))
    _check_choice("reduction", reduction, get_args(Reduction))
    tensors = {"log_probs": log_probs, "old_log_probs": old_log_probs, "advantages": advantages}
    if ref_log_probs is not None:
        tensors["ref_log_probs"] = ref_log_probs
    _check_token_tensors(mask, **tensors)

    # The gradient is worked out beside the value: autograd would keep five (B, T) tensors for the
    # backward pass.
    with torch.no_grad():
        dtype = torch.promote_types(log_probs.dtype, torch.float32)
        padding = mask == 0
        tokens_per_row = mask.shape[1] - padding.sum(-1)
        num_tokens = tokens_per_row.sum().clamp(min=1)

        advantages = advantages.to(dtype).masked_fill(padding, 0.0)
        log_ratio = _log_ratio(log_probs, old_log_probs, padding, dtype)
        ratio = log_ratio.exp()
        bounded = torch.where(
            advantages < 0,
            ratio.clamp(min=1 - clip_low, max=dual_clip),
            ratio.clamp(max=1 + clip_high),
        )
        clipped = (bounded != ratio).logical_and_(advantages != 0)
        metrics = {
            "clip_fraction": clipped.sum() / num_tokens,
            "approx_kl": log_ratio.expm1().sub_(log_ratio).sum() / num_tokens,
            "kl_ref": log_ratio.new_zeros(()),
            **_ratio_extremes(ratio, padding),
        }

        token_losses = bounded.mul_(advantages).neg_()
        row_losses = token_losses.sum(-1)
        # d(-A r)/d(log_prob) is -A r again. Multiplied by 0, not filled with it: NaN stays NaN.
        gradient = token_losses.mul_(clipped.logical_or_(_is_clamped(log_ratio)).logical_not_())

        if ref_log_probs is not None:
            x = _log_ratio(ref_log_probs, log_probs, padding, dtype)
            expm1 = x.expm1()  # exp(x) - 1 would lose every digit of k3 for small x
            row_kls = (expm1 - x).sum(-1)
            metrics["kl_ref"] = row_kls.sum() / num_tokens
            row_losses += kl_coef * row_kls
            # d(k3)/d(log_prob) is 1 - exp(x), as x falls where log_prob rises.
            gradient.sub_(expm1.mul_(_is_clamped(x).logical_not_()), alpha=kl_coef)

        row_weights = _row_weights(tokens_per_row, reduction, dtype)
        value = (row_losses * row_weights).sum()
        gradient.mul_(row_weights[:, None])
    loss: torch.Tensor = _WithGradient.apply(log_probs, value, gradient)  # type: ignore[no-untyped-call]
    return loss, metrics


def _finite_non_negative(x: float) -> bool:
    return 0 <= x < math.inf


def _check_token_tensors(mask: object, **floating: object) -> None:
    like = floating["log_probs"]
    for name, tensor in {**floating, "mask": mask}.items():
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} is a {type(tensor).__name__}; expected a (B, T) tensor")
        if name != "mask" and not tensor.is_floating_point():
            raise TypeError(f"{name} has dtype {tensor.dtype}; expected a floating-point dtype")
        if tensor.layout != torch.strided or tensor.is_nested or tensor.dim() != 2:
            hint = "; to_tokens spreads one value per row" if name == "advantages" else ""
            raise ValueError(f"{name} is {_describe(tensor)}; expected a dense (B, T) one{hint}")
        assert isinstance(like, torch.Tensor)  # it is the first of them
        if tensor.shape != like.shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}; "
                f"expected {tuple(like.shape)}, the shape of log_probs"
            )
        if tensor.device != like.device:
            raise ValueError(
                f"{name} is on {tensor.device}; expected {like.device}, the device of log_probs"
            )


def _log_ratio(
    numerator: torch.Tensor, denominator: torch.Tensor, padding: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    difference = numerator.to(dtype) - denominator.to(dtype)
    return difference.masked_fill_(padding, 0.0).clamp_(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def _is_clamped(log_ratio: torch.Tensor) -> torch.Tensor:
    return log_ratio.abs() == LOG_RATIO_LIMIT


def _ratio_extremes(ratio: torch.Tensor, padding: torch.Tensor) -> dict[str, torch.Tensor]:
    if ratio.numel() == 0:
        return {"ratio_min": ratio.new_ones(()), "ratio_max": ratio.new_ones(())}
    no_tokens = padding.all()
    return {
        "ratio_min": ratio.masked_fill(padding, math.inf).amin().masked_fill_(no_tokens, 1.0),
        "ratio_max": ratio.masked_fill(padding, -math.inf).amax().masked_fill_(no_tokens, 1.0),
    }


def _row_weights(
    tokens_per_row: torch.Tensor, reduction: Reduction, dtype: torch.dtype
) -> torch.Tensor:
    """(B,) weight of one token of each row in the loss."""
    if reduction == "token_mean":
        counts = tokens_per_row.sum().clamp(min=1).expand(tokens_per_row.shape)
    else:
        counts = (tokens_per_row > 0).sum().clamp(min=1).expand(tokens_per_row.shape)
        if reduction == "sequence_mean":
            counts = counts * tokens_per_row.clamp(min=1)
    return counts.to(dtype).reciprocal()


class _WithGradient(torch.autograd.Function):
    """A 0-d value whose gradient with respect to `variable` is `gradient`."""

    @staticmethod
    def forward(
        ctx: Any, variable: torch.Tensor, value: torch.Tensor, gradient: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return upstream * gradient, None, None


def _step_values(step_values: object) -> torch.Tensor:
    """(N,) finite float32, on the device where they are."""
    if isinstance(step_values, torch.Tensor):
        if step_values.dtype == torch.bool or step_values.is_complex():
            raise TypeError(f"step_values has dtype {step_values.dtype}; expected real numbers")
        given = step_values.detach()
        values = given.to(torch.float32)
    else:
        given = torch.from_numpy(_numbers("step_values", step_values, "iuf"))
        values = given.to(torch.float32)
    if values.dim() != 1:
        raise ValueError(f"step_values is {_describe(values)}; expected (N,), one value per step")
    for step in torch.nonzero(~values.isfinite())[:1, 0].tolist():
        raise ValueError(
            f"step_values[{step}] is {given[step].item()}; expected a number finite in float32"
        )
    return values


def _numbers(name: str, values: object, kinds: str) -> NDArray[Any]:
    """A native, contiguous copy of an array-like whose dtype is of one of NumPy's `kinds`."""
    expected = _EXPECTED_NUMBERS[kinds]
    try:
        array = np.asarray(values)
        if array.dtype == object:
            array = np.asarray(array.tolist())
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} is not an array: {error}; expected {expected}") from None
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in kinds:
        raise TypeError(f"{name} has dtype {array.dtype}; expected {expected}")
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


_EXPECTED_NUMBERS = {
    "iu": "integers",
    "iuf": "real numbers",
    "biuf": "bools, integers or floats",
}


def _describe(tensor: torch.Tensor) -> str:
    if tensor.is_nested or tensor.layout != torch.strided:
        nested = "nested " if tensor.is_nested else ""
        return f"a {nested}{tensor.dim()}-D tensor with layout={tensor.layout}"
    return f"a tensor of shape {tuple(tensor.shape)}"


def _repeat(values: torch.Tensor, counts: torch.Tensor, total: int) -> torch.Tensor:
    """Every value `counts` times over; the counts sum to `total`, so no device is waited for."""
    if values.device.type == "cpu":  # np.repeat fills runs where torch gathers one by one
        return torch.from_numpy(np.repeat(values.numpy(), counts.numpy()))
    return torch.repeat_interleave(values, counts, output_size=total)
