"""What each class of noise matches, as regular expressions.

The core's scanner (`cpp/graphgpo/states/normaliser.cpp`) means exactly this; here it can be read,
and tests hold the two together. All characters are ASCII: a digit of another script is no digit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

START = r"(?<![0-9A-Za-z])"
END = r"(?![0-9A-Za-z])"
TIME_END = r"(?!:?[0-9A-Za-z])"  # nor do seconds stand before further ones

_HOUR, _SIXTY = r"(?:[01][0-9]|2[0-3])", r"[0-5][0-9]"
_FRACTION = r"(?:[.,][0-9]{1,9})?"
_SECONDS = rf":{_SIXTY}{_FRACTION}"
_ZONE = r"(?:Z| UTC| GMT| ?[+-][0-9]{2}:?[0-9]{2})?"
_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12][0-9]|3[01])"
_MONTH_NAME = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY_NAME = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"

TIMESTAMPS = {
    "ISO 8601": rf"[0-9]{{4}}(?:-{_MONTH}-|/{_MONTH}/){_DAY}"
    rf"(?:[T ]{_HOUR}:{_SIXTY}(?:{_SECONDS})?{_ZONE})?",
    "ISO 8601, basic": rf"[0-9]{{8}}T[0-9]{{6}}{_FRACTION}Z?",
    "web server": rf"[0-9]{{2}}/{_MONTH_NAME}/[0-9]{{4}}:{_HOUR}:{_SIXTY}{_SECONDS}"
    r"(?: [+-][0-9]{4})?",
    "mail": rf"(?:{_DAY_NAME}, )?[0-9]{{1,2}} {_MONTH_NAME} [0-9]{{4}} "
    rf"{_HOUR}:{_SIXTY}{_SECONDS}{_ZONE}",
    "epoch": r"1[5-9][0-9]{8}(?:\.[0-9]{3,9}|[0-9]{9}|[0-9]{6}|[0-9]{3})",
    "syslog, date, ls": rf"(?:{_DAY_NAME},? )?{_MONTH_NAME}  ?[0-9]{{1,2}} "
    rf"{_HOUR}:{_SIXTY}(?:{_SECONDS})?{_ZONE}(?: [0-9]{{4}})?",
    "clock": rf"(?<![0-9]:)(?:[01]?[0-9]|2[0-3]):{_SIXTY}{_SECONDS}(?: ?[AaPp][Mm])?",
}
"""Kinds of timestamps, in the order they are tried."""

CLASSES: dict[str, tuple[str, str]] = {
    "urls": ("<url>", START + r"https?://[^\t\n\r <>\"'`]*[^\t\n\r <>\"'`.,;:!?)\]}]"),
    "timestamps": ("<time>", START + "(?:" + "|".join(TIMESTAMPS.values()) + ")" + TIME_END),
    "uuids": ("<uuid>", START + r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}" + END),
    "hex": (
        "<hex>",
        START + r"(?:0[xX][0-9A-Fa-f]+|(?=[0-9]*[A-Fa-f])(?=[A-Fa-f]*[0-9])[0-9A-Fa-f]{8,})" + END,
    ),
    "numbers": ("<num>", r"[0-9]+"),
    "whitespace": ("", r"[ \t]*\r?\n(?=[ \t\r\n]*[^ \t\r\n])|[ \t\r\n]+\Z"),
}
"""The tag and the pattern of each class, in the order they are tried at a position."""


def normalise_with_re(
    text: str, classes: Iterable[str], kept: Iterable[tuple[int, int]] = ()
) -> str:
    """`text` with every stretch of `classes` as a tag: what the core's scanner does, slowly.

    A match that overlaps one of the stretches [begin, end) of `kept` stays as it is.

    >>> normalise_with_re("10:03:17 open ticket 4", ["timestamps", "numbers"])
    '<time> open ticket <num>'
    """
    chosen = [name for name in CLASSES if name in set(classes)]
    if not chosen:
        return text
    protected = list(kept)

    def tag(match: re.Match[str]) -> str:
        begin, end = match.span()
        if any(first < end and last > begin for first, last in protected):
            return match[0]
        if match.lastgroup == "whitespace":
            return "\n" if end < len(text) else ""
        return CLASSES[str(match.lastgroup)][0]

    return re.sub("|".join(f"(?P<{name}>{CLASSES[name][1]})" for name in chosen), tag, text)
