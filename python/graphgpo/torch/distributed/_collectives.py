"""The process group, as far as it is needed: tensors of integers, and short texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed as dist

MAX_TEXT = 1 << 16
"""Bytes of the text a rank sends after a failure."""


class Ranks:
    """The ranks of a group, this one among them."""

    def __init__(self, process_group: dist.ProcessGroup | None) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise RuntimeError(
                "torch.distributed is not initialised; call torch.distributed.init_process_group "
                "first, or graphgpo.compute_advantages where one process holds all rows"
            )
        self.group = process_group
        self.rank = dist.get_rank(process_group)
        if self.rank < 0:
            raise ValueError("process_group does not contain this process; expected one that does")
        self.size = dist.get_world_size(process_group)
        self.device = device_of(dist.get_backend_config(process_group))

    def gather(self, array: NDArray[Any]) -> NDArray[Any]:
        """(ranks, ...) of an array that has the same dtype and shape on every rank."""
        own = torch.from_numpy(array).to(self.device)
        gathered = own.new_empty((self.size, *own.shape))
        dist.all_gather(list(gathered.unbind()), own, group=self.group)
        return gathered.cpu().numpy()

    def gather_texts(self, text: str) -> list[str]:
        """The text of every rank, of at most MAX_TEXT bytes each; nothing of it is executed."""
        encoded = text.encode("utf-8", "backslashreplace")
        if len(encoded) > MAX_TEXT:
            raise ValueError(f"a text of {len(encoded)} bytes; expected at most {MAX_TEXT}")
        padded = np.zeros(MAX_TEXT, dtype=np.uint8)
        padded[: len(encoded)] = np.frombuffer(encoded, dtype=np.uint8)
        texts = self.gather(padded)
        return [row.tobytes().rstrip(b"\0").decode("utf-8", "replace") for row in texts]


def device_of(backend_config: str) -> torch.device:
    """Where the tensors of a group must be: the CPU if it can, as "cpu:gloo,cuda:nccl" does."""
    devices = [backend.partition(":")[0] for backend in backend_config.split(",")]
    return torch.device("cpu" if "cpu" in devices else devices[0])
