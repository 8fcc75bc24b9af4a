"""Short names for states, which may be whole pages: what tells them apart, in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST_TEXT = 4_000
"""Characters of a state that are shown; the rest is counted."""

_CONTROL = dict.fromkeys((*range(32), 127, *range(128, 160)), " ")
_BIDI = dict.fromkeys((0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))


def as_text(value: Any) -> str:
    """A value of the caller's as text: text as it is, bytes decoded, the rest as Python writes it.

    >>> as_text(b"hall"), as_text(("hall", 2))
    ('hall', "('hall', 2)")
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if hasattr(value, "tolist"):  # NumPy's own numbers and arrays
        value = value.tolist()
    return value if isinstance(value, str) else repr(value)


def texts(argument: str, given: Any) -> list[str]:
    """A list of texts that a caller gives, as one."""
    is_several = isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping))
    found = list(given) if is_several else [given]
    for one in found:
        if not is_several or not isinstance(one, str):
            raise TypeError(
                f"{argument} {'hold' if is_several else 'is'} a {type(one).__name__}; expected a "
                "list of texts"
            )
    return found


def shortened(text: str, most: int) -> str:
    r"""The text on one line, of `most` characters at most, nothing in it that turns others around.

    >>> shortened("You are in the\n hall of mirrors.", 16)
    'You are in the…'
    """
    line = " ".join(text.translate(_CONTROL).translate(_BIDI).split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def names(texts: Sequence[str], most: int = 18) -> list[str]:
    """A name for every text: its first words, without those that all begin with.

    Texts that words do not tell apart, such as boards, are numbered; of equal names all but the
    first have a number.

    >>> names(["You are in the hall.", "You are in the kitchen.", "You are in the kitchen. Dark."])
    ['hall.', 'kitchen.', 'kitchen. Dark.']
    >>> names(["##_@", "##@_"]), names(["a door", "a door"])
    (['state 1', 'state 2'], ['a door', 'a door (2)'])
    """
    lines = [shortened(text, 400) for text in texts]
    distinct = set(lines)
    if sum(map(_is_speech, distinct)) < len(distinct) / 2:
        return [f"state {i}" for i in range(1, len(texts) + 1)]
    common = common_beginning(distinct) if len(distinct) > 1 else ""
    begin = common.rfind(" ") + 1
    seen: dict[str, int] = {}
    found = []
    for line in lines:
        name = shortened(line[begin:] or line, most)
        seen[name] = seen.get(name, 0) + 1
        suffix = f" ({seen[name]})" if seen[name] > 1 else ""
        found.append(shortened(name, most - len(suffix)) + suffix)
    return found


def common_beginning(lines: set[str]) -> str:
    """What all of them begin with."""
    first, last = min(lines), max(lines)  # whatever these share, all between them share
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    return first[:length]


def are_telling(short: Sequence[str]) -> bool:
    """Whether names are more than numbers."""
    return not any(re.fullmatch(r"state \d+", name) for name in short)


def _is_speech(line: str) -> bool:
    """Whether most of it is words."""
    return sum(c.isalnum() or c.isspace() for c in line) > 0.7 * len(line)
