"""Which entries of a mask are tokens, as floats: a pass over bool and float takes four times as
long on a CPU as one over floats.
"""

from __future__ import annotations

import torch


def indicator(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """1.0 where the mask is not 0, else 0.0."""
    return weights(mask, dtype).ne_(0)


def weights(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A copy of the mask, > 0 where it is."""
    if torch.promote_types(mask.dtype, dtype) != dtype:
        mask = mask != 0  # a cast could turn a small entry into 0
    return mask.to(dtype, copy=True)


def select(values: torch.Tensor, weights: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """torch.where(weights > 0, values, 0.0): relu's gradient is just that."""
    torch.ops.aten.threshold_backward.grad_input(values, weights, 0, grad_input=out)
    return out
