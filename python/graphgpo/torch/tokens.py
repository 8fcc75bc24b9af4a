"""The value of a step on the tokens of its response, for one row per step."""

from __future__ import annotations

from typing import Any, overload

import torch

from graphgpo.ingest import real_column
from graphgpo.torch.arguments import (
    column,
    describe,
    mask_condition,
    one_or_nan,
    read_step_values,
    refuse_capture,
    values_of,
)
from graphgpo.torch.rows import row_of_entry
from graphgpo.torch.selection import select, weights


@overload
def to_tokens(step_values: Any, response_mask: torch.Tensor) -> torch.Tensor: ...
@overload
def to_tokens(step_values: Any, response_mask: list[Any]) -> list[torch.Tensor]: ...
@overload
def to_tokens(step_values: Any, response_mask: tuple[Any, ...]) -> tuple[torch.Tensor, ...]: ...
def to_tokens(
    step_values: Any, response_mask: torch.Tensor | list[Any] | tuple[Any, ...]
) -> torch.Tensor | list[torch.Tensor] | tuple[torch.Tensor, ...]:
    """Give every token of a step's response the step's value, for one row per step.

    Nothing waits for a device if the values are a tensor on the mask's: see Raises.

    Parameters
    ----------
    step_values
        (N,) numbers finite in float32, in order of the rows: a result (its `advantages`), an
        array, a tensor, a list or an Arrow column.
    response_mask
        Which tokens the policy wrote: a dense (N, T) tensor, a jagged nested tensor with N rows,
        or a list or tuple of N 1-D masks (tensors, arrays or lists). An entry > 0 is a token and
        gets the value itself: the mask selects, it never scales.

    Returns
    -------
    float32 in the container, shape and on the device of `response_mask`, without gradient, exactly
    0 where the mask is 0. A jagged result has the mask's own ragged structure.

    Raises
    ------
    `ValueError` or `TypeError`, naming the argument, if the values are not (N,) finite numbers, the
    mask is none of the above, has another number of rows or an entry that is negative or NaN.
    Values and entries on a device are not looked at: a value that is not finite goes to its tokens
    as it is, and a mask with such an entry makes all tokens NaN. `RuntimeError` while a CUDA graph
    is captured.

    >>> to_tokens([0.5, -1.5], torch.tensor([[1, 1, 0], [0, 1, 1]]))
    tensor([[ 0.5000,  0.5000,  0.0000],
            [ 0.0000, -1.5000, -1.5000]])
    >>> to_tokens([0.5, -1.5], [torch.tensor([1, 0]), torch.tensor([1])])
    [tensor([0.5000, 0.0000]), tensor([-1.5000])]
    """
    given = values_of(step_values)
    masks = response_mask if isinstance(response_mask, list | tuple) else [response_mask]
    tensors = [x for x in (given, *masks) if isinstance(x, torch.Tensor)]
    refuse_capture("to_tokens", *(tensor.device for tensor in tensors))
    values = read_step_values(given)
    if isinstance(response_mask, list | tuple):
        _check_rows(len(values), len(response_mask))
        tokens = [
            _dense_tokens(value, _row_mask(row, mask), f"response_mask[{row}]")
            for row, (value, mask) in enumerate(zip(values, response_mask, strict=True))
        ]
        return tokens if isinstance(response_mask, list) else tuple(tokens)
    if not isinstance(response_mask, torch.Tensor):
        raise TypeError(f"response_mask is a {type(response_mask).__name__}; {_EXPECTED_MASK}")
    layout = torch.jagged if response_mask.is_nested else torch.strided
    if response_mask.layout != layout or response_mask.dim() != 2:
        raise ValueError(f"response_mask is {describe(response_mask)}; {_EXPECTED_MASK}")
    _check_rows(len(values), response_mask.shape[0])
    if response_mask.is_nested:
        return _jagged_tokens(values, response_mask)
    return _dense_tokens(values[:, None], response_mask, "response_mask")


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
    return torch.from_numpy(column(real_column, name, mask))


def _dense_tokens(
    values: torch.Tensor, mask: torch.Tensor, name: str, offsets: torch.Tensor | None = None
) -> torch.Tensor:
    mask = mask.detach()
    values = values.to(mask.device)
    is_token = weights(mask, torch.float32)
    nan = one_or_nan(mask_condition(name, mask, offsets, as_floats=is_token), values)
    if nan is not None:
        values = values * nan
    return select(values, is_token, out=is_token)


def _jagged_tokens(values: torch.Tensor, mask: Any) -> torch.Tensor:
    offsets, lengths, buffer = mask.offsets(), mask.lengths(), mask.values().detach()
    if len(values) == 0:
        spread = values.new_zeros(len(buffer))
    else:
        row = row_of_entry(offsets, len(buffer))
        spread = values.to(buffer.device)[row]
        if lengths is not None:  # a narrowed tensor has entries of no row around its rows
            place = torch.arange(len(buffer), device=buffer.device) - offsets[row]
            buffer = buffer.masked_fill((place < 0) | (place >= lengths[row]), 0)
    tokens: torch.Tensor = torch.nested.nested_tensor_from_jagged(
        _dense_tokens(spread, buffer, "response_mask", offsets), offsets, lengths
    )
    return tokens
