"""An extension of mkdocstrings' Griffe: how docstrings are written here, in its terms."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from griffe import Extension, Function, Object

HEADING = re.compile(r"^\w[\w ]*\n-{3,}$", re.M)
# From a prompt to the next empty line, as doctest reads it.
DOCTEST = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.M)
# A section and its first paragraph.
SECTION = re.compile(r"^(?P<title>Returns|Raises)\n-+\n(?P<body>(?:.+\n?)+)", re.M)


class Docstrings(Extension):
    """Sections of prose get their types, doctests a section or a fence."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is None:
            return
        returned = str(obj.returns) if isinstance(obj, Function) else ""
        text = SECTION.sub(lambda section: with_types(section, returned), obj.docstring.value)
        first = HEADING.search(text)
        start = first.start() if first else len(text)
        obj.docstring.value = fenced(text[:start]) + with_examples(text[start:])


def with_types(section: re.Match[str], returned: str) -> str:
    """A section without any indented line has no types, which NumPy's style puts first."""
    title, body = section["title"], section["body"]
    if re.search(r"^\s", body, re.M):
        return section[0]
    errors = ", ".join(re.findall(r"`(\w+(?:Error|Interrupt))`", body))
    types = returned if title == "Returns" else errors
    return f"{title}\n{'-' * len(title)}\n{types or 'Any'}\n{textwrap.indent(body, '    ')}"


def fenced(prose: str) -> str:
    return DOCTEST.sub(r"```pycon\n\g<0>\n```", prose)


def with_examples(sections: str) -> str:
    """A doctest after the last section is not part of that section."""
    if re.search(r"^Examples\n-+$", sections, re.M):
        return sections
    return DOCTEST.sub(r"Examples\n--------\n\g<0>", sections, count=1)
