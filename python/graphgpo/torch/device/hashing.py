"""Stable keys of tensors: those of `graphgpo.state_keys`, bit for bit, where the tensor is.

`hash_bytes` and `hash_word` are the functions of the same names in the core's state_hash.cpp, in
int64 arithmetic that wraps. Hosts and devices are little-endian.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Word = TypeVar("Word", Tensor, int)

_LOW = 0xFFFFFFFF
_INTEGER, _REAL, _BOOLEAN, _ARRAY = 1, 2, 3, 10
"""Kinds of keys, as the core numbers them."""


# The words that the hash is mixed with.
_K0 = 0x243F6A8885A308D3
_K1 = 0x13198A2E03707344
_K2 = 0xA4093822299F31D0 - (1 << 64)
_K3 = 0x082EFA98EC4E6C89
_K4 = 0x452821E638D01377


def stable_keys(states: Tensor) -> Tensor:
    """(N,) int64 keys of the rows of an (N, ...) tensor of bools, ints or floats without NaN."""
    if states.dim() == 1:
        return _hash_word(*words(states))
    rows = canonical(states).contiguous()
    kind = np.dtype(str(states.dtype).removeprefix("torch.")).kind
    header = bytes([ord(kind), states.element_size(), states.dim() - 1])
    header += b"".join(size.to_bytes(8, "little") for size in states.shape[1:])
    seed = int(_hash_bytes(torch.tensor([list(header)], dtype=torch.uint8), _ARRAY))
    num_bytes = rows[0].numel() * rows.element_size() if len(rows) else 0
    return _hash_bytes(rows.reshape(-1).view(torch.uint8).reshape(len(rows), num_bytes), seed)


def words(states: Tensor) -> tuple[Tensor, int]:
    """A column of scalars, as words and the kind that tells 1, 1.0 and True apart."""
    if states.is_floating_point():
        return canonical(states.to(torch.float64)).view(torch.int64), _REAL
    return states.to(torch.int64), _BOOLEAN if states.dtype == torch.bool else _INTEGER


def canonical(values: Tensor) -> Tensor:
    """-0.0 as 0.0."""
    return values + 0.0 if values.is_floating_point() else values


def _shifted(values: Word, bits: int) -> Word:
    """A shift to the right that brings in zeros."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)


def _rotated(values: Tensor, bits: int) -> Tensor:
    return (values << bits) | _shifted(values, 64 - bits)


def _fold(a: Tensor, b: Word) -> Tensor:
    """a, b and both halves of their 128-bit product, xored."""
    a0, a1, b0, b1 = a & _LOW, _shifted(a, 32), b & _LOW, _shifted(b, 32)
    cross, other = a0 * b1, a1 * b0
    middle = _shifted(a0 * b0, 32) + (cross & _LOW) + (other & _LOW)
    high = a1 * b1 + _shifted(cross, 32) + _shifted(other, 32) + _shifted(middle, 32)
    return a ^ b ^ (a * b) ^ high


def _hash_word(values: Tensor, kind: int) -> Tensor:
    seeded = _fold(torch.tensor(kind ^ _K0), _K1) ^ _K4
    return _fold(_fold(values ^ _K2, _K3), int(seeded))


def _hash_bytes(data: Tensor, seed: int) -> Tensor:
    """Of every row of (N, size) bytes."""
    size = data.shape[1]
    start = _fold(torch.tensor(seed ^ _K0), size ^ _K1)
    state = torch.full((len(data),), int(start), dtype=torch.int64, device=data.device)

    def absorb(chain: Tensor, pair: Tensor) -> Tensor:
        return _fold(pair[:, 0] ^ chain, pair[:, 1] ^ _rotated(chain, 32))

    whole = data[:, : size // 16 * 16].clone(memory_format=torch.contiguous_format)  # aligned
    pairs = whole.reshape(-1).view(torch.int64).reshape(len(data), size // 16, 2)
    in_lanes = max(size - 1, 0) // 48 * 3
    lanes = [state, state ^ _K2, state ^ _K3]
    for at in range(0, in_lanes, 3):
        lanes = [absorb(lane, pairs[:, at + i]) for i, lane in enumerate(lanes)]
    if in_lanes:
        state = lanes[0] ^ _rotated(lanes[1], 21) ^ _rotated(lanes[2], 42)
    for at in range(in_lanes, (size - 1) // 16):
        state = absorb(state, pairs[:, at])
    last = data.new_zeros((len(data), 16))  # bytes, some of which may have been read before
    if size >= 4:
        begin = max(size - 16, 0)
        width = 8 if size >= 8 else 4
        last[:, :width] = data[:, begin : begin + width]
        last[:, 8 : 8 + width] = data[:, size - width :]
    elif size > 0:
        last[:, :3] = data[:, [0, size // 2, size - 1]]
    return _fold(absorb(state, last.view(torch.int64)), _K4 ^ size)
