"""Dataclasses whose fields are what their annotations say: the one list of what may stand where."""

from __future__ import annotations

import functools
import numbers
from dataclasses import dataclass, fields
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def check_fields(instance: Any) -> None:
    """Every field holds what its annotation says: a number, a word, an instance, or tuples of them.

    Raises
    ------
    TypeError, ValueError
        Naming the field, its class, the value and what was expected; `ValueError` for a word that
        is none.
    """
    cls: Any = type(instance)
    for name, allowed in _fields(cls).items():
        value = getattr(instance, name)
        if allowed.holds(value):
            continue
        shown = _in_short(value)
        if isinstance(value, tuple) and value and allowed.inside is not None:
            wrong = next(one for one in value if not allowed.inside.holds(one))
            shown = f"a tuple with {_in_short(wrong)}"
        refusal = ValueError if type(value) in map(type, allowed.words) else TypeError
        raise refusal(f"{name} of {cls.__name__} is {shown}; expected {allowed.in_words()}")


@dataclass(frozen=True)
class _Allowed:
    """What a field may hold, sorted so that a look takes a microsecond: terms are made often."""

    kinds: tuple[type, ...]
    """Instances of these, not of classes derived from them: who knows one, knows no other."""

    words: tuple[str | int, ...]
    inside: _Allowed | None
    """Of every entry of a tuple; None: no tuple."""

    is_any: bool

    @classmethod
    def by(cls, hint: Any) -> _Allowed:
        """As an annotation says it."""
        members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        tuples = [get_args(one)[0] for one in members if get_origin(one) is tuple]
        return cls(
            tuple(one for one in members if get_origin(one) is None and isinstance(one, type)),
            tuple(word for one in members if get_origin(one) is Literal for word in get_args(one)),
            cls.by(tuples[0]) if tuples else None,
            Any in members,
        )

    def holds(self, value: Any) -> bool:
        """Whether the value may stand there."""
        kind = type(value)
        if kind in self.kinds or self.is_any:
            return True
        if kind is tuple and self.inside is not None:
            return all(map(self.inside.holds, value))
        if kind in (str, int) and value in self.words:
            return True
        is_number = isinstance(value, numbers.Real) and kind is not bool
        is_whole = isinstance(value, numbers.Integral)
        return is_number and (float in self.kinds or (is_whole and int in self.kinds))

    def in_words(self) -> str:
        """For a message."""
        words = self.words or (self.inside.words if self.inside is not None else ())
        if words:
            return f"one of {', '.join(map(repr, words))}"
        names = [_NAMES.get(kind, kind.__name__) for kind in self.kinds]
        if self.inside is not None and not names:
            return f"a tuple, each {self.inside.in_words()}"
        return " or ".join(names)


_NAMES = {float: "a number", int: "an int", bool: "a bool", type(None): "None"}


@functools.cache
def _fields(cls: Any) -> dict[str, _Allowed]:
    hints = get_type_hints(cls)
    return {field.name: _Allowed.by(hints[field.name]) for field in fields(cls)}


def _in_short(value: Any) -> str:
    is_plain = isinstance(value, (str, int, float, type(None)))
    return repr(value) if is_plain else f"a {type(value).__name__}"
