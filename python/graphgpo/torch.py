"""Step advantages on tokens, and the loss that trains on them. The only module that needs torch.

`to_tokens` is for trainers with one row per step, `spans_to_tokens` for those with one row per
trajectory; `policy_loss` takes what either returns.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar, get_args, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from graphgpo.config import _check_choice, _check_number
from graphgpo.ingest import integer_column, real_column

Column: TypeAlias = ArrayLike | torch.Tensor
ScalarT = TypeVar("ScalarT", np.float64, np.int64)
Reduction = Literal["token_mean", "sequence_mean", "sequence_sum_mean"]
KlEstimator = Literal["k3"]

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
    return torch.where(mask != 0, values.to(mask.device), 0.0)


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
    loss NaN.

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
    _check_choice("kl", kl, get_args(KlEstimator))
    _check_choice("reduction", reduction, get_args(Reduction))
    others = {"old_log_probs": old_log_probs, "advantages": advantages, "mask": mask}
    if ref_log_probs is not None:
        others["ref_log_probs"] = ref_log_probs
    _check_token_tensors(log_probs, others)

    dtype = torch.promote_types(log_probs.dtype, torch.float32)
    is_token = mask != 0

    def tokens_only(values: torch.Tensor) -> torch.Tensor:
        return torch.where(is_token, values.to(dtype), 0.0)

    log_ratio = _clamped(tokens_only(log_probs) - tokens_only(old_log_probs.detach()))
    ratio = log_ratio.exp()
    advantages = tokens_only(advantages.detach())
    unclipped = -advantages * ratio
    surrogate = torch.maximum(unclipped, -advantages * ratio.clamp(1 - clip_low, 1 + clip_high))
    if dual_clip is not None:
        limit = torch.where(advantages < 0, -advantages * dual_clip, math.inf)
        surrogate = torch.minimum(surrogate, limit)

    kl_ref = torch.zeros_like(ratio)
    if ref_log_probs is not None:
        kl_ref = _k3(_clamped(tokens_only(ref_log_probs.detach()) - tokens_only(log_probs)))
    loss = _reduce(surrogate + kl_coef * kl_ref, is_token, reduction)

    with torch.no_grad():
        num_tokens = is_token.sum().clamp(min=1)
        ratio_min, ratio_max = _ratio_range(ratio, is_token)
        metrics = {
            "clip_fraction": (surrogate != unclipped).sum() / num_tokens,
            "approx_kl": _k3(log_ratio).sum() / num_tokens,
            "kl_ref": kl_ref.sum() / num_tokens,
            "ratio_min": ratio_min,
            "ratio_max": ratio_max,
        }
    return loss, metrics


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


def _clamped(log_ratio: torch.Tensor) -> torch.Tensor:
    return log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def _k3(log_ratio: torch.Tensor) -> torch.Tensor:
    return log_ratio.expm1() - log_ratio  # exp(x) - 1 would lose every digit for small x


def _ratio_range(ratio: torch.Tensor, is_token: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if ratio.numel() == 0:
        return ratio.new_ones(()), ratio.new_ones(())
    has_tokens = is_token.any()
    smallest = torch.where(is_token, ratio, math.inf).amin()
    largest = torch.where(is_token, ratio, -math.inf).amax()
    return torch.where(has_tokens, smallest, 1.0), torch.where(has_tokens, largest, 1.0)


def _reduce(losses: torch.Tensor, is_token: torch.Tensor, reduction: Reduction) -> torch.Tensor:
    """The mean of the token losses, which are 0 where there is no token."""
    row_sums, row_tokens = losses.sum(-1), is_token.sum(-1)
    if reduction == "token_mean":
        return row_sums.sum() / row_tokens.sum().clamp(min=1)
    if reduction == "sequence_mean":
        row_sums = row_sums / row_tokens.clamp(min=1)
    return row_sums.sum() / (row_tokens > 0).sum().clamp(min=1)


def _column(
    read: Callable[[str, Any, None], NDArray[ScalarT] | None], name: str, values: object
) -> NDArray[ScalarT]:
    column = read(name, values.cpu() if isinstance(values, torch.Tensor) else values, None)
    if column is None:
        raise TypeError(f"{name} is None; expected a column, one value per step")
    return column


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
