"""What the tests of devices share."""

from __future__ import annotations

import torch

BOARDS = torch.tensor([[[0, 1], [1, 0]], [[1, 1], [1, 0]], [[0, 1], [1, 0]], [[2, 1], [1, 0]]])
"""States of a grid, two of them equal."""

DTYPES = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
DTYPES += [torch.float16, torch.float32, torch.float64]
"""What states may be of."""
