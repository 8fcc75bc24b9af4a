"""Powers and logarithms of float64, of rounded sums, products and quotients alone.

A library's own differ in the last bit between devices, and on one CPU between a vector's lanes and
its tail: then equal scores would no longer be equal. These depend on the value only. Their relative
error is below 1e-15 for results that are no tiny power (below 1e-13 for any).
"""

from __future__ import annotations

import math
from decimal import Context, Decimal

import torch
from torch import Tensor

from graphgpo.torch.device.segments import power_of_two

_LN2 = math.log(2)


def power(base: float, exponent: Tensor) -> Tensor:
    """Base ** exponent for 0 <= base, as Python computes it, but for the last bit."""
    if base == 0:
        return (exponent == 0).to(torch.float64)
    high, low = _log2_in_two(base)
    product = exponent * high  # exact for whole exponents below 2**27
    whole = product.round().clamp(-2000, 2000)
    return _scaled_exp(whole, ((product - whole) + exponent * low) * _LN2)


def powers(base: Tensor, exponent: float) -> Tensor:
    """Base ** exponent for 0 <= base, elementwise."""
    found = exp(log(base) * exponent) if exponent else torch.ones_like(base)
    return torch.where((base == 1) | (base == 0) & (exponent > 0), base, found)


def exp(values: Tensor) -> Tensor:
    """E ** value."""
    whole = (values / _LN2).round().clamp(-2000, 2000)
    return _scaled_exp(whole, values - whole * _LN2)


def log(values: Tensor) -> Tensor:
    """The natural logarithm of normal numbers > 0."""
    bits = values.view(torch.int64)
    exponent = ((bits >> 52) & 0x7FF) - 1023
    mantissa = ((bits & ((1 << 52) - 1)) | (1023 << 52)).view(torch.float64)  # in [1, 2)
    is_high = mantissa > math.sqrt(2)
    mantissa = torch.where(is_high, mantissa / 2, mantissa)
    exponent = (exponent + is_high).to(torch.float64)
    s = (mantissa - 1) / (mantissa + 1)
    atanh = _series([1 / odd for odd in range(25, 0, -2)], s * s)
    return exponent * _LN2 + 2 * s * atanh


def tanh(values: Tensor) -> Tensor:
    """The hyperbolic tangent, to 1e-15 absolute."""
    return 1 - 2 / (exp(2 * values) + 1)


def logistic(values: Tensor) -> Tensor:
    """1 / (1 + e ** -value)."""
    return 1 / (1 + exp(-values))


def _scaled_exp(whole: Tensor, rest: Tensor) -> Tensor:
    """2 ** whole * e ** rest for abs(rest) <= 0.35: a Taylor series; twice the scale, for tiny
    results.
    """
    series = _series([1 / math.factorial(degree) for degree in range(13, -1, -1)], rest)
    exponent = whole.to(torch.int64)
    half = exponent >> 1
    return series * power_of_two(half) * power_of_two(exponent - half)


def _series(coefficients: list[float], x: Tensor) -> Tensor:
    """The polynomial, its highest coefficient first."""
    total = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


def _log2_in_two(base: float) -> tuple[float, float]:
    """log2(base) as a sum: 26 bits, so that products with whole numbers are exact, and the rest."""
    context = Context(prec=50)
    exact = context.divide(context.ln(Decimal(base)), context.ln(Decimal(2)))
    mantissa, exponent = math.frexp(float(exact))
    high = math.ldexp(round(math.ldexp(mantissa, 26)), exponent - 26)
    return high, float(context.subtract(exact, Decimal(high)))
