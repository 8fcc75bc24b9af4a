"""An extension of mkdocstrings' Griffe: doctests in the prose of a docstring are shown as code."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

# From a prompt to the next empty line, as doctest reads it.
DOCTEST = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.M)


class FencedDoctests(Extension):
    """Puts ```pycon around them."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = DOCTEST.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
