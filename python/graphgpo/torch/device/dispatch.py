"""What a device does for a block: a table of functions by the class of the block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from graphgpo.torch.device.rollouts import Rollouts

Found = TypeVar("Found")


class PerBlock(Generic[Found]):
    """Functions of a block and what it is applied to. Any other block is refused by name."""

    def __init__(self, kind: str, functions: Mapping[type, Callable[[Any, Any], Found]]) -> None:
        self._kind = kind
        self._functions = functions

    def __call__(self, block: Any, applied_to: Any) -> Found:
        for known in type(block).__mro__:
            if known in self._functions:
                return self._functions[known](block, applied_to)
        raise TypeError(
            f"the device knows no {self._kind} {type(block).__name__}; expected one of "
            "graphgpo.blocks (a score or potential of your own: graphgpo.blocks.Given)"
        )


class OncePerBlock(PerBlock[Found]):
    """Functions of a block and rollouts, applied once a batch."""

    def __call__(self, block: Any, rollouts: Rollouts) -> Found:
        return rollouts.once(super().__call__, block)
