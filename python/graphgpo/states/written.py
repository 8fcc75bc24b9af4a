"""Switches of a normaliser as one writes them."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any

from graphgpo.states.normaliser import Normaliser


def written(switch: dict[str, Any]) -> str:
    r"""A dict of switches as one writes it, expressions raw.

    >>> print(written({"timestamps": True, "ignore": (r"step \d+",)}))
    {'timestamps': True, 'ignore': [r'step \d+']}
    """
    parts = []
    for name, value in switch.items():
        if isinstance(value, (tuple, list)):
            patterns = [expression_of(one) for one in value]
            raw = [repr(one) if "'" in one else f"r'{one}'" for one in patterns]
            parts.append(f"{name!r}: [{', '.join(raw)}]")
        else:
            parts.append(f"{name!r}: {value!r}")
    return "{" + ", ".join(parts) + "}"


def expression_of(given: str | re.Pattern[str]) -> str:
    r"""A regular expression as text, its flags in it.

    >>> print(expression_of(re.compile(r"page \d+", re.IGNORECASE)))
    (?i:page \d+)
    """
    if isinstance(given, str):
        return given
    flags = "".join(letter for letter in "imsx" if given.flags & getattr(re, letter.upper()))
    return f"(?{flags}:{given.pattern})" if flags else given.pattern


def switched_on(switch: dict[str, Any], normaliser: Normaliser | None) -> dict[str, Any]:
    """The switches that add `switch` to a normaliser: what is on stays on."""
    if normaliser is None:
        return dict(switch)
    ignore = (*normaliser.ignore, *switch.get("ignore", ()))
    return different_switches(replace(normaliser, **{**switch, "ignore": ignore}))


def different_switches(normaliser: Normaliser) -> dict[str, Any]:
    """Those that are not as in the default one."""
    default = Normaliser()
    return {
        each.name: value
        for each in fields(Normaliser)
        if (value := getattr(normaliser, each.name)) != getattr(default, each.name)
    }
