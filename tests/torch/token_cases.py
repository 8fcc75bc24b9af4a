"""What the tests of tokens share: the loss transcribed, random batches, their layouts."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

REDUCTIONS = ["token_mean", "sequence_mean", "sequence_sum_mean", "group_mean"]


GROUPS = [0, 1, 0, 1]  # of the rows of `random_tokens`


def transcribed_loss(
    log_probs: torch.Tensor,
    old: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    ref: torch.Tensor | None = None,
    kl_coef: float = 0.01,
    ratio: str = "token",
    reduction: str = "token_mean",
    group_ids: list[Any] | None = None,
) -> torch.Tensor:
    """The formula, token by token, and nothing else."""
    rows, groups = [], []
    for b in range(log_probs.shape[0]):
        tokens = []
        of_row = mask[b].bool()
        for t in range(log_probs.shape[1]):
            if not mask[b, t]:
                continue
            log_ratio = log_probs[b, t] - old[b, t]
            if ratio == "sequence":  # GSPO-token: the row's ratio, the token's gradient
                mean = (log_probs[b] - old[b])[of_row].mean().detach()
                log_ratio = mean + log_probs[b, t] - log_probs[b, t].detach()
            r = torch.exp(torch.clamp(log_ratio, -20, 20))
            a = advantages[b, t]
            loss = torch.maximum(-a * r, -a * torch.clamp(r, 1 - clip_low, 1 + clip_high))
            if dual_clip is not None and a < 0:
                loss = torch.minimum(loss, -a * dual_clip)
            if ref is not None:
                x = torch.clamp(ref[b, t] - log_probs[b, t], -20, 20)
                loss = loss + kl_coef * (torch.exp(x) - 1 - x)
            tokens.append(loss)
        if tokens:
            rows.append(torch.stack(tokens))
            groups.append(group_ids[b] if group_ids else None)
    if not rows:
        return log_probs.sum() * 0
    if reduction == "token_mean":
        return torch.cat(rows).mean()
    if reduction == "sequence_mean":
        return torch.stack([row.mean() for row in rows]).mean()
    if reduction == "sequence_sum_mean":
        return torch.stack([row.sum() for row in rows]).mean()
    of_group = [
        torch.cat([row for row, group in zip(rows, groups, strict=True) if group == one]).mean()
        for one in dict.fromkeys(groups)
    ]
    return torch.stack(of_group).mean()


def reduced(reduction: str) -> Any:
    """What a call with four rows needs for this reduction."""
    return {
        "reduction": reduction,
        **({"group_ids": GROUPS} if reduction == "group_mean" else {}),
    }


def random_tokens(seed: int, rows: int = 4, width: int = 5) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal() -> torch.Tensor:
        return torch.randn(rows, width, generator=generator, dtype=torch.float64)

    mask = torch.rand(rows, width, generator=generator) < 0.6
    mask[seed % rows] = False  # a row without tokens
    log_probs = normal()
    return {
        "log_probs": log_probs,
        "old": log_probs + 0.4 * normal(),
        "advantages": normal(),
        "mask": mask,
        "ref": log_probs + normal(),
    }


def untyped(function: Any) -> Any:
    """To be called with stars among the arguments, which no type checker can follow."""
    return function


def arguments_of(t: dict[str, torch.Tensor]) -> Any:
    return t["old"], t["advantages"], t["mask"]


EVERY_OPTION: Any = {"clip_low": 0.1, "clip_high": 0.3, "dual_clip": 1.5, "kl_coef": 0.05}


class Allocated(TorchDispatchMode):
    """The most bytes that tensors made by operations held at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.living: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {x.untyped_storage().data_ptr() for x in tensors_in((args, kwargs))}
        returned = func(*args, **(kwargs or {}))
        for storage in (x.untyped_storage() for x in tensors_in(returned)):
            place = storage.data_ptr()
            if place and place not in given and place not in self.living:
                self.living[place] = storage.nbytes()
                weakref.finalize(storage, self.living.pop, place)
        self.peak = max(self.peak, sum(self.living.values()))
        return returned


def tensors_in(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def jagged(padded: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    rows = [row[:length] for row, length in zip(padded, lengths, strict=True)]
    return torch.nested.nested_tensor_from_jagged(torch.cat(rows), cu_seqlens(lengths))


def packed(padded: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    return torch.cat([row[:length] for row, length in zip(padded, lengths, strict=True)])


def cu_seqlens(lengths: list[int], dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).to(dtype)
