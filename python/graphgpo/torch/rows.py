"""Where the rows of a batch of tokens are: side by side and padded, or one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


class Rows(Protocol):
    """Sums over the tokens of a row, and values of rows on their tokens."""

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """(B,) of values of tokens."""

    def spread(self, row_values: torch.Tensor) -> torch.Tensor:
        """(B,) in a shape that broadcasts to the tokens'."""


@dataclass(frozen=True, slots=True)
class PaddedRows:
    """Tokens are (B, T)."""

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        return values.sum(-1)

    def spread(self, row_values: torch.Tensor) -> torch.Tensor:
        return row_values[:, None]


@dataclass(frozen=True, slots=True)
class FlatRows:
    """Tokens are (sum of lengths,), row after row."""

    row_of_token: torch.Tensor
    num_rows: int

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        return values.new_zeros(self.num_rows).index_add(0, self.row_of_token, values)

    def spread(self, row_values: torch.Tensor) -> torch.Tensor:
        return row_values.index_select(0, self.row_of_token)


def row_of_entry(offsets: torch.Tensor, num_entries: int) -> torch.Tensor:
    """(num_entries,) int64 in 0..B-1, for (B + 1,) offsets.

    Inside that range whatever the offsets hold, in O(num_entries) and without waiting for a device,
    as neither searchsorted nor repeat_interleave would be.
    """
    starts = torch.zeros(num_entries + 1, dtype=torch.int64, device=offsets.device)
    inner = offsets[1:-1].clamp(0, num_entries).to(torch.int64)
    return starts.index_add(0, inner, torch.ones_like(inner)).cumsum(0)[:-1]
