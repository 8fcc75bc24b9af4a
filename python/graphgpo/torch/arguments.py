"""What the functions of this package ask of their arguments.

A condition on values is a 0-d bool tensor, `is_met`. Where its value is at hand (`is_readable`) an
unmet one raises; elsewhere nobody waits for it, and the caller makes NaN of what hangs on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from graphgpo.ingest import plain_column, real_column

Column: TypeAlias = ArrayLike | torch.Tensor
ScalarT = TypeVar("ScalarT", np.float64, np.int64)

_NEVER_NEGATIVE = (torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64)


def is_on_device(values: object) -> bool:
    """Whether these are values that the host would have to wait for."""
    return isinstance(values, torch.Tensor) and values.device.type != "cpu"


def is_readable(tensor: torch.Tensor) -> bool:
    """Whether a value can be looked at at once: in host memory, and no call that is traced."""
    return tensor.device.type == "cpu" and not is_traced(tensor)


def is_traced(tensor: torch.Tensor) -> bool:
    """Whether something else than eager torch may look into what is computed from it."""
    return (
        type(tensor) not in (torch.Tensor, torch.nn.Parameter)
        or torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
    )


def require(is_met: torch.Tensor, error: Callable[[], Exception]) -> list[torch.Tensor]:
    """Of a condition: nothing if it can be read, or `error()` raised; else the condition."""
    if not is_readable(is_met):
        return [is_met]
    if not is_met:
        raise error()
    return []


def one_or_nan(conditions: list[torch.Tensor], like: torch.Tensor) -> torch.Tensor | None:
    """0-d: 1, or NaN if a condition that could not be read is unmet; None if all were read."""
    if not conditions:
        return None
    return torch.where(torch.stack(conditions).all(), like.new_ones(()), torch.nan)


def refuse_capture(function: str, *devices: torch.device) -> None:
    """During the capture of a CUDA graph: an error, while the capture can still go on."""
    if all(device.type != "cuda" for device in devices) or torch.compiler.is_compiling():
        return
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            f"{function} was called while a CUDA graph is captured; expected a call outside of the "
            "capture, which may then read the tensors it returned"
        )


def mask_condition(
    name: str,
    mask: torch.Tensor,
    offsets: torch.Tensor | None = None,
    *,
    as_floats: torch.Tensor | None = None,
) -> list[torch.Tensor]:
    """No entry of the mask is negative or NaN: -100 of a label is no token.

    `offsets`: where the rows start, if the mask is the buffer of a jagged one. `as_floats`: a copy,
    which is read in half the time if the mask holds int64.
    """
    if mask.layout not in (torch.strided, torch.jagged):
        raise TypeError(f"{name} is a tensor of layout {mask.layout}; expected a dense one")
    if mask.is_complex():
        raise TypeError(f"{name} has dtype {mask.dtype}; expected bools or real numbers")
    if mask.dtype in _NEVER_NEGATIVE or mask.numel() == 0:
        return []
    if mask.is_floating_point() and mask.itemsize == 1:
        mask = mask.float()  # torch does not order floats of 8 bits
    read = mask if as_floats is None or mask.is_floating_point() else as_floats
    least = read.min()
    if is_readable(least) and least.item() >= 0:  # without a tensor more for the usual case
        return []
    return require(least >= 0, lambda: _mask_error(name, mask, offsets))


def _mask_error(name: str, mask: torch.Tensor, offsets: torch.Tensor | None) -> ValueError:
    place = (~(mask >= 0)).nonzero()[0]
    entry = mask[tuple(place)].item()
    index = ", ".join(map(str, place.tolist()))
    if offsets is not None:
        row = int(torch.searchsorted(offsets, place, right=True)) - 1
        index = f"{row}][{int(place - offsets[row])}"
    hint = f"; the mask of labels is `labels != {entry:g}`" if entry == entry else ""
    return ValueError(
        f"{name}[{index}] is {entry:g}; expected a number > 0 where the policy wrote a token and 0 "
        f"elsewhere{hint}"
    )


def read_step_values(values: Any) -> torch.Tensor:
    """(N,) float32 without gradient, where they are; those in host memory are finite."""
    values = values_of(values)
    if is_on_device(values):
        if values.dim() != 1:
            raise ValueError(
                f"step_values has shape {tuple(values.shape)}; expected (N,), one value per step"
            )
        if values.is_complex():
            raise TypeError(f"step_values has dtype {values.dtype}; expected numbers")
        numbers: torch.Tensor = values.detach().to(torch.float32)
        return numbers
    given = column(real_column, "step_values", values)
    with np.errstate(over="ignore"):  # reported below
        narrow = given.astype(np.float32)
    for step in np.flatnonzero(~np.isfinite(narrow))[:1]:
        raise ValueError(
            f"step_values[{step}] is {given[step]}; expected a number finite in float32"
        )
    return torch.from_numpy(narrow)


def values_of(result: Any) -> Any:
    """The `advantages` of a result, on whatever device they are; anything else as it is."""
    if isinstance(result, torch.Tensor | np.ndarray | list | tuple):
        return result
    return getattr(result, "advantages", result)


def column(
    read: Callable[[str, Any, None], NDArray[ScalarT]], name: str, values: object
) -> NDArray[ScalarT]:
    """A column in host memory, or brought there, as NumPy reads it."""
    if values is None:
        raise TypeError(f"{name} is None; expected a column, one value per step")
    if isinstance(values, torch.Tensor):
        values = values.cpu()
    return read(name, plain_column(name, values, exact=False), None)


def describe(tensor: torch.Tensor) -> str:
    if tensor.is_nested or tensor.layout != torch.strided:
        nested = "nested " if tensor.is_nested else ""
        return f"a {nested}{tensor.dim()}-D tensor with layout={tensor.layout}"
    return f"a tensor of shape {tuple(tensor.shape)}"
