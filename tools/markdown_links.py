"""Links and anchors of Markdown, for the tools beside this file. Needs no package."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

CODE = re.compile(
    r"^(?P<fence>`{3,}|~{3,}).*?^(?P=fence)\s*$|(?P<tick>`+)(?!`).+?(?P=tick)(?!`)", re.M | re.S
)
TARGETS = (
    re.compile(r"\]\(\s*<?(?P<target>[^()\s<>]+)>?(?:\s+\"[^\"]*\")?\s*\)"),  # [text](target)
    re.compile(r"^\[[^\]]+\]:\s+<?(?P<target>[^\s<>]+)", re.M),  # [name]: target
    re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=\"(?P<target>[^\"]+)\""),
)
HEADING = re.compile(r"^#{1,6}\s+(?P<title>.+?)\s*#*\s*$", re.M)
EXPLICIT = re.compile(r"\b(?:id|name)=\"(?P<id>[^\"]+)\"")


@dataclass(frozen=True)
class Link:
    """A target as it stands in the text, from `start` to `end`."""

    target: str
    line: int
    start: int
    end: int

    @property
    def is_relative(self) -> bool:
        return not re.match(r"[a-z][a-z0-9+.-]*:|//|#", self.target, re.I)


def links(text: str) -> Iterator[Link]:
    """Every link outside code, in the order of the text."""
    prose = CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text)
    found = [match for pattern in TARGETS for match in pattern.finditer(prose)]
    for match in sorted(found, key=lambda match: match.start("target")):
        start, end = match.span("target")
        yield Link(match["target"], text.count("\n", 0, start) + 1, start, end)


def anchors(text: str) -> set[str]:
    """What a link into this text may name after its `#`."""
    fenced = re.compile(r"^(`{3,}|~{3,}).*?^\1\s*$", re.M | re.S)
    prose = fenced.sub("", text)
    names = {match["id"] for match in EXPLICIT.finditer(prose)}
    seen: Counter[str] = Counter()
    for match in HEADING.finditer(prose):
        name = slug(match["title"])
        names.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return names


def slug(title: str) -> str:
    """The anchor of a heading, as code hosts make it and the site is told to."""
    words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title)
    return re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
