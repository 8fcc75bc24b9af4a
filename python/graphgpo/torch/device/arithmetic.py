"""Powers and logarithms of float64, of rounded sums, products and quotients alone.

A library's own differ in the last bit between devices, and on one CPU between a vector's lanes and
its tail: then equal scores would no longer be equal. These depend on the value only. Their relative
error is below 2e-15 for powers from 1/1000 to 1000 (below 1e-13 for any).
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from graphgpo.torch.device.segments import power_of_two

_LN2 = math.log(2)


def power(base: Tensor | float, exponent: Tensor | float) -> Tensor:
    """Base ** exponent for 0 <= base, elementwise."""
    base, exponent = (torch.as_tensor(x, dtype=torch.float64) for x in (base, exponent))
    return torch.where((base == 0) & (exponent != 0), 0.0, exp(log(base) * exponent))


def exp(values: Tensor) -> Tensor:
    """E ** value: a Taylor series, scaled twice, for tiny results."""
    whole = (values / _LN2).round().clamp(-2000, 2000)
    coefficients = [1 / math.factorial(degree) for degree in range(13, -1, -1)]
    exponent = whole.to(torch.int64)
    half = exponent >> 1
    series = _series(coefficients, values - whole * _LN2)
    return series * power_of_two(half) * power_of_two(exponent - half)


def log(values: Tensor) -> Tensor:
    """The natural logarithm of normal numbers > 0; NaN of NaN."""
    mantissa, exponent = torch.frexp(values)  # in [1/2, 1)
    is_low = mantissa < math.sqrt(0.5)
    mantissa = torch.where(is_low, 2 * mantissa, mantissa)
    s = (mantissa - 1) / (mantissa + 1)
    atanh = _series([1 / odd for odd in range(25, 0, -2)], s * s)
    return (exponent - is_low.to(exponent.dtype)).to(torch.float64) * _LN2 + 2 * s * atanh


def logistic(values: Tensor) -> Tensor:
    """1 / (1 + e ** -value)."""
    return 1 / (1 + exp(-values))


def _series(coefficients: list[float], x: Tensor) -> Tensor:
    """The polynomial, its highest coefficient first."""
    return functools.reduce(lambda total, c: total * x + c, coefficients, torch.zeros_like(x))
