"""What a loss of rows is divided by, here or over all micro-batches of an optimiser step."""

from __future__ import annotations

import math
import numbers
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import torch
from numpy.typing import NDArray

from graphgpo.torch.arguments import describe, require
from graphgpo.torch.objective import Sums

Reduction = Literal["token_mean", "sequence_mean", "sequence_sum_mean", "group_mean"]
# Not where it is used: older versions of torch.compile cannot look into `get_args`.
REDUCTIONS: tuple[str, ...] = get_args(Reduction)

Count: TypeAlias = float | torch.Tensor
GroupIds: TypeAlias = torch.Tensor | NDArray[Any] | Sequence[Any]

_TAKES = {
    "token_mean": ("num_tokens",),
    "sequence_mean": ("num_sequences",),
    "sequence_sum_mean": ("num_sequences",),
    "group_mean": ("group_ids", "num_groups", "num_tokens"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Normaliser:
    """How often a reduction counts what, over the whole optimiser step; None: in this call."""

    num_tokens: Count | None
    num_sequences: Count | None
    num_groups: Count | None
    group_ids: GroupIds | None

    def check(self, reduction: Reduction) -> None:
        for name in self.__slots__:
            if getattr(self, name) is not None and name not in _TAKES[reduction]:
                raise ValueError(
                    f"{name} was given but reduction is {reduction!r}, which takes "
                    f"{' and '.join(_TAKES[reduction])}"
                )
        if reduction != "group_mean":
            return
        if self.group_ids is None and (self.num_tokens is None or self.num_groups is None):
            raise ValueError(
                "reduction is 'group_mean' without group_ids; expected the group of every row, or "
                "num_tokens (those of each row's group) and num_groups"
            )
        if self.group_ids is not None and self.num_tokens is not None:
            raise ValueError(
                "group_ids and num_tokens were both given; expected one of them: num_tokens says "
                "what the groups of this call would be counted for"
            )

    def conditions(
        self, reduction: Reduction, num_rows: int, device: torch.device
    ) -> list[torch.Tensor]:
        """Counts are finite and not negative; `num_tokens` of groups is one for each row."""
        found: list[torch.Tensor] = []
        for name in ("num_tokens", "num_sequences", "num_groups"):
            count = getattr(self, name)
            size = (num_rows,) if name == "num_tokens" and reduction == "group_mean" else ()
            if isinstance(count, torch.Tensor):
                _check_count_tensor(name, count, size, device)
                found += _count_condition(name, count)
            elif count is not None:
                _check_count(name, count, size)
        return found

    def reduce(self, sums: Sums, reduction: Reduction) -> torch.Tensor:
        losses, num_tokens = sums.losses, sums.num_tokens
        if reduction == "token_mean":
            return _over(losses.sum(), self.num_tokens, num_tokens.sum())
        if reduction == "group_mean":
            of_group, num_groups = self._groups(num_tokens)
            losses = losses / torch.where(num_tokens == 0, 1.0, of_group)
            return _over(losses.sum(), self.num_groups, num_groups)
        if reduction == "sequence_mean":
            losses = losses / num_tokens.clamp(min=1)
        return _over(losses.sum(), self.num_sequences, (num_tokens > 0).sum())

    def _groups(self, num_tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B,) tokens of each row's group, and how many groups of this call have any."""
        if isinstance(self.num_tokens, torch.Tensor):
            return self.num_tokens.detach().to(num_tokens.dtype), (num_tokens > 0).sum()
        group = _numbered(self.group_ids, len(num_tokens), num_tokens.device)
        of_group = torch.zeros_like(num_tokens).index_add(0, group, num_tokens)
        return of_group[group], (of_group > 0).sum()


def _over(total: torch.Tensor, given: Count | None, own: torch.Tensor) -> torch.Tensor:
    """`total` divided by the count given, or else by that of this call; 0 if that is 0."""
    if given is None:
        return total / own.clamp(min=1)
    if isinstance(given, torch.Tensor):
        count = given.detach().to(total.dtype)
    else:
        count = total.detach().new_full((), float(given))  # an int may be more than torch takes
    return total / torch.where(own == 0, 1.0, count)


def _check_count(name: str, count: Any, size: tuple[int, ...]) -> None:
    if size:
        raise TypeError(
            f"{name} is a {type(count).__name__}; expected a {size} tensor with reduction "
            "'group_mean': how many tokens the group of each row has"
        )
    expected = "expected a finite number >= 0, or a 0-d tensor of one"
    if isinstance(count, bool) or not isinstance(count, numbers.Real):
        raise TypeError(f"{name} is {count!r} ({type(count).__name__}); {expected}")
    try:
        number = float(count)
    except OverflowError:  # an int may be more than a float holds
        number = math.inf
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} is {count!r}; {expected}")


def _check_count_tensor(
    name: str, count: torch.Tensor, size: tuple[int, ...], device: torch.device
) -> None:
    if count.dtype == torch.bool or count.is_complex():
        raise TypeError(f"{name} has dtype {count.dtype}; expected a number")
    if tuple(count.shape) != size:
        raise ValueError(f"{name} is {describe(count)}; expected one of shape {size}")
    if count.device != device:
        raise ValueError(f"{name} is on {count.device}; expected {device}, the device of log_probs")


def _count_condition(name: str, count: torch.Tensor) -> list[torch.Tensor]:
    def error() -> ValueError:
        if count.dim() == 0:
            return ValueError(f"{name} is {count.item():g}; expected a finite number >= 0")
        row = int((~is_count).nonzero()[0])
        return ValueError(f"{name}[{row}] is {count[row].item():g}; expected a finite number >= 0")

    is_count = (count >= 0) & (count < math.inf)
    return require(is_count.all(), error)


def _numbered(group_ids: Any, num_rows: int, device: torch.device) -> torch.Tensor:
    """(B,) int64 in 0..B-1, equal where the ids are."""
    if isinstance(group_ids, torch.Tensor):
        if group_ids.is_floating_point() or group_ids.is_complex():
            raise TypeError(f"group_ids has dtype {group_ids.dtype}; expected integers")
        if tuple(group_ids.shape) != (num_rows,):
            raise ValueError(
                f"group_ids is {describe(group_ids)}; expected one of shape ({num_rows},), a group "
                "for each row"
            )
        if group_ids.device != device:
            raise ValueError(
                f"group_ids is on {group_ids.device}; expected {device}, the device of log_probs"
            )
        ordered, order = group_ids.sort(stable=True)
        is_new = (ordered.diff() != 0).to(torch.int64)
        rank = torch.nn.functional.pad(is_new, (1, 0))[: len(order)].cumsum(0)
        return torch.zeros_like(order).scatter(0, order, rank)
    if not hasattr(group_ids, "__iter__"):
        raise TypeError(f"group_ids is a {type(group_ids).__name__}; expected a group for each row")
    ids = list(group_ids)
    if len(ids) != num_rows:
        raise ValueError(f"group_ids has {len(ids)} entries; expected {num_rows}, one for each row")
    for row, one in enumerate(ids):
        if not isinstance(one, Hashable):
            raise TypeError(
                f"group_ids[{row}] is {one!r} ({type(one).__name__}), which has no hash; expected "
                "the id of a group"
            )
        if one is None or one != one:
            raise ValueError(f"group_ids[{row}] is {one!r}; expected the id of a group")
        if isinstance(one, str) != isinstance(ids[0], str):
            raise TypeError(
                f"group_ids[{row}] is {one!r} ({type(one).__name__}) but group_ids[0] is "
                f"{ids[0]!r} ({type(ids[0]).__name__}); expected ids of one kind"
            )
    number_of_id: dict[Any, int] = {}
    ranks = [number_of_id.setdefault(one, len(number_of_id)) for one in ids]
    return torch.tensor(ranks, dtype=torch.int64, device=device)
