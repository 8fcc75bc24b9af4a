"""The values of steps on the spans of tokens they wrote, for one row per trajectory."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from graphgpo.ingest import integer_column
from graphgpo.torch.arguments import (
    Column,
    column,
    describe,
    is_on_device,
    mask_condition,
    one_or_nan,
    read_step_values,
    refuse_capture,
    values_of,
)
from graphgpo.torch.selection import select, weights


def spans_to_tokens(
    step_values: Any,
    rows: Column,
    starts: Column,
    stops: Column,
    shape: tuple[int, int] | None = None,
    *,
    response_mask: torch.Tensor | None = None,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Write every step's value on its token span [start, stop), for one row per trajectory.

    Nothing waits for a device if the columns are tensors on it: see Raises.

    Parameters
    ----------
    step_values
        (S,) numbers finite in float32: a result (its `advantages`), an array, a tensor, a list or
        an Arrow column.
    rows, starts, stops
        (S,) integers, in any order: the row of each span, its first token and the one after its
        last. A span is clipped to the width of the result (truncated completions) and may be
        empty. Rows outside 0..B-1 are ignored: ranks that hold B rows each of a common batch pass
        `rows - rank * B` for all of its steps.
    shape
        (B, T) of the result; None: that of `response_mask`.
    response_mask
        (B, T) tensor, an entry > 0 is a token the policy wrote; the result is 0 everywhere else,
        and on the mask's device. `tokens_without_span` counts the tokens that no span covers. None:
        spans are written whole.
    device
        Where the result goes; None: where the mask or, without one, the first column on a device
        is; else torch's default device.

    Returns
    -------
    (B, T) float32 without gradient, exactly 0 outside the spans. Time and memory
    O(B T + S log S).

    Raises
    ------
    `ValueError` or `TypeError`, naming the argument, for columns of different lengths, values that
    are not finite, a negative start or a stop before its start (in ignored rows too, so that every
    rank refuses the same batch), for two spans that share a token of the result, and for a mask
    with a negative or NaN entry. Columns on a device are not looked at: a value that is not finite
    goes to its tokens as it is, and any of the other faults makes all of the result NaN that is not
    masked. `RuntimeError` while a CUDA graph is captured.

    >>> spans_to_tokens([0.5, -1.5], rows=[0, 0], starts=[0, 3], stops=[2, 9], shape=(1, 5))
    tensor([[ 0.5000,  0.5000,  0.0000, -1.5000, -1.5000]])
    >>> mask = torch.tensor([[1, 0, 1, 1, 1]])
    >>> spans_to_tokens([0.5, -1.5], [0, 0], [0, 3], [2, 9], response_mask=mask)
    tensor([[ 0.5000,  0.0000,  0.0000, -1.5000, -1.5000]])
    """
    values = values_of(step_values)
    _refuse_capture("spans_to_tokens", values, rows, starts, stops, response_mask, device=device)
    size = _checked_size(shape, response_mask)
    spans = _read_spans(read_step_values(values), rows, starts, stops)
    tokens = _spread(spans, size, _place(spans, response_mask, device))
    return tokens if response_mask is None else _masked(tokens, response_mask)


def tokens_without_span(
    rows: Column, starts: Column, stops: Column, response_mask: torch.Tensor
) -> torch.Tensor:
    """How many tokens the policy wrote are in no span: no step gives them credit.

    Parameters
    ----------
    rows, starts, stops, response_mask
        As for `spans_to_tokens`, and refused alike.

    Returns
    -------
    0-d int64, on the device of `response_mask`.

    >>> tokens_without_span([0], [0], [2], torch.tensor([[1, 0, 1, 1]]))
    tensor(2)
    """
    _refuse_capture("tokens_without_span", rows, starts, stops, response_mask)
    size = _mask_size(response_mask)
    spans = _read_spans(None, rows, starts, stops)
    in_span = _spread(spans, size, response_mask.device)
    return (_masked(torch.ones_like(in_span), response_mask) > in_span).sum()


class _Spans(NamedTuple):
    """(S,) tensors, all in host memory and checked one by one, or all on a device."""

    are_on_device: bool
    values: torch.Tensor
    rows: torch.Tensor
    starts: torch.Tensor
    stops: torch.Tensor


def _refuse_capture(function: str, *columns: Any, device: Any = None) -> None:
    tensors = [column for column in columns if isinstance(column, torch.Tensor)]
    devices = [tensor.device for tensor in tensors]
    refuse_capture(function, *devices, *([] if device is None else [torch.device(device)]))


def _checked_size(shape: object, response_mask: torch.Tensor | None) -> tuple[int, int]:
    if response_mask is None:
        return _two_integers(shape)
    num_rows, width = _mask_size(response_mask)
    if shape is not None and _two_integers(shape) != (num_rows, width):
        raise ValueError(
            f"shape is {shape!r} but response_mask has shape {(num_rows, width)}; expected one of "
            "the two alone"
        )
    return num_rows, width


def _mask_size(response_mask: object) -> tuple[int, int]:
    if not isinstance(response_mask, torch.Tensor):
        raise TypeError(
            f"response_mask is a {type(response_mask).__name__}; expected a (B, T) tensor"
        )
    if response_mask.is_nested or response_mask.dim() != 2:
        raise ValueError(f"response_mask is {describe(response_mask)}; expected a (B, T) tensor")
    num_rows, width = response_mask.shape
    return num_rows, width


def _two_integers(shape: object) -> tuple[int, int]:
    if shape is None:
        raise TypeError("shape is None; expected (B, T), or response_mask for its shape")
    expected = f"shape is {shape!r}; expected (B, T), two integers >= 0"
    try:
        num_rows, width = map(operator.index, shape)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise TypeError(expected) from None
    if num_rows < 0 or width < 0 or num_rows * width > 2**62:
        raise ValueError(expected)
    return num_rows, width


def _read_spans(values: torch.Tensor | None, rows: Any, starts: Any, stops: Any) -> _Spans:
    """`values` None: 1 on every span."""
    places = {"rows": rows, "starts": starts, "stops": stops}
    columns = {name: _integers(name, place) for name, place in places.items()}
    counted = "step_values has {} values; expected one entry per step value"
    if values is None:
        values = torch.ones(len(columns["rows"]), device=columns["rows"].device)
        counted = "rows has {}; expected one entry per span"
    for name, place in columns.items():
        if len(place) != len(values):
            raise ValueError(f"{name} has {len(place)} entries but {counted.format(len(values))}")
    tensors = (values, *columns.values())
    device = next((tensor.device for tensor in tensors if is_on_device(tensor)), None)
    if device is not None:
        return _Spans(True, *(tensor.to(device) for tensor in tensors))
    _check_bounds(columns["starts"].numpy(), columns["stops"].numpy())
    return _Spans(False, *tensors)


def _integers(name: str, values: Any) -> torch.Tensor:
    if not is_on_device(values):
        return torch.from_numpy(column(integer_column, name, values))
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"{name} has dtype {values.dtype}; expected integers")
    if values.dim() != 1:
        raise ValueError(f"{name} has shape {tuple(values.shape)}; expected (S,), one per span")
    integers: torch.Tensor = values.detach().to(torch.int64)
    return integers


def _check_bounds(starts: NDArray[np.int64], stops: NDArray[np.int64]) -> None:
    for span in np.flatnonzero(starts < 0)[:1]:
        raise ValueError(f"starts[{span}] is {starts[span]}; expected an integer >= 0")
    for span in np.flatnonzero(stops < starts)[:1]:
        raise ValueError(
            f"stops[{span}] is {stops[span]} and starts[{span}] is {starts[span]}; "
            "expected start <= stop"
        )


def _place(
    spans: _Spans, response_mask: torch.Tensor | None, device: torch.device | str | None
) -> torch.device:
    if response_mask is not None:
        place = response_mask.device
        if device is not None and torch.empty(0, device=device).device != place:
            raise ValueError(
                f"device is {device} but response_mask is on {place}; expected one of the two alone"
            )
        return place
    if device is not None:
        return torch.device(device)
    return spans.values.device if spans.are_on_device else torch.get_default_device()


def _spread(spans: _Spans, size: tuple[int, int], place: torch.device) -> torch.Tensor:
    """(B, T) on `place`: the value of a span on its tokens, 0 elsewhere."""
    runs = _runs_on_device if spans.are_on_device else _runs_in_host_memory
    values, lengths = runs(spans, *size)
    num_tokens = size[0] * size[1]
    if values.device.type == place.type == "cpu":  # ten times as fast as torch
        tokens = torch.from_numpy(np.repeat(values.numpy(), lengths.numpy()))
    else:  # with the size given, torch does not wait for the lengths
        values, lengths = values.to(place), lengths.to(place)
        tokens = torch.repeat_interleave(values, lengths, output_size=num_tokens)
    return tokens.view(size)


def _runs_in_host_memory(
    spans: _Spans, num_rows: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The flat result as runs of one value: a gap, a span, a gap, ..., a span, a gap."""
    values, row, start, stop = (tensor.numpy() for tensor in spans[1:])
    inside = np.flatnonzero((row >= 0) & (row < num_rows) & (start < np.minimum(stop, width)))
    order = inside[np.lexsort((start[inside], row[inside]))]
    first = row[order] * width + start[order]
    last = row[order] * width + np.minimum(stop[order], width)
    for position in np.flatnonzero(first[1:] < last[:-1])[:1]:
        one, other = sorted(order[position : position + 2].tolist())
        raise ValueError(
            f"spans {one} and {other} overlap in row {row[one]}: [{start[one]}, {stop[one]}) and "
            f"[{start[other]}, {stop[other]}); expected every token in one span at most"
        )
    bounds = np.concatenate(([0], np.column_stack((first, last)).ravel(), [num_rows * width]))
    run_values = np.zeros(2 * len(order) + 1, dtype=np.float32)
    run_values[1::2] = values[order]
    return torch.from_numpy(run_values), torch.from_numpy(np.diff(bounds))


def _runs_on_device(spans: _Spans, num_rows: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The same, without a look at a value: spans outside are empty ones at the end.

    Lengths are >= 0 and fill the result whatever the columns hold.
    """
    _, values, row, start, stop = spans
    end = num_rows * width
    inside = (row >= 0) & (row < num_rows) & (start >= 0) & (start < stop.clamp(max=width))
    first = torch.where(inside, row * width + start, end)
    last = torch.where(inside, row * width + stop.clamp(max=width), end)
    first, order = first.sort(stable=True)
    next_first = torch.cat((first[1:], first.new_full((1,), end)))[: len(first)]
    last = last[order]
    is_sound = (start >= 0).all() & (start <= stop).all() & (last <= next_first).all()
    bounds = torch.stack((first, torch.minimum(last, next_first)), dim=1).flatten()
    edges = torch.cat((bounds.new_zeros(1), bounds, bounds.new_full((1,), end)))
    run_values = values.new_zeros(2 * len(values) + 1)
    run_values[1::2] = values[order]
    return torch.where(is_sound, run_values, torch.nan), edges.diff()


def _masked(tokens: torch.Tensor, response_mask: torch.Tensor) -> torch.Tensor:
    mask = response_mask.detach()
    is_token = weights(mask, torch.float32)
    nan = one_or_nan(mask_condition("response_mask", mask, as_floats=is_token), tokens)
    if nan is not None:
        tokens = tokens * nan
    return select(tokens, is_token, out=is_token)
