"""What a device does not do, by name."""

from __future__ import annotations


def unknown_block(kind: str, block: object) -> TypeError:
    """Of a plan that has a block the device has no function for."""
    return TypeError(
        f"the device knows no {kind} {type(block).__name__}; expected one of graphgpo.blocks (a "
        "score or potential of your own: graphgpo.blocks.Given)"
    )
