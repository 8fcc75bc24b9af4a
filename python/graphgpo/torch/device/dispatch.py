"""What a device does for a block: a function for every class of blocks."""

from __future__ import annotations

import functools
from typing import Any, Generic, TypeVar

Found = TypeVar("Found")


class PerBlock(Generic[Found]):
    """Functions of a block and what it is applied to, registered by the class of the block.

    Each is called once: what it finds is `known` from then on to what the block was applied to, for
    other estimators on the same batch too. Any other block is refused by name.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._functions = functools.singledispatch(self._refuse)
        self.register = self._functions.register

    def __call__(self, block: Any, applied_to: Any) -> Found:
        key = (self, block)
        if key not in applied_to.known:
            applied_to.known[key] = self._functions(block, applied_to)
        found: Found = applied_to.known[key]
        return found

    def _refuse(self, block: object, applied_to: Any) -> Found:
        raise TypeError(
            f"the device knows no {self._kind} {type(block).__name__}; expected one of "
            "graphgpo.blocks (a score or potential of your own: graphgpo.blocks.Given)"
        )
