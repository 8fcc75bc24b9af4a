"""Noise in observations made a tag: clocks, ids, whatever differs and does not matter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from graphgpo import _core
from graphgpo.states.column import elements

IGNORED = "<ignored>"
"""What a match of an `ignore` expression becomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Normaliser:
    r"""Which stretches of a text are noise, and what is never touched.

    A pure function of one text, so that merging stays exact: two states are one where their
    normalised texts are equal. First every match of an `ignore` expression becomes `<ignored>`, one
    expression after the other, as you read them in the observation. Then the classes switched on
    become their tags, in one pass over the text; `graphgpo.states.patterns` has their exact
    expressions. A match that overlaps a match of a `keep` expression stays as it is.

    Whitespace inside a line is never touched, because blanks draw boards and tables.

    Examples
    --------
    >>> Normaliser()("[2026-11-28 10:03:17] session=9f3ade12 3 tickets open  ")
    '[<time>] session=<hex> 3 tickets open'
    >>> Normaliser(ignore=[r"step \d+/\d+"])("step 3/14: 3 tickets open")
    '<ignored>: 3 tickets open'
    >>> Normaliser(numbers=True, keep=[r"\$\d+"])("item 7 costs $12")
    'item <num> costs $12'
    """

    timestamps: bool = True
    """Dates, and times with seconds, as ISO 8601, logs, mails and `date` write them, and seconds
    since 1970 where nothing else looks like that (with a fraction, or 13, 16 or 19 digits):
    `<time>`. 10:03 alone, and ten digits alone, stay."""

    uuids: bool = True
    """8-4-4-4-12 hexadecimal digits: `<uuid>`."""

    hex: bool = True
    """Words of at least 8 hexadecimal digits with a letter and a digit among them, and 0x...:
    `<hex>`."""

    urls: bool = False
    """http:// and https://, up to a blank, quote or bracket: `<url>`."""

    numbers: bool = False
    """Runs of digits: `<num>`. Off, because most numbers matter: prices, counts, "train 2"."""

    whitespace: bool = True
    r"""Blanks before a line's end and whitespace at the text's end go, and a line ends in \n."""

    ignore: Sequence[str | re.Pattern[str]] = ()
    """Regular expressions of further noise: `<ignored>`. Empty matches count for nothing."""

    keep: Sequence[str | re.Pattern[str]] = ()
    """Regular expressions of what matters, whatever else matches there."""

    def __post_init__(self) -> None:
        for name in CLASS_NAMES:
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} is {getattr(self, name)!r}; expected True or False")
        for name in ("ignore", "keep"):
            object.__setattr__(self, name, _expressions(name, getattr(self, name)))

    def __call__(self, text: str) -> str:
        """The normalised text."""
        return self.texts([text])[0]

    def texts(self, texts: list[str]) -> list[str]:
        """Every text normalised; `normalise` for a column with repeated or other states."""
        if self.ignore:
            texts = [self.without_ignored(text) for text in texts]
        kept = [self.kept(text) for text in texts] if self.keep else None
        return _core.normalise_texts(
            texts=texts, kept=kept, **{name: getattr(self, name) for name in CLASS_NAMES}
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that are on."""
        return tuple(name for name in CLASS_NAMES if getattr(self, name))

    def kept(self, text: str) -> list[tuple[int, int]]:
        """The stretches that are never touched."""
        return list(_spans(self.keep, text))

    def without_ignored(self, text: str) -> str:
        """The text with every match of `ignore` as `<ignored>`, before classes are looked for."""
        for expression in self.ignore:
            kept = self.kept(text)
            pieces, at = [], 0
            for begin, end in _spans((expression,), text):
                if not any(first < end and last > begin for first, last in kept):
                    pieces += [text[at:begin], IGNORED]
                    at = end
            text = "".join([*pieces, text[at:]]) if pieces else text
        return text


CLASS_NAMES = tuple(
    field.name for field in fields(Normaliser) if field.name not in ("ignore", "keep")
)


def normalise(states: Any, normaliser: Normaliser | None = None, **switches: Any) -> Any:
    """A column of states with the noise in its texts made tags.

    Parameters
    ----------
    states
        (N,) states of any kind `compute_advantages` takes. Texts of lists, tuples, object and text
        arrays of NumPy and of Arrow columns are normalised, each distinct one once; what is no
        text, None too, passes as it is.
    normaliser
        What is noise; the default one without it.
    **switches
        Fields of the `Normaliser` that are to differ.

    Returns
    -------
    (N,) list, in the order of `states`; a column that holds no text at all as it came.

    Raises
    ------
    TypeError
        For an unknown switch, or what is no column.
    ValueError
        For an expression that is no regular expression.

    Examples
    --------
    >>> normalise(["10:03:17 hall", "10:03:19 hall", None])
    ['<time> hall', '<time> hall', None]
    >>> normalise(["ticket 4", 4], numbers=True)
    ['ticket <num>', 4]
    """
    if normaliser is not None and not isinstance(normaliser, Normaliser):
        raise TypeError(
            f"normaliser is a {type(normaliser).__name__}; expected a graphgpo.states.Normaliser"
        )
    chosen = _changed(normaliser or Normaliser(), switches)
    column = elements("states", states)
    if column is None:
        return states
    distinct = list(dict.fromkeys(state for state in column if isinstance(state, str)))
    normalised = dict(zip(distinct, chosen.texts(distinct), strict=True))
    return [normalised[state] if isinstance(state, str) else state for state in column]


def _changed(normaliser: Normaliser, switches: dict[str, Any]) -> Normaliser:
    known = [field.name for field in fields(Normaliser)]
    for name in switches:
        if name not in known:
            raise TypeError(f"normalise has no switch {name!r}; expected one of {', '.join(known)}")
    return replace(normaliser, **switches)


def _expressions(name: str, given: Any) -> tuple[str | re.Pattern[str], ...]:
    if isinstance(given, (str, re.Pattern)):
        raise TypeError(
            f"{name} is one expression; expected a list of regular expressions: {name}=[{given!r}]"
        )
    try:
        expressions = tuple(given)
    except TypeError:
        raise TypeError(
            f"{name} is a {type(given).__name__}; expected a list of regular expressions"
        ) from None
    for i, expression in enumerate(expressions):
        if isinstance(expression, re.Pattern) and isinstance(expression.pattern, str):
            continue
        if not isinstance(expression, str):
            raise TypeError(
                f"{name}[{i}] is {expression!r} ({type(expression).__name__}); "
                "expected a regular expression for texts"
            )
        try:
            re.compile(expression)
        except re.error as error:
            raise ValueError(
                f"{name}[{i}] is {expression!r}: {error}; expected a regular expression"
            ) from None
    return expressions


def _spans(expressions: Sequence[str | re.Pattern[str]], text: str) -> Iterator[tuple[int, int]]:
    """Where they match, without empty matches; ascending, and joined where several overlap."""
    spans = sorted(
        match.span()
        for expression in expressions
        for match in re.finditer(expression, text)
        if match.end() > match.start()
    )
    at = 0
    while at < len(spans):
        begin, end = spans[at]
        at += 1
        while at < len(spans) and spans[at][0] < end:
            end = max(end, spans[at][1])
            at += 1
        yield begin, end
